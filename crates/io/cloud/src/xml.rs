//! A reply's XML as a tree, and strict access to it: what is missing or odd is an error that names
//! its place, never a panic.

use std::{fmt::Display, str::FromStr};

use quick_xml::{Reader, escape::resolve_predefined_entity, events::Event};

/// EC2's own replies nest about ten deep.
const DEPTH_MAX: usize = 64;

/// An element with its text and its children; attributes are dropped (EC2 uses none).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Self>,
}

/// Why a reply cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum XmlError {
    #[error("not XML at byte {at}: {reason}")]
    Malformed { at: u64, reason: String },
    #[error("<{parent}> has no <{name}>")]
    Missing { parent: String, name: &'static str },
    #[error("<{name}> holds {text:?}: {reason}")]
    Unreadable {
        name: String,
        text: String,
        reason: String,
    },
}

// === impl Element ===

impl Element {
    /// The root element of `document`.
    pub(crate) fn parse(document: &str) -> Result<Self, XmlError> {
        let mut reader = Reader::from_str(document);
        // The bottom holds the document's own level; its only child will be the root.
        let mut open = vec![Self::default()];
        loop {
            let event = reader.read_event();
            let at = reader.buffer_position();
            let malformed = |reason: String| XmlError::Malformed { at, reason };
            match event.map_err(|error| malformed(error.to_string()))? {
                Event::Start(start) if open.len() <= DEPTH_MAX => {
                    open.push(Self::named(start.local_name().as_ref()));
                }
                Event::Start(_) => return Err(malformed(format!("deeper than {DEPTH_MAX}"))),
                Event::Empty(start) => {
                    innermost(&mut open)
                        .children
                        .push(Self::named(start.local_name().as_ref()));
                }
                Event::End(_) => {
                    let closed = open.pop().unwrap_or_default();
                    match open.last_mut() {
                        Some(parent) => parent.children.push(closed),
                        None => return Err(malformed("an end without a start".to_owned())),
                    }
                }
                Event::Text(text) => innermost(&mut open).text.push_str(&text.xml10_content()),
                Event::CData(data) => innermost(&mut open).text.push_str(&data.xml10_content()),
                Event::GeneralRef(reference) => {
                    let resolved = reference
                        .resolve_char_ref()
                        .map_err(|error| malformed(error.to_string()))?
                        .map(String::from)
                        .or_else(|| {
                            let name = reference.xml10_content();
                            resolve_predefined_entity(&name).map(str::to_owned)
                        })
                        .ok_or_else(|| malformed("an unknown entity".to_owned()))?;
                    innermost(&mut open).text.push_str(&resolved);
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
                Event::Eof if open.len() == 1 => {
                    let document = open.pop().unwrap_or_default();
                    let root = document.children.into_iter().next();
                    return root.ok_or_else(|| malformed("no element".to_owned()));
                }
                Event::Eof => return Err(malformed("the end is missing".to_owned())),
            }
        }
    }

    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The first child called `name`, if there is one.
    pub(crate) fn optional(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first child called `name`.
    pub(crate) fn child(&self, name: &'static str) -> Result<&Self, XmlError> {
        self.optional(name).ok_or_else(|| XmlError::Missing {
            parent: self.name.clone(),
            name,
        })
    }

    /// The text of the child called `name`, without blanks around it.
    pub(crate) fn text_of(&self, name: &'static str) -> Result<&str, XmlError> {
        self.child(name).map(Self::trimmed)
    }

    /// The text of the child called `name`; empty where there is none.
    pub(crate) fn text_or_empty(&self, name: &str) -> &str {
        self.optional(name).map_or("", Self::trimmed)
    }

    /// The child called `name`, read as a `T`.
    pub(crate) fn parse_child<T>(&self, name: &'static str) -> Result<T, XmlError>
    where
        T: FromStr<Err: Display>,
    {
        self.child(name)?.read()
    }

    /// The child called `name`, read as a `T`; `None` where it is absent or empty.
    pub(crate) fn parse_optional<T>(&self, name: &'static str) -> Result<Option<T>, XmlError>
    where
        T: FromStr<Err: Display>,
    {
        match self.optional(name) {
            Some(child) if !child.trimmed().is_empty() => child.read().map(Some),
            _ => Ok(None),
        }
    }

    /// This element's text, read as a `T`.
    pub(crate) fn read<T>(&self) -> Result<T, XmlError>
    where
        T: FromStr<Err: Display>,
    {
        self.trimmed()
            .parse()
            .map_err(|reason: T::Err| self.unreadable(reason))
    }

    /// That this element's text makes no sense, for `reason`.
    pub(crate) fn unreadable(&self, reason: impl Display) -> XmlError {
        XmlError::Unreadable {
            name: self.name.clone(),
            text: self.trimmed().to_owned(),
            reason: reason.to_string(),
        }
    }

    /// The `<item>`s of the list called `name`; none where the list is absent, as EC2 leaves empty
    /// lists out.
    pub(crate) fn items<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Self> + use<'a> {
        let list = self
            .optional(name)
            .map_or([].as_slice(), |list| list.children.as_slice());
        list.iter().filter(|child| child.name == "item")
    }

    fn trimmed(&self) -> &str {
        self.text.trim()
    }
}

fn innermost(open: &mut Vec<Element>) -> &mut Element {
    if open.is_empty() {
        open.push(Element::default());
    }
    let last = open.len() - 1;
    &mut open[last]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_keep_order_text_and_entities() {
        let root = Element::parse(
            "<?xml version=\"1.0\"?>\n<r xmlns=\"http://x/\"><!-- c --><a> 1 &amp; &#x32;<![CDATA[<3>]]> </a>\
             <l><item>x</item><other/><item>y</item></l><e/></r>",
        )
        .unwrap();
        assert_eq!(root.name, "r");
        assert_eq!(root.text_of("a"), Ok("1 & 2<3>"));
        let items: Vec<_> = root.items("l").map(|item| item.text.as_str()).collect();
        assert_eq!(items, ["x", "y"]);
        assert_eq!(root.items("absent").count(), 0);
        assert_eq!(root.parse_optional::<u32>("e"), Ok(None));
    }

    #[test]
    fn what_is_missing_or_odd_is_named() {
        let root = Element::parse("<r><n>x</n></r>").unwrap();
        assert_eq!(root.child("m").unwrap_err().to_string(), "<r> has no <m>");
        assert_eq!(
            root.parse_child::<u32>("n").unwrap_err().to_string(),
            "<n> holds \"x\": invalid digit found in string"
        );
    }

    #[test]
    fn what_is_not_xml_is_refused() {
        let deep = "<a>".repeat(100);
        for bad in [
            "",
            "plain",
            "<a>",
            "<a></b>",
            "</a>",
            "<a>&nope;</a>",
            "<a",
            &deep,
        ] {
            assert!(Element::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(<|>|/|&|;|#|x|a|item|!|\\[|CDATA|\\?|\"|=| |\\PC){0,60}") {
            drop(Element::parse(&text));
        }
    }
}
