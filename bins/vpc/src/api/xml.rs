//! Writing answers: elements, escaped text, nothing else.

use std::fmt::{self, Display, Write};

use super::params::is_xml_char;

/// A piece of an answer under construction.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Xml(String);

impl Xml {
    /// `<name>value</name>`.
    pub(super) fn leaf(&mut self, name: &str, value: impl Display) {
        self.tree(name, |xml| xml.text(value));
    }

    /// `value`, within the element that is being written.
    pub(super) fn text(&mut self, value: impl Display) {
        write!(Escaped(&mut self.0), "{value}").expect("a String takes all that is written");
    }

    /// `<name>value</name>`, or nothing.
    pub(super) fn optional(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.leaf(name, value);
        }
    }

    /// `<name>` around what `inner` writes.
    pub(super) fn tree(&mut self, name: &str, inner: impl FnOnce(&mut Self)) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
        inner(self);
        self.0.push_str("</");
        self.0.push_str(name.split(' ').next().unwrap_or(name));
        self.0.push('>');
    }

    /// `<name>` around one `<item>` per element.
    pub(super) fn items<T>(
        &mut self,
        name: &str,
        elements: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.tree(name, |xml| {
            for element in elements {
                xml.tree("item", |xml| write(xml, element));
            }
        });
    }

    /// `<name>` around one `<item>` per text.
    pub(super) fn texts<T: Display>(&mut self, name: &str, texts: impl IntoIterator<Item = T>) {
        self.tree(name, |xml| {
            for text in texts {
                xml.leaf("item", text);
            }
        });
    }

    /// Puts another piece here.
    pub(super) fn append(&mut self, piece: &Self) {
        self.0.push_str(&piece.0);
    }

    /// Everything as text.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Escapes what XML reads as markup and replaces what it cannot carry.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&apos;"),
                '\r' => self.0.push_str("&#13;"),
                c if is_xml_char(c) => self.0.push(c),
                _ => self.0.push('\u{fffd}'),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_is_escaped() {
        let mut xml = Xml::default();
        xml.tree("a x=\"1\"", |xml| xml.leaf("b", "<&>\"'\r\u{0}"));
        assert_eq!(
            xml.into_string(),
            "<a x=\"1\"><b>&lt;&amp;&gt;&quot;&apos;&#13;\u{fffd}</b></a>"
        );
    }
}
