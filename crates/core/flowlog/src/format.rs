//! Which fields a flow log's lines carry, and in which order.

use std::{fmt, str::FromStr};

use crate::Field;

/// The fields of the default format, in its fixed order.
const DEFAULT: [Field; 14] = [
    Field::Version,
    Field::AccountId,
    Field::InterfaceId,
    Field::SrcAddr,
    Field::DstAddr,
    Field::SrcPort,
    Field::DstPort,
    Field::Protocol,
    Field::Packets,
    Field::Bytes,
    Field::Start,
    Field::End,
    Field::Action,
    Field::LogStatus,
];

/// The fields of a line, in order; at least one and none twice.
///
/// As text: `${version} ${account-id} …`, separated by blanks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Format(Vec<Field>);

/// Why a text is not a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A field is named twice.
    #[error("field {field:?} is named twice in the log format", field = .field.name())]
    DuplicateField {
        /// The field.
        field: Field,
    },
    /// No field at all.
    #[error("a log format needs at least one field, such as ${{version}}")]
    Empty,
    /// A part is not of the form `${field}`.
    #[error("{text:?} in the log format is not of the form ${{field}}")]
    NotAField {
        /// The part.
        text: String,
    },
    /// A field nobody knows.
    #[error("unknown field {name:?} in the log format")]
    UnknownField {
        /// The name.
        name: String,
    },
}

impl Format {
    /// The fields, in order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.0
    }

    /// The version that lines of this format state: the highest of their fields' versions.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.0
            .iter()
            .map(|field| field.version())
            .max()
            .unwrap_or(2)
    }

    /// The first line of a text file: the fields' names.
    #[must_use]
    pub fn header(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|field| field.name()).collect();
        names.join(" ")
    }

    /// The format whose header line this is.
    ///
    /// # Errors
    /// As for the `${field}` form.
    pub fn from_header(header: &str) -> Result<Self, FormatError> {
        header
            .split_ascii_whitespace()
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()
            .and_then(Self::new)
    }

    fn new(fields: Vec<Field>) -> Result<Self, FormatError> {
        if fields.is_empty() {
            return Err(FormatError::Empty);
        }
        for (index, field) in fields.iter().enumerate() {
            if fields[..index].contains(field) {
                return Err(FormatError::DuplicateField { field: *field });
            }
        }
        Ok(Self(fields))
    }
}

impl Default for Format {
    /// The fixed format of version 2.
    fn default() -> Self {
        Self(DEFAULT.to_vec())
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_ascii_whitespace()
            .map(|part| {
                part.strip_prefix("${")
                    .and_then(|rest| rest.strip_suffix('}'))
                    .ok_or_else(|| FormatError::NotAField {
                        text: part.to_owned(),
                    })?
                    .parse()
            })
            .collect::<Result<Vec<_>, _>>()
            .and_then(Self::new)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}${{{field}}}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_format_is_the_14_fields_of_version_2() {
        let format = Format::default();
        assert_eq!(format.version(), 2);
        assert_eq!(
            format.to_string(),
            "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} \
             ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}"
        );
        assert_eq!(
            format.header(),
            "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets \
             bytes start end action log-status"
        );
    }

    #[test]
    fn the_version_is_the_highest_of_the_fields() {
        let version = |text: &str| text.parse::<Format>().unwrap().version();
        assert_eq!(version("${srcaddr} ${pkt-srcaddr}"), 3);
        assert_eq!(version("${traffic-path} ${start}"), 5);
        assert_eq!(version("${interface-tag-2}"), 11);
    }

    #[test]
    fn a_wrong_format_is_refused_and_the_field_named() {
        let error = |text: &str| text.parse::<Format>().unwrap_err().to_string();
        assert_eq!(
            error("${version} ${bogus}"),
            "unknown field \"bogus\" in the log format"
        );
        assert_eq!(
            error("version"),
            "\"version\" in the log format is not of the form ${field}"
        );
        assert_eq!(
            error("${start}${end}"),
            "unknown field \"start}${end\" in the log format"
        );
        assert_eq!(
            error("${start} ${start}"),
            "field \"start\" is named twice in the log format"
        );
        assert_eq!(
            error("  "),
            "a log format needs at least one field, such as ${version}"
        );
    }

    proptest! {
        #[test]
        fn formats_round_trip(fields in proptest::sample::subsequence(Field::ALL, 1..=54).prop_shuffle()) {
            let format = Format::new(fields).unwrap();
            prop_assert_eq!(format.to_string().parse(), Ok(format.clone()));
            prop_assert_eq!(Format::from_header(&format.header()), Ok(format));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            if let Ok(format) = text.parse::<Format>() {
                prop_assert!(!format.fields().is_empty());
            }
        }
    }
}
