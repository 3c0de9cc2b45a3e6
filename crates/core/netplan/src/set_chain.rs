//! The two chains with the rules of an explicit group set.

use underlay_types::SecurityGroupSet;

use crate::{Op, Plan, names, numbers::NFT_TABLE};

/// The name of the chain that decides for the receiver's side.
#[must_use]
pub fn receiver_chain(set: &SecurityGroupSet) -> String {
    format!("{}-in", names::set_chain(set))
}

/// Gives the chains of `set` these lines, making them first if need be. `sender` is the chain that
/// a packet meets first and may go to [`receiver_chain`]. Packets meet either the old lines or the
/// new ones.
#[must_use]
pub fn write(set: &SecurityGroupSet, sender: &[String], receiver: &[String]) -> Plan {
    let chains = [
        (receiver_chain(set), receiver),
        (names::set_chain(set), sender),
    ];
    let mut script = format!("# {set}\nadd table inet {NFT_TABLE}\n");
    for (chain, _) in &chains {
        script += &format!("add chain inet {NFT_TABLE} {chain}\n");
    }
    for (chain, _) in &chains {
        script += &format!("flush chain inet {NFT_TABLE} {chain}\n");
    }
    for (chain, lines) in &chains {
        for line in *lines {
            script += &format!("add rule inet {NFT_TABLE} {chain} {line}\n");
        }
    }
    Plan(vec![Op::Script(script)])
}

/// Makes the chains of `set` exist and leaves the lines of existing ones alone. Without lines they
/// let nothing pass: what no line decides about is dropped after them.
#[must_use]
pub fn ensure(set: &SecurityGroupSet) -> Plan {
    let (sender, receiver) = (names::set_chain(set), receiver_chain(set));
    let table = format!("inet {NFT_TABLE}");
    let script = format!(
        "# {set}\nadd table {table}\nadd chain {table} {receiver}\nadd chain {table} {sender}\n"
    );
    Plan(vec![Op::Script(script)])
}

/// Removes the chains of `set`; no pod of the set may be wired any more.
#[must_use]
pub fn remove(set: &SecurityGroupSet) -> Plan {
    let (sender, receiver) = (names::set_chain(set), receiver_chain(set));
    let table = format!("inet {NFT_TABLE}");
    // Adding them first makes deleting succeed where there are none.
    let mut script = format!("add table {table}\n");
    for verb in ["add", "flush", "delete"] {
        for chain in [&sender, &receiver] {
            script += &format!("{verb} chain {table} {chain}\n");
        }
    }
    Plan(vec![Op::Script(script)])
}
