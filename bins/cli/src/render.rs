//! Tables for people. Pure: a status in, text out.

mod table;

use self::table::Table;
use crate::node_status::{BranchStatus, EniStatus, LeaseStatus, NodeStatus, PoolStatus};

/// Notices shown; the agent's log has all.
const NOTICES_SHOWN: usize = 5;

/// Pods that may be cut off, ENIs, pools, EC2 calls, what the agent waits for and what went wrong lately. `now_ms` is the
/// time in milliseconds since 1970.
pub(crate) fn node_status(status: &NodeStatus, now_ms: u64) -> String {
    let mut text = headline(status);
    text.push_str(&cut_off(status));
    text.push_str(&enis(&status.enis));
    text.push('\n');
    text.push_str(&pools(&status.pools));
    if !status.ec2.is_empty() {
        text.push('\n');
        text.push_str(&ec2_calls(status));
    }
    text.push('\n');
    text.push_str(&waits(status));
    text.push_str(&notices(status, now_ms));
    text
}

/// The pods and their addresses.
pub(crate) fn pods(status: &NodeStatus) -> String {
    if status.leases.is_empty() {
        return "no pods have addresses here\n".to_owned();
    }
    let mut table = Table::new(["ADDRESSES", "POD", "ENI", "CONTAINER", "INTERFACE", "NOTE"]);
    for LeaseStatus {
        key,
        addresses,
        eni,
        interface,
        missing,
        branch,
        pod,
    } in &status.leases
    {
        let pod = pod
            .as_ref()
            .map(|pod| format!("{}/{}", pod.namespace, pod.name));
        table.row([
            addresses.to_string(),
            pod.unwrap_or_else(|| "-".to_owned()),
            eni.clone(),
            short(key.container.as_str()),
            key.ifname.to_string(),
            note(interface.as_deref(), branch.as_ref(), *missing),
        ]);
    }
    table.to_string()
}

/// What is special about a pod's addresses.
fn note(interface: Option<&str>, branch: Option<&BranchStatus>, missing: bool) -> String {
    let interface = match interface {
        Some("whole") => Some("owns the ENI".to_owned()),
        other => other.map(str::to_owned),
    };
    let branch = branch.map(|branch| format!("branch, VLAN {}, {}", branch.vlan, branch.mode));
    let missing = missing.then(|| "not in EC2 any more".to_owned());
    let notes: Vec<_> = interface.into_iter().chain(branch).chain(missing).collect();
    notes.join(", ")
}

fn headline(status: &NodeStatus) -> String {
    let mut line = match &status.instance {
        Some(instance) => {
            let kind: Vec<&str> = [&instance.instance_type, &instance.zone]
                .into_iter()
                .map(String::as_str)
                .filter(|word| !word.is_empty())
                .collect();
            format!("node {} ({})", instance.instance_id, kind.join(", "))
        }
        None => "node".to_owned(),
    };
    let pods = status.leases.len();
    line.push_str(&format!(
        ": {pods} {}",
        if pods == 1 { "pod" } else { "pods" }
    ));
    if status.draining {
        line.push_str(", draining");
    }
    line.push_str("\n\n");
    line
}

fn cut_off(status: &NodeStatus) -> String {
    if status.cut_off.is_empty() {
        return String::new();
    }
    let lines = status.cut_off.iter().map(|line| format!("  {line}\n"));
    format!(
        "running pods may be cut off:\n{}\n",
        lines.collect::<String>()
    )
}

fn enis(enis: &[EniStatus]) -> String {
    if enis.is_empty() {
        return "no ENIs known yet\n".to_owned();
    }
    let mut table = Table::new([
        "ENI",
        "INDEX",
        "STATE",
        "ADDRESSES",
        "FREE",
        "PODS",
        "COOLING",
        "POOL",
    ]);
    for eni in enis {
        let state = if eni.suspended {
            "suspended (its groups changed)".to_owned()
        } else if matches!(eni.standing.as_str(), "" | "serving") {
            eni.stage.clone()
        } else {
            format!("{}, {}", eni.stage, eni.standing)
        };
        table.row([
            eni.eni.clone(),
            eni.index
                .map_or_else(|| "-".to_owned(), |index| index.to_string()),
            state,
            eni.total.to_string(),
            eni.free.to_string(),
            eni.leased.to_string(),
            eni.cooling.to_string(),
            eni.pool.clone(),
        ]);
    }
    table.to_string()
}

fn pools(pools: &[PoolStatus]) -> String {
    if pools.is_empty() {
        return "no pools yet\n".to_owned();
    }
    let mut table = Table::new([
        "POOL", "FREE", "OF", "PODS", "COOLING", "ENIS", "WAITING", "NOTE",
    ]);
    for pool in pools {
        let failure = pool.last_failure.as_ref();
        table.row([
            pool.pool.to_string(),
            pool.free.to_string(),
            pool.total.to_string(),
            pool.leased.to_string(),
            pool.cooling.to_string(),
            pool.enis.to_string(),
            pool.waiting.to_string(),
            failure
                .map(|failure| format!("growth failed: {}: {}", failure.code, failure.message))
                .unwrap_or_default(),
        ]);
    }
    table.to_string()
}

fn ec2_calls(status: &NodeStatus) -> String {
    let mut table = Table::new(["EC2 ACTION", "OK", "OTHER RESULTS"]);
    for (action, counters) in &status.ec2 {
        let others: Vec<String> = counters
            .results
            .iter()
            .filter(|(result, _count)| *result != "ok")
            .map(|(result, count)| format!("{result} {count}"))
            .collect();
        let ok = counters.results.get("ok").copied().unwrap_or(0);
        table.row([action.clone(), ok.to_string(), others.join(", ")]);
    }
    table.to_string()
}

fn waits(status: &NodeStatus) -> String {
    let calls = status.calls.iter().map(|call| format!("EC2: {call}"));
    let others = status.waits_for.iter().cloned();
    let pods = status.waiting.iter().map(|pod| {
        format!(
            "{} for an address of {} since {}.{}s: {}",
            short(pod.key.container.as_str()),
            pod.pool,
            pod.waited_ms / 1000,
            pod.waited_ms % 1000 / 100,
            pod.waits_for
        )
    });
    let lines: Vec<String> = others.chain(calls).chain(pods).collect();
    if lines.is_empty() {
        return "waits for nothing\n".to_owned();
    }
    lines.iter().fold("waits for:\n".to_owned(), |text, line| {
        text + "  " + line + "\n"
    })
}

fn notices(status: &NodeStatus, now_ms: u64) -> String {
    let skipped = status.notices.len().saturating_sub(NOTICES_SHOWN);
    let lines = status.notices.iter().skip(skipped).map(|notice| {
        let seconds = now_ms.saturating_sub(notice.wall_ms) / 1000;
        format!("  {} ago: {}\n", age(seconds), notice.text)
    });
    let lines: String = lines.collect();
    if lines.is_empty() {
        return lines;
    }
    format!("trouble lately:\n{lines}")
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3600),
    }
}

/// Container ids are 64 digits long; thirteen tell them apart, as in `crictl`.
fn short(container: &str) -> String {
    container.chars().take(13).collect()
}

#[cfg(test)]
mod tests;
