//! Who may call whom: intended and observed.

use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use underlay_testkit::probe::{Verdict, tcp_probe};

use super::tiers::{Party, Role};
use crate::screen::{Screen, Tone};

/// How long silence must last to count as refused.
const REFUSED_AFTER: Duration = Duration::from_millis(900);

/// What each probe found: `[from][to]`; `None` where nobody serves or it is oneself.
pub(super) type Findings = Vec<Vec<Option<Verdict>>>;

/// How long a call that should succeed may take on a busy machine.
pub(super) const ALLOWED_WITHIN: Duration = Duration::from_secs(5);

/// Tries every pair at once, and waits longer for those that are `intended`.
pub(super) async fn probe_all(
    parties: &[Party],
    intended: impl Fn(Role, Role) -> bool,
) -> anyhow::Result<Findings> {
    let mut probes = JoinSet::new();
    for (row, from) in parties.iter().enumerate() {
        for (column, to) in parties.iter().enumerate() {
            let Some(target) = to.served_at().filter(|_| row != column) else {
                continue;
            };
            let netns = from.netns.clone();
            let wait = if intended(from.role, to.role) {
                ALLOWED_WITHIN
            } else {
                REFUSED_AFTER
            };
            probes.spawn(async move { (row, column, tcp_probe(&netns, target, wait).await) });
        }
    }
    let mut findings: Findings = parties.iter().map(|_| vec![None; parties.len()]).collect();
    while let Some(probe) = probes.join_next().await {
        let (row, column, verdict) = probe.context("a probe panicked")?;
        findings[row][column] = Some(verdict);
    }
    Ok(findings)
}

/// The matrix; each cell is a check against `intended`.
pub(super) fn show(
    screen: &mut Screen,
    parties: &[Party],
    findings: &Findings,
    intended: impl Fn(Role, Role) -> bool,
) {
    let mut rows = Vec::new();
    let servers: Vec<usize> = (0..parties.len())
        .filter(|index| parties[*index].server.is_some())
        .collect();
    for (from, row) in parties.iter().zip(findings) {
        let mut cells = vec![from.name.clone()];
        for &column in &servers {
            let Some(verdict) = &row[column] else {
                cells.push("-".to_owned());
                continue;
            };
            let to = &parties[column];
            let allowed = intended(from.role, to.role);
            let held = match verdict {
                Verdict::Allowed(source) if allowed && source.ip() == from.address => Ok(()),
                Verdict::Refused if !allowed => Ok(()),
                other => Err(format!(
                    "intended {}, observed {other}",
                    if allowed { "allowed" } else { "refused" }
                )),
            };
            cells.push(match (&held, allowed) {
                (Ok(()), true) => screen.tone(Tone::Good, "allowed"),
                (Ok(()), false) => screen.tone(Tone::Faint, "refused"),
                (Err(_), _) => screen.tone(Tone::Bad, "WRONG"),
            });
            screen.count(format!("{} -> {}", from.name, to.name), held);
        }
        rows.push(cells);
    }
    let ports: Vec<String> = servers
        .iter()
        .map(|&index| {
            let port = parties[index].role.port().unwrap_or_default();
            format!("{}:{port}", parties[index].name)
        })
        .collect();
    let mut head = vec!["from \\ to"];
    head.extend(ports.iter().map(String::as_str));
    screen.table(&head, &rows);
    screen.line(screen.tone(
        Tone::Faint,
        "a cell stands as intended and observed; WRONG where they differ, explained above",
    ));
}
