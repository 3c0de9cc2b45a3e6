//! `[log]`: what the agent tells on standard error.

use std::str::FromStr;

use super::mistakes::{Section, text};

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogConfig {
    /// `format`: how a line is written.
    pub format: LogFormat,
    /// `level`: what is told.
    pub level: LogLevel,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// The least important that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// What went wrong and needs somebody.
    Error,
    /// And what went wrong and is tried again.
    Warn,
    /// And what was done.
    #[default]
    Info,
    /// And how.
    Debug,
    /// Everything.
    Trace,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("must be \"text\" or \"json\", not {other:?}")),
        }
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            other => Err(format!(
                "must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\", not {other:?}"
            )),
        }
    }
}

pub(super) fn read(mut section: Section<'_>) -> LogConfig {
    let mut config = LogConfig::default();
    section.read("format", &mut config.format, |value| text(value)?.parse());
    section.read("level", &mut config.level, |value| text(value)?.parse());
    section.finish(&["format", "level"]);
    config
}
