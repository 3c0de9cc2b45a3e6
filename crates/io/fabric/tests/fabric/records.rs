//! Flow records.

use std::net::{Ipv4Addr, UdpSocket};

use underlay_fabric::{Action, Direction, FlowRecord, Protocol};
use underlay_types::{EniId, Timestamp};

use crate::{
    traffic::{Outcome, serve, tcp, udp, udp_from},
    world::{OPEN, World, allow, anywhere, ip},
};

const SHUT: &str = "sg-00000005";

/// A record without its times.
fn row(record: &FlowRecord) -> (EniId, Direction, String, Action, u64, u64, u8) {
    let flow = format!(
        "{}:{} {}:{} {}",
        record.source,
        record.source_port,
        record.destination,
        record.destination_port,
        record.protocol
    );
    let FlowRecord {
        eni,
        direction,
        action,
        packets,
        bytes,
        tcp_flags,
        ..
    } = record;
    (
        eni.clone(),
        *direction,
        flow,
        *action,
        *packets,
        *bytes,
        *tcp_flags,
    )
}

#[test]
fn each_enis_side_of_an_exchange_is_counted_exactly() {
    let mut world = World::new();
    let one = world.instance("one", "10.0.1.10", &[OPEN]);
    let two = world.instance("two", "10.0.2.10", &[OPEN]);
    serve(world.at("two"), 7);
    world.fabric.close_window().unwrap();
    let before = std::time::SystemTime::now();
    let (from, to) = ((ip("10.0.1.10"), 4000), (ip("10.0.2.10"), 7));
    for size in [10, 20] {
        assert_eq!(udp_from(world.at("one"), from, to, size), Outcome::Answered);
    }
    let drained = world.fabric.close_window().unwrap();
    assert_eq!(drained.losses, []);
    let there = "10.0.1.10:4000 10.0.2.10:7 17".to_owned();
    let back = "10.0.2.10:7 10.0.1.10:4000 17".to_owned();
    let bytes = 10 + 20 + 2 * 28;
    let (egress, ingress) = (Direction::Egress, Direction::Ingress);
    assert_eq!(
        drained.records.iter().map(row).collect::<Vec<_>>(),
        [
            (
                one.clone(),
                egress,
                there.clone(),
                Action::Accept,
                2,
                bytes,
                0
            ),
            (one, ingress, back.clone(), Action::Accept, 2, bytes, 0),
            (two.clone(), egress, back, Action::Accept, 2, bytes, 0),
            (two, ingress, there, Action::Accept, 2, bytes, 0),
        ]
    );
    let start = before
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let start = Timestamp::from_nanos(u64::try_from(start).unwrap());
    let slack = std::time::Duration::from_millis(5);
    for record in &drained.records {
        assert!(
            record.first + slack >= start && record.first <= record.last,
            "{record:?}"
        );
    }
    assert_eq!(
        world.fabric.close_window().unwrap().records,
        [],
        "a window is taken out once"
    );
}

#[test]
fn a_refused_packet_is_accepted_by_its_sender_and_rejected_by_its_receiver() {
    let mut world = World::new();
    world.rules(SHUT, vec![], vec![]);
    let one = world.instance("one", "10.0.1.10", &[OPEN]);
    let two = world.instance("two", "10.0.2.10", &[SHUT]);
    world.fabric.close_window().unwrap();
    assert_eq!(
        udp_from(
            world.at("one"),
            (ip("10.0.1.10"), 4000),
            (ip("10.0.2.10"), 7),
            32
        ),
        Outcome::Silence
    );
    assert_eq!(
        udp_from(
            world.at("two"),
            (ip("10.0.2.10"), 4001),
            (ip("10.0.1.10"), 7),
            32
        ),
        Outcome::Silence
    );
    let flow = "10.0.1.10:4000 10.0.2.10:7 17".to_owned();
    let other = "10.0.2.10:4001 10.0.1.10:7 17".to_owned();
    let records = world.fabric.close_window().unwrap().records;
    assert_eq!(
        records.iter().map(row).collect::<Vec<_>>(),
        [
            (
                one,
                Direction::Egress,
                flow.clone(),
                Action::Accept,
                1,
                60,
                0
            ),
            (
                two.clone(),
                Direction::Egress,
                other,
                Action::Reject,
                1,
                60,
                0
            ),
            (two, Direction::Ingress, flow, Action::Reject, 1, 60, 0),
        ]
    );
}

#[test]
fn tcp_flags_are_those_that_flow_logs_report() {
    let mut world = World::new();
    let one = world.instance("one", "10.0.1.10", &[OPEN]);
    world.instance("two", "10.0.2.10", &[OPEN]);
    serve(world.at("two"), 7);
    world.fabric.close_window().unwrap();
    assert_eq!(
        tcp(world.at("one"), (ip("10.0.2.10"), 7)),
        Outcome::Answered
    );
    // The echo server closes after the client did: its FIN is the last packet but one.
    let mut flags = [0, 0];
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while flags != [3, 19] {
        assert!(std::time::Instant::now() < deadline, "{flags:?}");
        for record in world.fabric.close_window().unwrap().records {
            if record.eni == one {
                flags[usize::from(record.direction == Direction::Ingress)] |= record.tcp_flags;
            }
        }
    }
}

#[test]
fn packets_without_room_for_a_record_are_counted_as_lost() {
    let mut world = World::new();
    world.rules(SHUT, vec![], vec![allow(Protocol::Any, anywhere())]);
    let one = world.instance("one", "10.0.1.10", &[SHUT]);
    world.fabric.close_window().unwrap();
    let socket = world
        .at("one")
        .run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    for index in 0..5000_u16 {
        socket
            .send_to(b"x", (ip("10.0.2.10"), 1000 + index))
            .unwrap();
    }
    let drained = world.fabric.close_window().unwrap();
    let recorded: u64 = drained.records.iter().map(|record| record.packets).sum();
    let lost: u64 = drained.losses.iter().map(|(_, lost)| lost).sum();
    assert_eq!(recorded + lost, 5000);
    assert_eq!(
        drained
            .losses
            .iter()
            .map(|(eni, _)| eni)
            .collect::<Vec<_>>(),
        [&one]
    );
    assert_eq!(world.fabric.close_window().unwrap(), Default::default());
    assert_eq!(udp(world.at("one"), (ip("10.0.1.99"), 7)), Outcome::Silence);
}
