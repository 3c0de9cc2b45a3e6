//! Services whose backend is a pod of another group set on the same node.
//!
//! Such a packet passes the node twice: translated, it leaves by the client's ENI, and the VPC
//! brings it back by the server's. Conntrack must see it the first time only. The second time it
//! would take it for a connection of its own, which clashes with the first one and gets another
//! source port; and it would translate the reply back on the server's side of the VPC. So the first
//! pass notes the flow as it crosses the VPC, and the second one, in both directions, is untracked.
//!
//! A note that outlives its connection does no harm: a direct connection between the same ports is
//! tracked at the client's side, too, and needs no more.

use crate::{
    numbers::{
        NFT_ENI, NFT_SERVICE_FLOW, NFT_TABLE, POD_DEVICE_PREFIX, POD_GROUP, PRIMARY_CONNMARK,
        SERVICE_MARK,
    },
    ruleset::Rule,
};

/// The chain before conntrack.
pub(crate) const FIRST: &str = "untracked";
/// The chain after every translation.
pub(crate) const LAST: &str = "translated";

/// Flows that can be noted at a time, of each family; what comes beyond is tracked twice.
const FLOWS: u32 = 131_072;
/// How long a note lives after the last packet of an established connection of TCP: the kernel's
/// own default for such connections, which no operator is known to have raised.
const LONG: &str = "5d";
/// How long any other note lives. Longer than conntrack remembers what is not established.
const SHORT: &str = "10m";

/// The families: what nft calls the addresses, and their type.
const FAMILIES: [(&str, &str); 2] = [("ip", "ipv4_addr"), ("ip6", "ipv6_addr")];

/// Statements that make the sets.
pub(crate) fn sets() -> String {
    let families = FAMILIES.iter().zip(NFT_SERVICE_FLOW);
    let set = families.map(|((_, address), set)| {
        let key = format!("inet_proto . {address} . inet_service . {address} . inet_service");
        format!(
            "add set inet {NFT_TABLE} {set} \
             {{ type {key}; size {FLOWS}; flags dynamic,timeout; }}\n"
        )
    });
    set.collect()
}

/// The rules, in their order.
pub(crate) fn rules() -> Vec<Rule> {
    let families = || FAMILIES.into_iter().zip(NFT_SERVICE_FLOW);
    let mut rules = Vec::new();
    for ((ip, _), set) in families() {
        let request = format!("meta l4proto . {ip} saddr . th sport . {ip} daddr . th dport");
        let reply = format!("meta l4proto . {ip} daddr . th dport . {ip} saddr . th sport");
        let from_pod = format!("meta iifgroup {POD_GROUP:#x}");
        rules.extend(
            [
                format!("iif @{NFT_ENI} {request} @{set} notrack"),
                // The first pass refreshes the note by requests; a stream of answers alone must not
                // lose it either, as it keeps conntrack's entry. TCP has requests all the time.
                format!(
                    "{from_pod} meta l4proto != tcp {reply} @{set} \
                 update @{set} {{ {reply} timeout {SHORT} }}"
                ),
                // What goes to the node itself is translated back here: see `LAST`.
                format!("{from_pod} {reply} @{set} fib daddr type != local notrack"),
            ]
            .map(|rule| (FIRST, rule)),
        );
    }
    // Where pods are is asked of main alone, whatever the mark.
    rules.push((
        "forward",
        format!(
            "oif @{NFT_ENI} ct status and dnat != 0 ct direction original \
             fib daddr oifname \"{POD_DEVICE_PREFIX}*\" meta mark set meta mark or {SERVICE_MARK:#x}"
        ),
    ));
    rules.push((LAST, format!("meta mark and {SERVICE_MARK:#x} == 0 accept")));
    // With an address of the node as its source, the reply comes to the node, not to the VPC.
    rules.push((
        LAST,
        format!("ct status and snat != 0 ct mark set ct mark or {PRIMARY_CONNMARK:#x}"),
    ));
    for ((ip, _), set) in families() {
        let flow = format!("meta l4proto . {ip} saddr . th sport . {ip} daddr . th dport");
        for (lasts, timeout) in [("> 10m", LONG), ("<= 10m", SHORT)] {
            rules.push((
                LAST,
                format!("ct expiration {lasts} update @{set} {{ {flow} timeout {timeout} }}"),
            ));
        }
    }
    rules
}
