//! What people see: progress while it runs, a table at the end.

use std::io::{self, Write as _};

use super::row::Row;

/// Standard output. A reader that went away does not stop a measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen(());

impl Screen {
    pub(super) fn new() -> Self {
        Self(())
    }

    pub(super) fn say(self, line: &str) {
        writeln!(io::stdout(), "{line}").ok();
    }
}

/// The rows as a table: medians, and how ours relates to floor and peer.
pub(super) fn table(rows: &[Row]) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
    let mut lines = vec![
        [
            "ID", "OURS", "P99", "FLOOR", "x", "PEER", "x", "UNIT", "N", "PEER IS",
        ]
        .map(str::to_owned),
    ];
    for row in rows {
        lines.push([
            row.id.to_owned(),
            number(row.ours),
            number(row.p99),
            number(row.floor),
            number(row.ratio_to_floor),
            number(row.peer),
            number(row.ratio_to_peer),
            row.unit.to_owned(),
            row.n.to_string(),
            row.peer_name.clone().unwrap_or_default(),
        ]);
    }
    let mut text = aligned(&lines);
    for row in rows {
        text += &format!("{}: {}\n", row.id, row.what);
    }
    text + "Medians (p50) of one interleaved run; x is ours divided by the column before."
}

fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
