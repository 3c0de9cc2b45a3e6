//! Parameters of a Query API call, read once each: what is left over is unknown.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use sha2::{Digest, Sha256};
use underlay_vpc_model::{Ec2Error, ErrorCode};

use super::shape::Shape;

/// Parameters by name, and the path that leads to them.
///
/// Reading takes a parameter away. [`Params::finish`] refuses what nobody read.
#[derive(Debug, Default)]
pub(super) struct Params {
    values: BTreeMap<String, String>,
    path: String,
}

impl Params {
    /// Reads `a=b&c=d`.
    ///
    /// # Errors
    /// `MalformedQueryString` for a parameter without a name; `InvalidParameterValue` for one
    /// that is given twice or holds characters that XML cannot carry.
    pub(super) fn parse(form: &[u8]) -> Result<Self, Ec2Error> {
        let mut values = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(form) {
            if name.is_empty() {
                let text = "The query string holds a parameter without a name";
                return Err(Ec2Error::new(ErrorCode::MalformedQueryString, text));
            }
            if !name.chars().chain(value.chars()).all(is_xml_char) {
                let text = format!(
                    "The parameter {} holds characters that are not allowed",
                    printable(&name)
                );
                return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
            }
            if values
                .insert(name.to_string(), value.into_owned())
                .is_some()
            {
                let text = format!("The parameter {name} is given more than once");
                return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
            }
        }
        Ok(Self {
            values,
            path: String::new(),
        })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// What they look like from outside.
    pub(super) fn shape(&self, action: &str) -> Shape {
        Shape::of(action, &self.values)
    }

    /// Whether a parameter of this name is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The SHA-256 of all of them in hexadecimal, for comparing calls.
    pub(super) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (name, value) in &self.values {
            hash.update(format!("{name:?}={value:?}&"));
        }
        let digest = hash.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Takes a parameter.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// Takes a parameter that has to be there.
    ///
    /// # Errors
    /// `MissingParameter`.
    pub(super) fn required(&mut self, name: &str) -> Result<String, Ec2Error> {
        let given = self.text(name).filter(|value| !value.is_empty());
        given.ok_or_else(|| self.missing(name))
    }

    /// The answer that `name` is missing.
    pub(super) fn missing(&self, name: &str) -> Ec2Error {
        let text = format!("The request must contain the parameter {}{name}", self.path);
        Ec2Error::new(ErrorCode::MissingParameter, text)
    }

    /// The answer that `value` will not do.
    pub(super) fn invalid(&self, name: &str, value: impl Display) -> Ec2Error {
        let text = format!(
            "Value ({value}) for parameter {}{name} is invalid.",
            self.path
        );
        Ec2Error::new(ErrorCode::InvalidParameterValue, text)
    }

    /// Takes a parameter that has a syntax of its own.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Ec2Error> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_unparsable| self.invalid(name, &text))
    }

    /// Takes a parameter that has to be there and has a syntax of its own.
    ///
    /// # Errors
    /// `MissingParameter`, `InvalidParameterValue`.
    pub(super) fn required_parsed<T: FromStr>(&mut self, name: &str) -> Result<T, Ec2Error> {
        let text = self.required(name)?;
        text.parse()
            .map_err(|_unparsable| self.invalid(name, &text))
    }

    /// Takes `true` or `false`.
    ///
    /// # Errors
    /// `InvalidParameterValue` for anything else.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Ec2Error> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(other) => Err(self.invalid(name, other)),
        }
    }

    /// Takes `name.1`, `name.2` and so on.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a number that is none.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<String>, Ec2Error> {
        let mut values = Vec::new();
        for (_, mut member) in self.members(name)? {
            values.push(member.text("").ok_or_else(|| member.missing(""))?);
            member.finish()?;
        }
        Ok(values)
    }

    /// Takes `name.1.x`, `name.1.y`, `name.2.x` and so on, a structure at a time.
    ///
    /// # Errors
    /// Those of `read`; `InvalidParameterValue` for a number that is none; `UnknownParameter`
    /// for a member that `read` left.
    pub(super) fn structures<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Self) -> Result<T, Ec2Error>,
    ) -> Result<Vec<T>, Ec2Error> {
        let mut values = Vec::new();
        for (_, mut member) in self.members(name)? {
            values.push(read(&mut member)?);
            member.finish()?;
        }
        Ok(values)
    }

    /// Takes `name.x`, `name.y` and so on.
    ///
    /// # Errors
    /// Those of `read`; `UnknownParameter` for a member that `read` left.
    pub(super) fn structure<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Result<T, Ec2Error>,
    ) -> Result<T, Ec2Error> {
        let prefix = format!("{name}.");
        let mut inner = Self {
            path: format!("{}{prefix}", self.path),
            ..Self::default()
        };
        for (key, value) in self.take_prefixed(&prefix) {
            inner.values.insert(key, value);
        }
        let value = read(&mut inner)?;
        inner.finish()?;
        Ok(value)
    }

    /// Takes and drops `name`, `name.x`, `name.1.x` and so on: what has no effect here.
    pub(super) fn ignore(&mut self, name: &str) {
        self.text(name);
        self.take_prefixed(&format!("{name}."));
    }

    /// Refuses what nobody read.
    ///
    /// # Errors
    /// `UnknownParameter`, naming the first.
    pub(super) fn finish(&self) -> Result<(), Ec2Error> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(name) => {
                let text = format!("The parameter {}{name} is not recognized", self.path);
                Err(Ec2Error::new(ErrorCode::UnknownParameter, text))
            }
        }
    }

    fn members(&mut self, name: &str) -> Result<BTreeMap<u32, Self>, Ec2Error> {
        let prefix = format!("{name}.");
        let mut members: BTreeMap<u32, Self> = BTreeMap::new();
        for (key, value) in self.take_prefixed(&prefix) {
            let (number, rest) = key.split_once('.').unwrap_or((&key, ""));
            let Ok(index) = number.parse() else {
                let text = format!("The parameter {}{prefix}{key} is not recognized", self.path);
                return Err(Ec2Error::new(ErrorCode::UnknownParameter, text));
            };
            let member = members.entry(index).or_insert_with(|| Self {
                path: format!("{}{prefix}{number}.", self.path),
                ..Self::default()
            });
            member.values.insert(rest.to_owned(), value);
        }
        Ok(members)
    }

    fn take_prefixed(&mut self, prefix: &str) -> Vec<(String, String)> {
        let from = self.values.range(prefix.to_owned()..);
        let names: Vec<_> = from
            .map(|(name, _)| name.clone())
            .take_while(|name| name.starts_with(prefix))
            .collect();
        let mut taken = Vec::new();
        for name in names {
            if let Some(value) = self.values.remove(&name) {
                taken.push((
                    name.get(prefix.len()..).unwrap_or_default().to_owned(),
                    value,
                ));
            }
        }
        taken
    }
}

/// XML 1.0, section 2.2.
pub(super) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if is_xml_char(c) { c } else { '\u{fffd}' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_structures_come_in_the_order_of_their_numbers() {
        let form =
            b"Id.10=j&Id.2=b&Filter.1.Name=n&Filter.1.Value.1=v&Filter.1.Value.2=w&Flag=true";
        let mut params = Params::parse(form).unwrap();
        assert_eq!(params.list("Id").unwrap(), ["b", "j"]);
        let filters = params
            .structures("Filter", |p| Ok((p.required("Name")?, p.list("Value")?)))
            .unwrap();
        assert_eq!(
            filters,
            [("n".to_owned(), vec!["v".to_owned(), "w".to_owned()])]
        );
        assert_eq!(params.flag("Flag").unwrap(), Some(true));
        params.finish().unwrap();
    }

    #[test]
    fn what_nobody_reads_is_unknown() {
        for form in [
            "Other=1",
            "Filter.1.Bogus=1",
            "Filter.x.Name=1",
            "Id.1.Deep=1",
        ] {
            let mut params = Params::parse(form.as_bytes()).unwrap();
            let outcome = params
                .structures("Filter", |p| Ok(p.text("Name")))
                .and_then(|_| params.list("Id"))
                .and_then(|_| params.finish());
            let code = outcome.unwrap_err().code;
            let expected = if form.starts_with("Id") {
                ErrorCode::MissingParameter
            } else {
                ErrorCode::UnknownParameter
            };
            assert_eq!(code, expected, "{form}");
        }
    }

    #[test]
    fn twice_nameless_and_unprintable_parameters_are_refused() {
        for (form, code) in [
            ("a=1&a=2", ErrorCode::InvalidParameterValue),
            ("=1", ErrorCode::MalformedQueryString),
            ("a=%00", ErrorCode::InvalidParameterValue),
            ("%1f=1", ErrorCode::InvalidParameterValue),
        ] {
            assert_eq!(
                Params::parse(form.as_bytes()).unwrap_err().code,
                code,
                "{form}"
            );
        }
    }
}
