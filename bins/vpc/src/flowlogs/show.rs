//! `underlay-vpc logs`: the lines of all objects and streams, in the order of their time.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use underlay_flowlog::ObjectName;
use underlay_types::Timestamp;

use super::{LoggedLine, ReadError, Sieve, read_object, read_stream, writer::is_stream};

/// How often `--follow` looks for new files.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// Print flow-log lines, oldest first. Lines that start with # name the fields of those below.
#[derive(Debug, Clone, clap::Args)]
pub struct LogsArgs {
    /// The flow-log folder of a run.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Keep printing what is delivered from now on.
    #[arg(long)]
    pub follow: bool,
    /// Which lines
    #[command(flatten)]
    pub sieve: Sieve,
}

/// Why lines cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// A folder cannot be listed.
    #[error("listing flow-log folder {path} failed", path = .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The lines cannot be written.
    #[error("writing flow-log lines failed")]
    Output(#[source] io::Error),
}

/// Prints the lines of all files below the folder; with `follow`, until `stop` says so.
///
/// # Errors
/// If the folder or a file cannot be read, or `out` not written. A reader of `out` who has seen
/// enough (a closed pipe) is no error.
pub fn show(
    args: &LogsArgs,
    out: &mut impl Write,
    stop: impl Fn() -> bool,
) -> Result<(), ShowError> {
    let mut shown = Shown::default();
    loop {
        match shown.print_new(args, out) {
            Err(ShowError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(());
            }
            printed => printed?,
        }
        if !args.follow || stop() {
            return Ok(());
        }
        std::thread::sleep(FOLLOW_INTERVAL);
    }
}

/// What was printed already.
#[derive(Debug, Default)]
struct Shown {
    /// How far each file was read.
    files: BTreeMap<PathBuf, u64>,
    header: String,
}

impl Shown {
    fn print_new(&mut self, args: &LogsArgs, out: &mut impl Write) -> Result<(), ShowError> {
        let mut lines = Vec::new();
        for path in files_below(&args.dir, args.follow)? {
            lines.extend(self.read_new(path)?);
        }
        // A stable sort: lines of one second keep the order of their files.
        lines.sort_by_key(|line| line.at_secs);
        let now = wall_clock();
        lines
            .iter()
            .filter(|line| args.sieve.wants(line, now))
            .try_for_each(|line| self.print(line, out))
            .and_then(|()| out.flush())
            .map_err(ShowError::Output)
    }

    fn read_new(&mut self, path: PathBuf) -> Result<Vec<LoggedLine>, ReadError> {
        let known = self.files.get(&path).copied();
        let (lines, end) = if is_stream(&path) {
            read_stream(&path, known.unwrap_or(0))?
        } else if known.is_none() {
            (read_object(&path)?, 0)
        } else {
            return Ok(Vec::new());
        };
        self.files.insert(path, end);
        Ok(lines)
    }

    fn print(&mut self, line: &LoggedLine, out: &mut impl Write) -> io::Result<()> {
        if self.header != line.header {
            self.header.clone_from(&line.header);
            writeln!(out, "# {}", line.header)?;
        }
        writeln!(out, "{}", line.text)
    }
}

/// Delivered files below a folder, by path. While following, a folder may come to be later.
fn files_below(dir: &Path, may_be_missing: bool) -> Result<Vec<PathBuf>, ShowError> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let listed = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match listed {
            Err(error) if may_be_missing && error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => {
                return Err(ShowError::Folder {
                    path: folder,
                    source,
                });
            }
            Ok(entries) => entries,
        };
        for entry in entries {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if is_object(&path) || is_stream(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_object(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.parse::<ObjectName>().is_ok())
}

fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::ZERO + since.unwrap_or_default()
}

#[cfg(test)]
mod tests;
