//! `fabric.rtt` and `fabric.ns`: what a packet costs between two instances of the local VPC.
//!
//! One thread on one core holds a socket in each namespace and does everything itself: the kernel
//! carries a packet from the sender's socket to the receiver's on the sending core, so nothing is
//! waited for and no wake-up is measured. The peer is a pair of veths through a forwarding
//! namespace without connection tracking, the floor one veth from namespace to namespace.

mod ping;
mod wires;

use std::{net::Ipv4Addr, path::Path};

use anyhow::Context as _;
use underlay_testkit::{Ec2, LocalVpc, LocalVpcOptions, Netns};
use underlay_types::{SecurityGroupId, SubnetId};

use self::ping::Pair;
use super::{
    Sizes,
    row::{Better, Row, Samples, Subject},
    screen::Screen,
};

pub(super) async fn measure(sizes: Sizes, screen: Screen) -> anyhow::Result<Vec<Row>> {
    screen.say("bench: packets through the fabric");
    let vpc = LocalVpc::start(&LocalVpcOptions::unique("bench-fabric"))?;
    let ours = two_instances(vpc.ec2()).await?;
    let (peer, floor) = (wires::through_a_router()?, wires::direct()?);
    let rows = std::thread::scope(|scope| {
        let measuring = scope.spawn(|| pinned_rounds(sizes, [&ours, &floor, &peer]));
        measuring
            .join()
            .map_err(|_panic| anyhow::anyhow!("the measuring thread panicked"))?
    })?;
    drop((ours, peer, floor));
    vpc.stop()?;
    Ok(rows)
}

/// Two instances of one subnet, with the sockets of a pair in them.
async fn two_instances(ec2: &Ec2) -> anyhow::Result<Pair> {
    let vpc = ec2.create_vpc("10.0.0.0/16".parse()?).await?;
    let subnet = ec2
        .create_subnet(&vpc, "10.0.0.0/20".parse()?, "us-east-1a")
        .await?;
    let group = ec2.create_group(&vpc, "bench", false).await?;
    let each_other = underlay_testkit::IngressRule {
        tcp_port: None,
        source: underlay_testkit::Source::Group(&group),
    };
    ec2.allow(&group, each_other).await?;
    let (near, near_address) = instance(ec2, &subnet, &group, "bench-near").await?;
    let (far, far_address) = instance(ec2, &subnet, &group, "bench-far").await?;
    Pair::open(&near, near_address, &far, far_address)
}

async fn instance(
    ec2: &Ec2,
    subnet: &SubnetId,
    group: &SecurityGroupId,
    name: &str,
) -> anyhow::Result<(Netns, Ipv4Addr)> {
    let id = ec2.run_instance("m5.large", subnet, &[group], name).await?;
    let interfaces = ec2.interfaces_of(&id).await?;
    let address = interfaces
        .first()
        .context("an instance without an ENI")?
        .primary;
    let netns = Netns::open(&Path::new("/run/netns").join(id.as_str()))?;
    Ok((netns, address))
}

fn pinned_rounds(sizes: Sizes, [ours, floor, peer]: [&Pair; 3]) -> anyhow::Result<Vec<Row>> {
    ping::pin_to_one_core()?;
    let mut trips = Samples::default();
    let mut packets = Samples::default();
    // The first round fills caches, neighbour tables and connection tracking, and is dropped.
    for round in 0..=sizes.rounds {
        for (pair, trip, packet) in [
            (ours, &mut trips.ours, &mut packets.ours),
            (floor, &mut trips.floor, &mut packets.floor),
            (peer, &mut trips.peer, &mut packets.peer),
        ] {
            let round_trips = pair.round_trips()?;
            let per_packet = pair.nanos_per_packet()?;
            if round > 0 {
                trip.extend(round_trips);
                packet.extend(per_packet);
            }
        }
    }
    let subject = |id, what: &str, unit| Subject {
        id,
        what: format!(
            "{what} between two instances of the local VPC, 64 bytes of UDP, one core; floor: one \
             veth; peer: two veths through a router"
        ),
        unit,
        better: Better::Lower,
        peer_name: Some(wires::PEER_NAME.to_owned()),
    };
    Ok(vec![
        Row::of(
            subject("fabric.ns", "time for a packet, sending included,", "ns"),
            &packets,
        ),
        Row::of(subject("fabric.rtt", "round trip", "us"), &trips),
    ])
}
