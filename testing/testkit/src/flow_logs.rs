//! Reading the flow logs that a VPC wrote.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use anyhow::Context as _;

/// A line of a flow log, with the names of its fields from the file's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowLogLine {
    names: Vec<String>,
    values: Vec<String>,
}

impl FlowLogLine {
    /// The value of a field, such as `pkt-srcaddr`; empty if the format lacks it.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        let index = self.names.iter().position(|known| known == name);
        index
            .and_then(|index| self.values.get(index))
            .map_or("", String::as_str)
    }

    /// The line as it was written.
    #[must_use]
    pub fn text(&self) -> String {
        self.values.join(" ")
    }
}

/// Reads every flow-log file below `folder`, compressed or not.
///
/// # Errors
/// When a file cannot be read.
pub fn read_flow_logs(folder: &Path) -> anyhow::Result<Vec<FlowLogLine>> {
    let mut lines = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(lines); // nothing was written yet
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            lines.extend(read_flow_logs(&path)?);
        } else if path.file_name().is_some_and(is_flow_log) {
            let text = read(&path).with_context(|| format!("reading {}", path.display()))?;
            lines.extend(parse(&text));
        }
    }
    Ok(lines)
}

/// A hidden file is one that is still being written.
fn is_flow_log(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    !name.starts_with('.') && (name.ends_with(".log") || name.ends_with(".log.gz"))
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        // A file that is still appended to consists of several members.
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text)?;
    } else {
        file.read_to_string(&mut text)?;
    }
    Ok(text)
}

fn parse(text: &str) -> impl Iterator<Item = FlowLogLine> + '_ {
    let mut lines = text.lines();
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let names = lines.next().map(words).unwrap_or_default();
    lines.map(move |line| FlowLogLine {
        names: names.clone(),
        values: words(line),
    })
}
