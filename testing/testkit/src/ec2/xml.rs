//! Answers as trees.

use anyhow::{Context as _, bail};
use quick_xml::{Reader, events::Event};

/// An element with its text and its children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its text, without white space around it.
    pub text: String,
    /// The elements in it.
    pub children: Vec<Self>,
}

impl Element {
    /// Reads a document and returns its root.
    ///
    /// # Errors
    /// When it is not well-formed.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().context("reading XML")? {
                Event::Start(start) => open.push(Self::named(start.name().as_ref())),
                Event::Empty(start) => push(&mut open, Self::named(start.name().as_ref()))?,
                Event::End(_) => {
                    let mut element = open.pop().context("an end without a start")?;
                    element.text = element.text.trim().to_owned();
                    push(&mut open, element)?;
                }
                Event::Text(text) => append(&mut open, &text)?,
                Event::GeneralRef(reference) => {
                    let text = quick_xml::escape::unescape(&format!("&{};", &*reference))
                        .context("resolving a reference")?
                        .into_owned();
                    append(&mut open, &text)?;
                }
                Event::CData(text) => append(&mut open, &text)?,
                Event::Eof => break,
                Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
            }
        }
        let [document] = <[Self; 1]>::try_from(open)
            .ok()
            .context("an element without end")?;
        document.children.into_iter().next().context("no element")
    }

    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The child `name`.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the child `name`.
    #[must_use]
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// The first element called `name` at any depth.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Self> {
        self.children.iter().find_map(|child| {
            if child.name == name {
                Some(child)
            } else {
                child.find(name)
            }
        })
    }

    /// The text of the first element called `name` at any depth.
    ///
    /// # Errors
    /// When there is none; the message names what was looked for and where.
    pub fn text_at(&self, name: &str) -> anyhow::Result<String> {
        let found = self
            .find(name)
            .with_context(|| format!("no {name} in {}", self.name))?;
        Ok(found.text.clone())
    }

    /// The `item`s of the child `name`; none if there is no such child.
    pub fn items<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Self> + use<'a> {
        let list = self.child(name);
        list.into_iter().flat_map(|list| &list.children)
    }
}

fn push(open: &mut [Element], element: Element) -> anyhow::Result<()> {
    let Some(parent) = open.last_mut() else {
        bail!("an end without a start");
    };
    parent.children.push(element);
    Ok(())
}

fn append(open: &mut [Element], text: &str) -> anyhow::Result<()> {
    let Some(element) = open.last_mut() else {
        bail!("text outside of an element");
    };
    element.text.push_str(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_a_tree() {
        let text = "<?xml version=\"1.0\"?><R xmlns=\"x\"><set>\n <item><id>a&amp;b</id><e/></item>\
                    <item><id>c</id></item></set></R>";
        let root = Element::parse(text).unwrap();
        let ids: Vec<_> = root
            .items("set")
            .filter_map(|item| item.text_of("id"))
            .collect();
        assert_eq!((root.name.as_str(), ids), ("R", vec!["a&b", "c"]));
        assert_eq!(root.text_at("id").unwrap(), "a&b");
        for bad in ["", "<a>", "</a>", "<a></b>"] {
            assert!(Element::parse(bad).is_err(), "{bad:?}");
        }
    }
}
