//! The text of the node's nftables table.

use crate::{
    NodeFacts, egress,
    numbers::{
        ENI_MARK_MASK, NFT_ENI, NFT_POD_EXPLICIT, NFT_POD_MARK, NFT_POD_MARK_V6, NFT_POD_POLICY,
        NFT_TABLE, POD_GROUP, PRIMARY_CONNMARK, RETIRED_GROUP,
    },
    services, snat,
};

/// A rule: its chain and its text.
pub(crate) type Rule = (&'static str, String);

/// The chains of the table that are not of a group set, with their hooks.
const CHAINS: [(&str, &str); 9] = [
    (
        services::FIRST,
        "{ type filter hook prerouting priority raw; policy accept; }",
    ),
    (
        "prerouting",
        "{ type filter hook prerouting priority mangle; policy accept; }",
    ),
    ("from-pod", ""),
    (
        snat::DECISION,
        "{ type filter hook prerouting priority dstnat + 10; policy accept; }",
    ),
    (
        "input",
        "{ type filter hook input priority filter - 10; policy accept; }",
    ),
    ("guarded", ""),
    (
        "forward",
        "{ type filter hook forward priority filter - 10; policy accept; }",
    ),
    (
        snat::TRANSLATION,
        "{ type nat hook postrouting priority srcnat; policy accept; }",
    ),
    (
        services::LAST,
        "{ type filter hook postrouting priority srcnat + 10; policy accept; }",
    ),
];

/// Where the instance metadata service answers, by family.
const METADATA: [(&str, &str); 2] = [("ip", "169.254.169.254"), ("ip6", "fd00:ec2::254")];

/// A script that makes the table, or brings its chains to this state and leaves the elements of
/// its maps and the chains of group sets alone.
pub(crate) fn base(facts: &NodeFacts) -> String {
    let table = format!("inet {NFT_TABLE}");
    let mut script = format!(
        "add table {table}
add set {table} {NFT_ENI} {{ type iface_index; }}
add map {table} {NFT_POD_MARK} {{ type iface_index . ipv4_addr : mark; }}
add map {table} {NFT_POD_MARK_V6} {{ type iface_index . ipv6_addr : mark; }}
add set {table} {NFT_POD_EXPLICIT} {{ type iface_index; }}
add map {table} {NFT_POD_POLICY} {{ type iface_index : verdict; }}
"
    );
    script += &services::sets();
    script += &snat::set();
    for (chain, hook) in CHAINS {
        script += format!("add chain {table} {chain} {hook}").trim_end();
        script += "\n";
    }
    for (chain, _) in CHAINS {
        script += &format!("flush chain {table} {chain}\n");
    }
    if let Some(snat) = &facts.snat {
        script += &snat::elements(&snat.kept);
    }
    for (chain, line) in rules(facts) {
        script += &format!("add rule {table} {chain} {line}\n");
    }
    script
}

/// The rules, in their order. None depends on how many pods or ENIs there are.
fn rules(facts: &NodeFacts) -> Vec<Rule> {
    let mut rules = vec![
        // A device that waits to be deleted belongs to no pod any more.
        (
            "prerouting",
            format!("meta iifgroup {RETIRED_GROUP:#x} drop"),
        ),
        (
            "prerouting",
            format!("meta iifgroup {POD_GROUP:#x} goto from-pod"),
        ),
        // Connections to the node (hostPort, NodePort) that may be handed to a pod later.
        (
            "prerouting",
            format!(
                "iifname \"{}\" ct state new fib daddr type local ct mark set ct mark or {PRIMARY_CONNMARK:#x}",
                facts.primary_device
            ),
        ),
        // The mark of the pod's ENI, if the source is the pod's own address; else nothing passes.
        (
            "from-pod",
            format!("meta mark set iif . ip saddr map @{NFT_POD_MARK}"),
        ),
        (
            "from-pod",
            format!("meta mark set iif . ip6 saddr map @{NFT_POD_MARK_V6}"),
        ),
        (
            "from-pod",
            format!("meta mark and {ENI_MARK_MASK:#x} == 0 drop"),
        ),
        // Their replies carry the node's address, which only the primary ENI may send.
        (
            "from-pod",
            format!(
                "ct direction reply ct mark and {PRIMARY_CONNMARK:#x} != 0 meta mark set meta mark and {:#x}",
                !ENI_MARK_MASK
            ),
        ),
        // The VPC never sees what a pod sends to its own node.
        ("input", format!("iif @{NFT_POD_EXPLICIT} goto guarded")),
        ("guarded", "ct state established,related accept".to_owned()),
    ];
    rules.extend(facts.open_ports.iter().map(|port| {
        let rule = format!("{} dport {} accept", port.protocol(), port.range());
        ("guarded", rule)
    }));
    rules.push(("guarded", "drop".to_owned()));
    if !facts.pods_reach_metadata {
        rules.extend(METADATA.map(|(ip, address)| {
            let rule = format!("meta iifgroup {POD_GROUP:#x} {ip} daddr {address} drop");
            ("forward", rule)
        }));
    }
    // Only pods of one set reach each other directly; a pod of the default set has no entry.
    let between_pods = format!("meta iifgroup {POD_GROUP:#x} meta oifgroup {POD_GROUP:#x}");
    let judged = format!("{between_pods} iif vmap @{NFT_POD_POLICY}");
    let unjudged = format!("{between_pods} iif @{NFT_POD_EXPLICIT} drop");
    // What comes by an ENI for an address without a pod (in cooldown) must not go back to the VPC;
    // what comes for a port of the node and is handed to another node may.
    let reflected = format!("iif @{NFT_ENI} oif @{NFT_ENI} ct status and dnat == 0 drop");
    let lines = [judged, unjudged, reflected];
    rules.extend(lines.map(|line| ("forward", line)));
    rules.extend(services::rules());
    rules.extend(leaving(facts));
    rules
}

/// The rules for what leaves with the node's address.
fn leaving(facts: &NodeFacts) -> Vec<Rule> {
    let mut rules = Vec::new();
    if facts.snat.is_some() {
        rules.extend(snat::rules());
    }
    if facts.egress.is_some() {
        rules.extend(egress::rules());
    }
    // Both say the same: it is one address and one key of the configuration.
    let of_snat = facts.snat.as_ref().map(|snat| (snat.address, snat.ports));
    let of_egress = facts.egress.map(|egress| (egress.address, egress.ports));
    if let Some((address, ports)) = of_snat.or(of_egress) {
        rules.extend(snat::translation(address, ports, &facts.primary_device));
    }
    rules
}
