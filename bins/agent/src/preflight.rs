//! What must be there before the agent changes anything.

use std::net::Ipv4Addr;

use underlay_netlink::{KernelError, nft};
use underlay_netplan::{Egress, NodeFacts, Op, Snat, SourcePorts, node};
use underlay_types::Families;

/// Why no pod could be served here.
#[derive(Debug, thiserror::Error)]
#[error(
    "the node cannot take the agent's packet rules; install nft (Debian package: nftables) and \
     run a kernel with nftables (CONFIG_NF_TABLES_INET and the modules nft_ct, nft_nat, nft_fib_inet)"
)]
pub struct PreflightError(#[source] KernelError);

/// Has `nft` and the kernel judge the node's rules, without loading them.
///
/// # Errors
/// [`PreflightError`], whose source says which of them is missing or what was refused.
pub fn packet_rules() -> Result<(), PreflightError> {
    // With every rule that a configuration may ask for. Any name does: a rule may name a device that
    // is not there.
    let facts = NodeFacts {
        primary_device: "lo".to_owned(),
        pods_reach_metadata: false,
        snat: Some(Snat {
            address: Ipv4Addr::LOCALHOST,
            ports: SourcePorts::default(),
            kept: Vec::new(),
        }),
        egress: Some(Egress {
            address: Ipv4Addr::LOCALHOST,
            ports: SourcePorts::default(),
        }),
        open_ports: Vec::new(),
        families: Families::default(),
    };
    for op in &node::setup(&facts).0 {
        if let Op::Script(script) = op {
            nft::check(script).map_err(PreflightError)?;
        }
    }
    Ok(())
}
