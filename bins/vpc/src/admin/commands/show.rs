//! Answers of the admin API as a person reads them.

use underlay_vpc_model::{BucketKind, BucketState, Budget, CallCount, Fault, Hazard};

use crate::admin::{ClockState, EniFacts, EniReport, FlowReport, Inspection, Limits};

pub(super) fn clock(clock: &ClockState) -> String {
    let next = match clock.next_in_seconds {
        Some(seconds) => format!("something ends in {seconds} s"),
        None => "nothing is under way".to_owned(),
    };
    format!("{}, speed {}; {next}\n", clock.now, clock.speed)
}

pub(super) fn buckets(buckets: &[BucketState]) -> String {
    let row = |bucket: &BucketState| {
        let kind = match bucket.kind {
            BucketKind::Requests => "",
            BucketKind::Broad => " (broad)",
            BucketKind::Resources => " (resources)",
        };
        vec![
            format!("{}{kind}", bucket.action),
            bucket.tokens.to_string(),
            bucket.budget.burst.to_string(),
            rate(bucket.budget),
        ]
    };
    table(
        &["bucket", "left", "of", "a second"],
        buckets.iter().map(row),
    )
}

pub(super) fn calls(calls: &[CallCount]) -> String {
    let row = |count: &CallCount| {
        let action = match count.action.as_str() {
            "" => "(none)",
            action => action,
        };
        vec![
            action.to_owned(),
            count.result.clone(),
            count.calls.to_string(),
        ]
    };
    table(&["action", "result", "calls"], calls.iter().map(row))
}

pub(super) fn faults(faults: &[Fault]) -> String {
    let row = |fault: &Fault| {
        let request = &fault.request;
        let or_any = |text: &Option<String>| text.clone().unwrap_or_else(|| "any".to_owned());
        vec![
            fault.id.to_string(),
            request.hazard.to_string(),
            or_any(&request.action),
            or_any(&request.target),
            request.probability.to_string(),
            request
                .count
                .map_or_else(|| "no end".to_owned(), |count| count.to_string()),
            request.delay().to_string(),
            fault.struck.to_string(),
        ]
    };
    let titles = [
        "id",
        "hazard",
        "action",
        "target",
        "probability",
        "left",
        "delay",
        "struck",
    ];
    table(&titles, faults.iter().map(row))
}

pub(super) fn hazards() -> String {
    let row = |hazard: &Hazard| vec![hazard.to_string(), hazard.describe().to_owned()];
    table(&["hazard", "what it does"], Hazard::ALL.iter().map(row))
}

pub(super) fn inspection(inspection: &Inspection) -> String {
    let mut text = enis(&inspection.enis);
    let instances = inspection.instances.iter().map(|instance| {
        vec![
            instance.id.clone(),
            instance.flows.to_string(),
            instance.dropped.to_string(),
        ]
    });
    text += &unless_empty(
        &["instance", "tracked flows", "dropped for want of room"],
        instances,
    );
    let flow = |eni: &str, flow: &FlowReport| {
        vec![
            eni.to_owned(),
            flow.protocol.to_string(),
            flow.local.clone(),
            flow.remote.clone(),
            flow.begun.clone(),
            flow.phase.clone(),
            format!("{} s", flow.idle_seconds),
        ]
    };
    let flows = inspection.enis.iter().flat_map(|eni| {
        let latest = eni.tracked.iter().flat_map(|tracked| &tracked.latest);
        latest.map(|each| flow(&eni.id, each))
    });
    let titles = [
        "eni", "protocol", "local", "remote", "begun", "phase", "idle",
    ];
    text += &unless_empty(&titles, flows);
    let refused = inspection.refused.iter().map(|refused| {
        let next = if refused.given_up {
            "at a restart"
        } else {
            "soon"
        };
        vec![
            refused.of.clone(),
            refused.tries.to_string(),
            next.to_owned(),
            refused.error.clone(),
        ]
    });
    text + &unless_empty(&["refused", "tries", "next", "error"], refused)
}

/// A table after an empty line, if it has rows.
fn unless_empty(titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut rows = rows.peekable();
    match rows.peek() {
        None => String::new(),
        Some(_) => format!("\n{}", table(titles, rows)),
    }
}

fn enis(enis: &[EniReport]) -> String {
    let row = |id: &str, seen: &str, facts: &Option<EniFacts>| match facts {
        None => vec![id.to_owned(), seen.to_owned(), "nothing".to_owned()],
        Some(facts) => {
            let place = match (&facts.instance, facts.device_index, &facts.attachment) {
                (Some(instance), Some(index), Some(attachment)) => {
                    format!("{instance} {index} {attachment}")
                }
                (None, _, Some(attachment)) => attachment.clone(),
                _ => "nowhere".to_owned(),
            };
            let addresses = facts.addresses.join(" ");
            vec![
                id.to_owned(),
                seen.to_owned(),
                facts.status.clone(),
                place,
                addresses,
            ]
        }
    };
    let rows = enis.iter().flat_map(|eni| {
        [
            row(&eni.id, "now", &eni.now),
            row("", "described", &eni.described),
            row("", "metadata", &eni.metadata),
        ]
    });
    table(&["eni", "seen", "status", "at", "addresses"], rows)
}

pub(super) fn limits(limits: &Limits) -> String {
    let budgets = &limits.budgets;
    let row = |name: &str, budget: &Budget| {
        vec![name.to_owned(), budget.burst.to_string(), rate(*budget)]
    };
    let classes = [
        row("reading", &budgets.reading),
        row("broad", &budgets.broad),
        row("changing", &budgets.changing),
    ];
    let actions = budgets.actions.iter().map(|(name, each)| row(name, each));
    let resources = budgets
        .resources
        .iter()
        .map(|(name, each)| row(&format!("{name}:resources"), each));
    let rows = classes.into_iter().chain(actions).chain(resources);
    let throttles = if limits.throttles { "on" } else { "off" };
    format!(
        "throttling is {throttles}\n{}",
        table(&["budget", "at once", "a second"], rows)
    )
}

fn rate(budget: Budget) -> String {
    f64::from(budget.per_second).to_string()
}

/// Rows under titles, columns as wide as they must be.
fn table(titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let titles = titles.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(titles).chain(rows).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    rows.iter().fold(String::new(), |text, row| {
        let cells: Vec<_> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:<width$}", width = width(column)))
            .collect();
        format!("{text}{}\n", cells.join("  ").trim_end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [
            vec!["ab".to_owned(), "1".to_owned()],
            vec!["c".to_owned(), "22".to_owned()],
        ];
        let text = table(&["x", "yyy"], rows.into_iter());
        assert_eq!(text, "x   yyy\nab  1\nc   22\n");
    }
}
