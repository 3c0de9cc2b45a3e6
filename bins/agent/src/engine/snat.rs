//! Who sees the pods' own addresses: the VPC's blocks, which may become more while the agent runs.

use std::{sync::Arc, time::Duration};

use ipnet::Ipv4Net;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use underlay_cloud::{Imds, ImdsError};
use underlay_netplan::{Egress, Snat};
use underlay_types::{Families, Mac};

use super::node::{NodeError, NodeFacts};
use crate::{config::SnatConfig, kernel::Kernel};

/// What the configuration asks for: how the kernel is to translate, and who keeps that up to date
/// once it does. `None` is no translation.
pub(super) async fn prepare(
    config: &SnatConfig,
    imds: &Imds,
    node: &NodeFacts,
    kernel: &Arc<Kernel>,
) -> Result<Option<(Snat, Keeper)>, NodeError> {
    if !config.enabled {
        return Ok(None);
    }
    let blocks = Blocks {
        imds: imds.clone(),
        mac: node.identity.primary_mac,
        excluded: config.excluded.clone(),
    };
    let snat = Snat {
        address: node.primary_address.ok_or(NodeError::NoIpv4)?,
        ports: config.ports,
        kept: blocks.read().await.map_err(NodeError::Metadata)?,
    };
    let keeper = Keeper {
        blocks,
        kernel: Arc::clone(kernel),
        interval: config.poll_interval,
        applied: snat.kept.clone(),
    };
    Ok(Some((snat, keeper)))
}

/// How pods of IPv6 alone get to IPv4 destinations, if they are to.
pub(super) fn egress(config: &SnatConfig, node: &NodeFacts) -> Option<Egress> {
    if !config.v4_egress || node.families != Families::V6 {
        return None;
    }
    if node.primary_address.is_none() {
        warn!("the node has no IPv4 address: its pods cannot reach IPv4 destinations");
    }
    node.primary_address.map(|address| Egress {
        address,
        ports: config.ports,
    })
}

/// Runs until `stop`, if there is anything to keep.
pub(super) async fn run(keeper: Option<Keeper>, stop: CancellationToken) {
    if let Some(keeper) = keeper {
        keeper.run(stop).await;
    }
}

/// Where the blocks are read.
#[derive(Debug)]
struct Blocks {
    imds: Imds,
    /// The primary ENI's Ethernet address.
    mac: Mac,
    /// Blocks outside of the VPC that count as inside.
    excluded: Vec<Ipv4Net>,
}

impl Blocks {
    /// All blocks now, in order.
    async fn read(&self) -> Result<Vec<Ipv4Net>, ImdsError> {
        let mut blocks = self.imds.vpc_blocks(self.mac).await?;
        blocks.extend(&self.excluded);
        blocks.sort_unstable();
        blocks.dedup();
        Ok(blocks)
    }
}

/// Keeps the node's blocks like the VPC's, by a poll.
#[derive(Debug)]
pub(super) struct Keeper {
    blocks: Blocks,
    kernel: Arc<Kernel>,
    interval: Duration,
    /// What stands in the kernel.
    applied: Vec<Ipv4Net>,
}

impl Keeper {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(self.interval) => self.refresh().await,
            }
        }
    }

    async fn refresh(&mut self) {
        let blocks = match self.blocks.read().await {
            Ok(blocks) => blocks,
            Err(error) => {
                warn!(%error, "cannot read the VPC's blocks; those known stay");
                return;
            }
        };
        if blocks == self.applied {
            return;
        }
        info!(?blocks, "the VPC's blocks are others now");
        let (kernel, wanted) = (Arc::clone(&self.kernel), blocks.clone());
        let applied = tokio::task::spawn_blocking(move || kernel.keep_source_towards(&wanted));
        match applied.await {
            Ok(Ok(())) => self.applied = blocks,
            Ok(Err(error)) => warn!(%error, "cannot apply the VPC's blocks; trying again"),
            Err(error) => warn!(%error, "applying the VPC's blocks was broken off"),
        }
    }
}
