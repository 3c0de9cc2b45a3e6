//! Every number and name of ours that the kernel shares with other programs, in one place.
//!
//! Not ours, and avoided: the marks 0x2000 (portmap), 0x4000 and 0x8000 (kube-proxy), 0x80
//! (aws-node); rule priorities up to 1536 (aws-node).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::steps;
use ipnet::Ipv4Net;
use underlay_datapath_abi::{
    BRANCH_MARK_SHIFT, BRANCH_VLAN_MASK, FILTER_HANDLE, FILTER_NAME_PREFIX, FILTER_PRIORITY,
};

/// Bits of a packet's mark that say by which ENI it leaves: the ENI's slot plus one, 1 to 1023, or
/// [`BRANCH_MARK`] and the tag of a branch ENI, which has two bits more; 0 is main.
pub const ENI_MARK_MASK: u32 = 0x7ffc_0000;
/// The bit of those that says: by a branch ENI.
pub const BRANCH_MARK: u32 = underlay_datapath_abi::BRANCH_MARK;
/// How far the slot is shifted.
pub const ENI_MARK_SHIFT: u32 = 20;
/// The bit of a packet's mark that says: on its way by an ENI to a pod of this very node, to which
/// the node itself has translated it.
pub const SERVICE_MARK: u32 = 0x8000_0000;
/// The bit of a connection's mark that says: the node stands between its ends with an address of
/// its own (it came in by the primary ENI to the node, or was masqueraded), so that its replies
/// are routed by main.
pub const PRIMARY_CONNMARK: u32 = 0x4000_0000;
/// The bit of a connection's mark that says: of a pod to outside of the VPC, with the node's address.
pub const SNAT_CONNMARK: u32 = 0x8000_0000;
/// The priorities of the rules that lead what has an ENI's mark to the rules of ENIs: this and the next
/// two.
pub const STEPS_PRIORITY: u32 = 7000;
/// Where rules of ENIs were before, in one row: mark to the table of the group set, then to the ENI's own.
pub const PRIORITIES_BEFORE: [u32; 2] = [6990, 7000];
/// The rules of ENIs stand in sixteen rows of 100 priorities, from here on (`steps.rs`).
pub const ROWS_BASE: u32 = 100_000;
/// One past their last.
pub const ROWS_END: u32 = ROWS_BASE + 1600;
/// An ENI's table is this plus its slot.
pub const ENI_TABLE_BASE: u32 = 70_000;
/// One past the last table of an ENI.
pub const ENI_TABLE_END: u32 = ENI_TABLE_BASE + 1024;
/// The table of the default set's pods on this node.
pub const DEFAULT_SET_TABLE: u32 = 72_048;
/// A branch ENI's table is this plus its tag.
pub const BRANCH_TABLE_BASE: u32 = 80_000;
/// One past the last table of a branch ENI.
pub const BRANCH_TABLE_END: u32 = BRANCH_TABLE_BASE + 4096;
/// The table of an explicit set's pods is this plus 24 bits of a hash of the set.
pub const SET_TABLE_BASE: u32 = 0x7500_0000;
/// One past the last table of an explicit set.
pub const SET_TABLE_END: u32 = SET_TABLE_BASE + (1 << 24);
/// Addresses that stand for the routers of branch ENIs on the node, where several may have the same:
/// the tag is added. A program at the trunk's device asks for the real one.
pub const ROUTER_ALIAS_BASE: Ipv4Addr = {
    let [a, b, c, d] = underlay_datapath_abi::ROUTER_ALIAS_BASE;
    Ipv4Addr::new(a, b, c, d)
};
/// The same for IPv6, link-local.
pub const ROUTER_ALIAS_BASE_V6: Ipv6Addr = {
    let [a, b, c, d, e, f, g, h] = underlay_datapath_abi::ROUTER_ALIAS_BASE_V6;
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
};
/// The router of every subnet over IPv6.
pub const ROUTER_V6: Ipv6Addr = {
    let [a, b, c, d, e, f, g, h] = underlay_datapath_abi::ROUTER_V6;
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
};
/// Inside a pod: the priority of rules that send what has the address of a further interface to the
/// table of that interface.
pub const INSIDE_RULE_PRIORITY: u32 = 7000;
/// Inside a pod: the table of a further interface is this plus the index of its device there.
pub const INSIDE_TABLE_BASE: u32 = 70_000;
/// The main table.
pub const MAIN_TABLE: u32 = 254;
/// The device group of pods' node ends.
pub const POD_GROUP: u32 = 0x756e_6401;
/// The device group of pods' node ends that wait to be deleted.
pub const RETIRED_GROUP: u32 = 0x756e_6402;
/// The nftables table, of family `inet`.
pub const NFT_TABLE: &str = "underlay";
/// The set of devices of ENIs in use.
pub const NFT_ENI: &str = "eni-device";
/// The map (device, IPv4 source address) -> mark. A packet of a pod without an entry is dropped.
pub const NFT_POD_MARK: &str = "pod-mark";
/// The same for IPv6.
pub const NFT_POD_MARK_V6: &str = "pod-mark6";
/// The set of devices of pods with an explicit group set.
pub const NFT_POD_EXPLICIT: &str = "pod-explicit";
/// The map device -> verdict (a jump to the chain of the pod's group set).
pub const NFT_POD_POLICY: &str = "pod-policy";
/// The sets of flows, by family, that the node has translated and that come back to it by another
/// ENI: protocol, source and port, destination and port, as they cross the VPC.
pub const NFT_SERVICE_FLOW: [&str; 2] = ["service-flow", "service-flow6"];
/// The set of blocks that see the pods' own addresses, where others see the node's.
pub const NFT_SOURCE_KEPT: &str = "source-kept";
/// What the name of the chain of a group set starts with.
pub const NFT_SET_CHAIN_PREFIX: &str = "set-";
/// What the name of a pod's node end starts with.
pub const POD_DEVICE_PREFIX: &str = "und";
/// What the name of an ENI starts with that came back from a pod.
pub const RETURNED_PREFIX: &str = "une";
/// What the further name of an ENI starts with that a pod has, or had.
pub const LENT_PREFIX: &str = "underlay-";
/// The block that pods of IPv6 alone have their IPv4 address of, on every node the same.
pub const EGRESS_BLOCK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 172, 0), 22);

// Marks of packets and of connections are never copied into each other.
const _: () = assert!(ENI_MARK_MASK & SERVICE_MARK == 0);
const _: () = assert!(
    (ENI_MARK_MASK | SERVICE_MARK | PRIMARY_CONNMARK) & (0x2000 | 0x4000 | 0x8000 | 0x80) == 0
);
const _: () = assert!(PRIMARY_CONNMARK & SNAT_CONNMARK == 0);
const _: () = assert!(BRANCH_MARK == 1024 << ENI_MARK_SHIFT && BRANCH_MARK & ENI_MARK_MASK != 0);
const _: () = assert!(BRANCH_MARK | BRANCH_VLAN_MASK << BRANCH_MARK_SHIFT == ENI_MARK_MASK);
const _: () = assert!(BRANCH_MARK & (BRANCH_VLAN_MASK << BRANCH_MARK_SHIFT) == 0);
const _: () = assert!(BRANCH_VLAN_MASK == 4095);

/// Whether a route table is ours.
#[must_use]
pub fn is_own_table(table: u32) -> bool {
    (ENI_TABLE_BASE..ENI_TABLE_END).contains(&table)
        || (BRANCH_TABLE_BASE..BRANCH_TABLE_END).contains(&table)
        || is_set_table(table)
}

/// Whether a rule that sends `mark` under `mask` to a table at `priority` is one of an earlier agent, in
/// whose time those of all ENIs stood in a row: they are removed once those of now are there.
#[must_use]
pub fn is_rule_of_before(priority: u32, (mark, mask): (u32, u32), table: u32) -> bool {
    let of_now = mask == ENI_MARK_MASK && priority == rule_priority(mark, table);
    let in_own_place = PRIORITIES_BEFORE.contains(&priority) || is_step(priority);
    // Masks had fewer bits.
    let of_eni = mask != 0 && mask & !ENI_MARK_MASK == 0;
    in_own_place && of_eni && is_own_table(table) && !of_now
}

/// Whether a route table is that of a group set.
fn is_set_table(table: u32) -> bool {
    table == DEFAULT_SET_TABLE || (SET_TABLE_BASE..SET_TABLE_END).contains(&table)
}

/// The priority of a rule that sends `mark` to `table`.
#[must_use]
pub fn rule_priority(mark: u32, table: u32) -> u32 {
    if is_set_table(table) {
        steps::set_rule(mark)
    } else {
        steps::eni_rule(mark)
    }
}

/// Whether a rule of this priority that leads to no table is one of the steps to the rules of ENIs.
#[must_use]
pub fn is_step(priority: u32) -> bool {
    (STEPS_PRIORITY..=STEPS_PRIORITY + 2).contains(&priority)
        || (ROWS_BASE..ROWS_END).contains(&priority)
}

/// The table of all of these for people, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| what | value | meaning |\n|---|---|---|\n");
    for [what, value, meaning] in rows() {
        text += &format!("| {what} | `{value}` | {meaning} |\n");
    }
    text
}

#[rustfmt::skip]
fn rows() -> [[String; 3]; 31] {
    let row = |what: &str, value: String, meaning: &str| {
        [what.to_owned(), value, meaning.to_owned()]
    };
    let [set_before, eni_before] = PRIORITIES_BEFORE;
    let chains = format!("{NFT_SET_CHAIN_PREFIX}*");
    let filters = format!("{FILTER_NAME_PREFIX}*, priority {FILTER_PRIORITY}, handle {FILTER_HANDLE:#x}");
    let tables = format!("{ENI_TABLE_BASE} to {}", ENI_TABLE_END - 1);
    let branch_tables = format!("{BRANCH_TABLE_BASE} to {}", BRANCH_TABLE_END - 1);
    let set_tables = format!("{SET_TABLE_BASE} to {}", SET_TABLE_END - 1);
    [
        row("packet mark", format!("{ENI_MARK_MASK:#010x}"), "the ENI that a pod's packet leaves by: from bit 20 its slot + 1, 1 to 1023; of a branch ENI bit 30, and from bit 18 its tag; 0 is main"),
        row("packet mark", format!("{SERVICE_MARK:#010x}"), "translated here, on its way by an ENI to a pod of this node"),
        row("connection mark", format!("{PRIMARY_CONNMARK:#010x}"), "by the primary ENI to the node, or masqueraded: replies by main"),
        row("connection mark", format!("{SNAT_CONNMARK:#010x}"), "of a pod to outside of the VPC, with the node's address"),
        row("rule priorities", format!("{STEPS_PRIORITY} to {}", STEPS_PRIORITY + 2), "what has the mark of an ENI to the rules of ENIs"),
        row("rule priorities", format!("{set_before}, {eni_before}"), "mark to a table of ours, under no bits but those of an ENI: of agents of before, removed at a start"),
        row("rule priorities", format!("{ROWS_BASE} to {}", ROWS_END - 1), "mark to the table of the group set, then to the ENI's own: two rules for each ENI, and steps to them"),
        row("route tables", tables, "base + slot: an ENI's default route"),
        row("route tables", branch_tables, "base + tag: a branch ENI's default route"),
        row("route table", DEFAULT_SET_TABLE.to_string(), "this node's pods of the default set"),
        row("route tables", set_tables, "base + hash of an explicit set: this node's pods of the set"),
        row("addresses", format!("{ROUTER_ALIAS_BASE}/20"), "base + tag: stands for the router of a branch ENI, on the node alone"),
        row("addresses", format!("{ROUTER_ALIAS_BASE_V6}/116"), "the same for IPv6"),
        row("in pods: rule priority", INSIDE_RULE_PRIORITY.to_string(), "address of an interface without the default route to its table"),
        row("in pods: route tables", format!("from {INSIDE_TABLE_BASE}"), "base + index of the interface: its default route"),
        row("tc filters", filters, "of branch ENIs, at both sides of their trunk's device"),
        row("device group", format!("{POD_GROUP:#010x}"), "node ends of pods"),
        row("device group", format!("{RETIRED_GROUP:#010x}"), "node ends that wait to be deleted; their packets are dropped"),
        row("device names", format!("{POD_DEVICE_PREFIX}*"), "node ends of pods: prefix and 12 digits of a hash of the lease's key"),
        row("device names", format!("{RETURNED_PREFIX}*"), "ENIs that came back from a pod that owned them: prefix and Ethernet address"),
        row("further names", format!("{LENT_PREFIX}*"), "ENIs that a pod owns, or owned: prefix and Ethernet address"),
        row("IPv4 block", EGRESS_BLOCK.to_string(), "addresses inside the node of pods of IPv6 alone"),
        row("nftables table", format!("inet {NFT_TABLE}"), "everything of ours"),
        row("nftables set", NFT_ENI.to_owned(), "devices of ENIs in use"),
        row("nftables map", NFT_POD_MARK.to_owned(), "device and source address to mark"),
        row("nftables map", NFT_POD_MARK_V6.to_owned(), "the same for IPv6"),
        row("nftables set", NFT_POD_EXPLICIT.to_owned(), "devices of pods with an explicit group set"),
        row("nftables map", NFT_POD_POLICY.to_owned(), "device to the chain of its group set"),
        row("nftables sets", NFT_SERVICE_FLOW.join("`, `"), "flows translated here that come back by another ENI: conntrack passes over them"),
        row("nftables set", NFT_SOURCE_KEPT.to_owned(), "blocks that see the pods' own addresses"),
        row("nftables chains", chains, "rules of a group set between its own pods; `-in`: the receiver's side"),
    ]
}
