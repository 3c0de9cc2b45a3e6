//! Reading tables so that every mistake of a file is reported at once.

use std::{fmt, path::PathBuf, time::Duration};

use toml::{Table, Value};

/// One thing that is wrong in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file that has it, where there is one.
    pub file: Option<PathBuf>,
    /// The key with its section, for example `addresses.cooldown`; empty: the whole file.
    pub key: String,
    /// What is wrong with it and what would be right.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration is not TOML: {0}")]
    Syntax(String),
    /// The file is TOML, but not a configuration.
    #[error("{}", list(.0))]
    Mistakes(Vec<Mistake>),
}

fn list(mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(|m| format!("\n  {m}")).collect();
    let s = if lines.len() == 1 { "" } else { "s" };
    format!(
        "{} mistake{s} in the configuration:{}",
        lines.len(),
        lines.concat()
    )
}

/// A table that is read key by key; what stays unread in the end is an unknown key.
pub(super) struct Section<'a> {
    name: &'static str,
    table: Table,
    mistakes: &'a mut Vec<Mistake>,
}

impl<'a> Section<'a> {
    /// The table at the file's top.
    pub(super) fn root(table: Table, mistakes: &'a mut Vec<Mistake>) -> Self {
        Self {
            name: "",
            table,
            mistakes,
        }
    }

    /// The table called `name` in this one; an empty one if it is absent.
    pub(super) fn section(&mut self, name: &'static str) -> Section<'_> {
        let table = match self.table.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.mistake(name, &format!("must be a table, not {}", kind(&other)));
                Table::new()
            }
        };
        Section {
            name,
            table,
            mistakes: self.mistakes,
        }
    }

    /// Reads `key` into `target` through `parse`; leaves `target` alone if the key is absent.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        target: &mut T,
        parse: impl FnOnce(Value) -> Result<T, String>,
    ) {
        match self.table.remove(key).map(parse) {
            None => {}
            Some(Ok(value)) => *target = value,
            Some(Err(what)) => self.mistake(key, &what),
        }
    }

    /// Those of `keys` that the table has and nobody has read.
    pub(super) fn present(&self, keys: &[&'static str]) -> Vec<&'static str> {
        let present = |key: &&&str| self.table.contains_key(**key);
        keys.iter().filter(present).copied().collect()
    }

    /// Takes `key` away unread.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    /// Notes that `key` is wrong.
    pub(super) fn mistake(&mut self, key: &str, what: &str) {
        let key = match self.name {
            "" => key.to_owned(),
            section => format!("{section}.{key}"),
        };
        self.mistakes.push(Mistake {
            file: None,
            key,
            what: what.to_owned(),
        });
    }

    /// Ends the section: keys that nobody read are unknown ones.
    pub(super) fn finish(mut self, known: &[&str]) {
        for key in std::mem::take(&mut self.table).keys() {
            let what = format!("unknown key; known are {}", known.join(", "));
            self.mistake(key, &what);
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "an array",
        Value::Boolean(_) => "a boolean",
        Value::Datetime(_) => "a date",
        Value::Float(_) => "a float",
        Value::Integer(_) => "an integer",
        Value::String(_) => "a string",
        Value::Table(_) => "a table",
    }
}

/// A string.
pub(super) fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("must be a string, not {}", kind(&other))),
    }
}

/// A boolean.
pub(super) fn boolean(value: Value) -> Result<bool, String> {
    match value {
        Value::Boolean(value) => Ok(value),
        other => Err(format!("must be true or false, not {}", kind(&other))),
    }
}

/// A whole number from `min` to `max`.
pub(super) fn number(value: &Value, min: u32, max: u32) -> Result<u32, String> {
    let Value::Integer(number) = value else {
        return Err(format!("must be a whole number, not {}", kind(value)));
    };
    u32::try_from(*number)
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("must be from {min} to {max}, not {number}"))
}

/// A duration like `"1m 30s"` from `min` to `max`.
pub(super) fn duration(value: Value, min: Duration, max: Duration) -> Result<Duration, String> {
    let shape = "must be a duration like \"30s\"";
    let text = match value {
        Value::String(text) => text,
        other => return Err(format!("{shape}, not {}", kind(&other))),
    };
    let duration = humantime::parse_duration(&text)
        .map_err(|error| format!("{shape}, not {text:?}: {error}"))?;
    if (min..=max).contains(&duration) {
        Ok(duration)
    } else {
        let (min, max) = (
            humantime::format_duration(min),
            humantime::format_duration(max),
        );
        Err(format!("must be from {min} to {max}, not {text:?}"))
    }
}

/// An array of strings, each read by `FromStr`; the first that does not fit is named.
pub(super) fn list_of<T>(value: Value) -> Result<Vec<T>, String>
where
    T: std::str::FromStr<Err: fmt::Display>,
{
    let Value::Array(items) = value else {
        return Err(format!("must be an array of strings, not {}", kind(&value)));
    };
    items
        .into_iter()
        .map(|item| text(item)?.parse::<T>().map_err(|error| error.to_string()))
        .collect()
}
