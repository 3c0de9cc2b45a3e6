//! The node's state for people.

use serde_json::{Value, json};
use underlay_ipam::Standing;
use underlay_journal::{LeaseRecord, LeaseState};
use underlay_types::Interface;

use super::Actor;
use crate::service::Measures;

impl Actor {
    /// The allocator's report, with what only the engine knows added.
    pub(super) fn report(&self) -> Value {
        let identity = &self.caller.node.identity;
        let mut report = serde_json::to_value(self.ipam.report()).unwrap_or_default();
        for eni in items(&mut report, "enis") {
            let id = eni
                .get("eni")
                .and_then(Value::as_str)
                .and_then(|id| id.parse().ok());
            if let Some(facts) = id.and_then(|id| self.enis.get(&id)) {
                eni["mac"] = json!(facts.mac);
                eni["subnet"] = json!(facts.subnet);
            }
        }
        let leases = &self.journal.state().leases;
        for lease in items(&mut report, "leases") {
            let key = lease
                .get("key")
                .cloned()
                .and_then(|key| serde_json::from_value(key).ok());
            if let Some(record) = key.and_then(|key| leases.get(&key)) {
                lease["pod"] = json!(record.pod);
                lease["pool"] = json!(record.pool.to_string());
                lease["since_wall_ms"] = json!(record.since_wall_ms);
                lease["state"] = json!(record.state);
                if let Interface::Whole(_) = record.interface {
                    lease["interface"] = json!("whole");
                }
                lease["netns"] = json!(record.netns_path);
                lease["egress"] = json!(record.egress);
            }
        }
        let branches = leases.values().filter_map(branch_lease);
        if let Some(all) = report.get_mut("leases").and_then(Value::as_array_mut) {
            all.extend(branches);
        }
        report["trunk"] = json!(self.trunk().map(|trunk| trunk.eni));
        report["instance"] = json!(identity);
        report["subnet"] = json!({
            "subnet_id": self.caller.node.subnet,
            "cidr": self.caller.node.subnet_cidr,
            "primary_address": self.caller.node.primary_address,
        });
        report["cut_off"] = json!(self.troubles_of_pods());
        report["waits_for"] = json!(self.waits_for());
        report["notices"] = self
            .notices
            .iter()
            .map(|noted| json!({ "wall_ms": noted.wall_ms, "text": noted.text }))
            .collect();
        report["ec2"] = json!(self.caller.ec2.counters());
        report
    }

    /// The node in numbers.
    pub(super) fn measures(&self) -> Measures {
        Measures {
            addresses: self.ipam.report(),
            ec2: self.caller.ec2.counters(),
            retired_devices: self.retired.len(),
            branch_pods: self.branch_leases().count(),
            branch_packets: self.kernel.branch_packets(),
            notices: self.notice_counts.clone(),
            repairs: self.kernel.repairs(),
        }
    }

    pub(super) fn branch_leases(&self) -> impl Iterator<Item = &LeaseRecord> {
        let leases = self.journal.state().leases.values();
        leases.filter(|lease| lease.interface.branch().is_some())
    }

    fn waits_for(&self) -> Vec<String> {
        let mut waits = Vec::new();
        if self.looks.under_way {
            waits.push("EC2 to say what this instance has".to_owned());
        }
        if !self.retired.is_empty() {
            waits.push(format!(
                "the kernel to delete {} devices of old pods",
                self.retired.len()
            ));
        }
        waits
    }

    /// What keeps a draining node from being empty.
    pub(super) fn not_drained(&self) -> Vec<String> {
        if self.ipam.is_drained() && self.branch_leases().next().is_none() {
            return Vec::new();
        }
        let leases = &self.journal.state().leases;
        let mut left: Vec<String> = leases
            .values()
            .map(|lease| {
                let what = if lease.state == LeaseState::Active {
                    "pod"
                } else {
                    "unfinished pod"
                };
                let name = lease.pod.as_ref().map_or_else(
                    || lease.key.to_string(),
                    |pod| format!("{}/{}", pod.namespace, pod.name),
                );
                let addresses = lease
                    .addresses()
                    .map_or_else(String::new, |ips| ips.to_string());
                format!("{what} {name} has {addresses} of {}", lease.eni)
            })
            .collect();
        let report = self.ipam.report();
        left.extend(
            report
                .enis
                .iter()
                .filter(|eni| !(eni.primary && eni.total == 0))
                .filter(|eni| eni.standing != Standing::Unmanaged)
                .map(|eni| format!("{} still has {} addresses", eni.eni, eni.total)),
        );
        left.extend(
            report
                .calls
                .iter()
                .map(|call| format!("EC2 has yet to {call}")),
        );
        left.extend(self.waits_for());
        left.extend(
            self.notices
                .back()
                .map(|noted| format!("last trouble: {}", noted.text)),
        );
        left
    }
}

/// A lease that the allocator does not know of, in its words and with what else is to be told.
fn branch_lease(record: &LeaseRecord) -> Option<Value> {
    let branch = record.interface.branch()?;
    Some(json!({
        "key": record.key,
        "addresses": record.addresses(),
        "eni": record.eni,
        "missing": false,
        "branch": { "vlan": branch.vlan, "mode": branch.enforcement, "mac": branch.mac },
        "pod": record.pod,
        "since_wall_ms": record.since_wall_ms,
        "state": record.state,
        "netns": record.netns_path,
    }))
}

fn items<'a>(report: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    report
        .get_mut(list)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}
