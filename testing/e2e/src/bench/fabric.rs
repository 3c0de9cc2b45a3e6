//! `fabric.rtt`, `fabric.ns` (ten ENIs), `fabric.ns.1000` (as many) and `fabric.ns.rules` (full
//! groups of rules): what a packet costs between two instances of the local VPC.
//!
//! One thread on one core holds a socket in each namespace and does everything itself: the kernel
//! carries a packet from the sender's socket to the receiver's on the sending core, so nothing is
//! waited for and no wake-up is measured. The peer is a pair of veths through a forwarding
//! namespace without connection tracking, the floor one veth from namespace to namespace.

mod ping;
mod place;
mod wires;

use underlay_testkit::{LocalVpc, LocalVpcOptions};

use self::{ping::Pair, place::Place};
use super::{
    Sizes,
    row::{Better, Row, Samples, Subject},
    screen::Screen,
};

/// ENIs that a VPC of the smaller rows has.
const FEW: usize = 10;

pub(super) async fn measure(sizes: Sizes, screen: Screen) -> anyhow::Result<Vec<Row>> {
    screen.say("bench: packets through the fabric");
    let vpc = LocalVpc::start(&LocalVpcOptions::unique("bench-fabric"))?;
    let place = Place::create(vpc.ec2()).await?;
    let (peer, floor) = (wires::through_a_router()?, wires::direct()?);
    let (open, full) = (place.open_group().await?, place.full_groups().await?);
    let ours = place.pair(&[&open]).await?;
    let full: Vec<_> = full.iter().collect();
    let ruled = place.pair(&full).await?;
    place.crowd(&open, FEW - 4).await?;
    let few = on_one_core(sizes, [&ours, &floor, &peer])?;
    let rules = on_one_core(sizes, [&ruled, &floor, &peer])?;
    screen.say(&format!("bench: packets among {} ENIs", sizes.enis));
    place.crowd(&open, sizes.enis.saturating_sub(FEW)).await?;
    let many = on_one_core(sizes, [&ours, &floor, &peer])?;
    drop((ours, ruled, peer, floor));
    vpc.stop()?;
    let packet = "time for a packet, sending included,";
    let crowd = format!("{packet} among {} ENIs", sizes.enis);
    let ruled = format!("{packet} with five groups of 60 rules each");
    Ok(vec![
        row("fabric.ns", packet, "ns", &few.packets),
        row("fabric.ns.1000", &crowd, "ns", &many.packets),
        row("fabric.ns.rules", &ruled, "ns", &rules.packets),
        row("fabric.rtt", "round trip", "us", &few.trips),
    ])
}

fn row(id: &'static str, what: &str, unit: &'static str, samples: &Samples) -> Row {
    let subject = Subject {
        id,
        what: format!(
            "{what} between two instances of the local VPC, 64 bytes of UDP, one core; floor: one \
             veth; peer: two veths through a router"
        ),
        unit,
        better: Better::Lower,
        peer_name: Some(wires::PEER_NAME.to_owned()),
    };
    Row::of(subject, samples)
}

/// What one measurement saw.
#[derive(Debug, Default)]
struct Measured {
    trips: Samples,
    packets: Samples,
}

/// Measures on a thread of its own, which stays on one core.
fn on_one_core(sizes: Sizes, pairs: [&Pair; 3]) -> anyhow::Result<Measured> {
    std::thread::scope(|scope| {
        let measuring = scope.spawn(|| pinned_rounds(sizes, pairs));
        measuring
            .join()
            .map_err(|_panic| anyhow::anyhow!("the measuring thread panicked"))?
    })
}

fn pinned_rounds(sizes: Sizes, [ours, floor, peer]: [&Pair; 3]) -> anyhow::Result<Measured> {
    ping::pin_to_one_core()?;
    let Measured {
        mut trips,
        mut packets,
    } = Measured::default();
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
    Ok(Measured { trips, packets })
}
