//! What a program that checks while it shows prints, and the count of its checks.
#![expect(clippy::print_stdout, reason = "the output is its purpose")]

use std::{
    fmt::Display,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// The terminal, the checks so far, and the time each step took.
#[derive(Debug)]
pub(crate) struct Screen {
    program: &'static str,
    colors: bool,
    checks: usize,
    failed: usize,
    started: Instant,
    current: Option<(String, Instant)>,
    steps: Vec<(String, Duration)>,
}

/// How a word is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Beside the point.
    Faint,
    /// A heading.
    Strong,
}

impl Screen {
    /// The standard output for `program`, which the last line names; colours only on a terminal,
    /// and not if `NO_COLOR` is set.
    pub(crate) fn new(program: &'static str) -> Self {
        let colors = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            program,
            colors,
            checks: 0,
            failed: 0,
            started: Instant::now(),
            current: None,
            steps: Vec::new(),
        }
    }

    /// How many checks failed.
    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// `text` in a tone.
    pub(crate) fn tone(&self, tone: Tone, text: impl Display) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        if self.colors {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    /// The heading of all.
    pub(crate) fn title(&self, text: &str) {
        println!("\n{}", self.tone(Tone::Strong, text));
    }

    /// The heading of an act.
    pub(crate) fn act(&mut self, text: &str) {
        self.end_step();
        println!("\n{}", self.tone(Tone::Strong, text));
        println!(
            "{}",
            self.tone(Tone::Strong, "=".repeat(text.chars().count()))
        );
    }

    /// Begins a step; its time runs until the next one begins.
    pub(crate) fn step(&mut self, text: &str) {
        self.end_step();
        println!(
            "\n{} {}",
            self.tone(Tone::Strong, "-"),
            self.tone(Tone::Strong, text)
        );
        // The line must be seen while the step works, also through a pipe.
        std::io::stdout().flush().ok();
        self.current = Some((text.to_owned(), Instant::now()));
    }

    fn end_step(&mut self) {
        if let Some((name, since)) = self.current.take() {
            self.steps.push((name, since.elapsed()));
        }
    }

    /// A line of the current step.
    pub(crate) fn line(&self, text: impl Display) {
        println!("  {text}");
        std::io::stdout().flush().ok();
    }

    /// A line that belongs to no step.
    pub(crate) fn note(&self, text: &str) {
        println!("{text}");
    }

    /// Counts a check; prints it only if it failed.
    pub(crate) fn count(&mut self, what: impl Display, held: Result<(), String>) -> bool {
        self.checks += 1;
        if let Err(why) = &held {
            self.failed += 1;
            println!("  {} {what}: {why}", self.tone(Tone::Bad, "FAILED"));
        }
        held.is_ok()
    }

    /// Counts a check and prints how it ended.
    pub(crate) fn check(&mut self, what: impl Display, held: Result<(), String>) {
        if self.count(&what, held) {
            println!("  {} {what}", self.tone(Tone::Good, "ok"));
        }
    }

    /// A table; columns are as wide as their widest cell.
    pub(crate) fn table(&self, head: &[&str], rows: &[Vec<String>]) {
        let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(visible_width(cell));
            }
        }
        let head = head
            .iter()
            .map(|cell| self.tone(Tone::Faint, cell))
            .collect::<Vec<_>>();
        for row in std::iter::once(&head).chain(rows) {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| pad(cell, *width));
            println!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }

    /// The time each step took.
    pub(crate) fn times(&mut self) {
        self.end_step();
        println!("\n{}", self.tone(Tone::Strong, "Times"));
        for (name, took) in &self.steps {
            println!("  {:6.2} s  {name}", took.as_secs_f64());
        }
        println!(
            "  {:6.2} s  altogether",
            self.started.elapsed().as_secs_f64()
        );
    }

    /// What to do now.
    pub(crate) fn next_commands(&self, commands: &[String]) {
        println!("\n{}", self.tone(Tone::Strong, "To try next"));
        for command in commands {
            println!("  {command}");
        }
    }

    /// The last line.
    pub(crate) fn verdict(&self) {
        let Self {
            program,
            checks,
            failed,
            ..
        } = self;
        println!("\n{program}: {checks} checks, {failed} failed");
    }
}

/// Characters of a cell without its colour codes.
fn visible_width(cell: &str) -> usize {
    let mut inside_code = false;
    let visible = cell.chars().filter(|c| {
        let counts = !inside_code && *c != '\x1b';
        inside_code = (inside_code || *c == '\x1b') && *c != 'm';
        counts
    });
    visible.count()
}

fn pad(cell: &str, width: usize) -> String {
    format!(
        "{cell}{}",
        " ".repeat(width.saturating_sub(visible_width(cell)))
    )
}
