use std::path::Path;

use underlay_fabric::{Action as FabricAction, Direction as FabricDirection};

use super::*;
use crate::flowlogs::{
    Scope, read_object,
    writer::tests::{subscription, window},
};

fn record(eni: u64, port: u16, packets: u64, first: u64) -> underlay_fabric::FlowRecord {
    underlay_fabric::FlowRecord {
        eni: EniId::from_serial(eni),
        direction: FabricDirection::Ingress,
        source: "10.0.2.9".parse().unwrap(),
        destination: "10.0.1.77".parse().unwrap(),
        source_port: port,
        destination_port: 80,
        protocol: 6,
        action: FabricAction::Reject,
        packets,
        bytes: packets * 60,
        first: Timestamp::from_secs(first),
        last: Timestamp::from_secs(first),
        tcp_flags: 2,
    }
}

fn state(enis: &[u64]) -> LogState {
    let mut log = subscription(1, Scope::Vpc(underlay_types::VpcId::from_serial(1)));
    log.format = "${interface-id} ${srcport} ${pkt-dstaddr} ${packets} ${log-status}"
        .parse()
        .unwrap();
    LogState {
        enis: enis.iter().map(|eni| window(*eni, 7, 0).facts).collect(),
        subscriptions: vec![log],
        unusable: Vec::new(),
    }
}

fn close(recorder: &mut Recorder, secs: u64, enis: &[u64]) -> (Vec<String>, Vec<String>) {
    let delivery = recorder.close(Timestamp::from_secs(secs), state(enis));
    let texts = |path: &PathBuf| -> Vec<String> {
        let lines = read_object(Path::new(path)).unwrap();
        lines.into_iter().map(|line| line.text).collect()
    };
    (
        delivery.written.iter().flat_map(texts).collect(),
        delivery.failed.iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn drains_of_a_window_add_up_and_every_eni_says_something() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(
        dir.path().to_owned(),
        Timestamp::from_secs(60),
        Duration::from_secs(60),
    );
    let drained = |records, losses| Drained { records, losses };
    let both = state(&[1, 2]).enis;
    recorder.absorb(&drained(vec![record(1, 1, 2, 70)], vec![]), &both);
    // ENI 2 is deleted; what it had seen before still counts. ENI 9 was never shown.
    recorder.absorb(
        &drained(
            vec![
                record(1, 1, 3, 80),
                record(2, 1, 1, 75),
                record(9, 1, 4, 75),
            ],
            vec![(EniId::from_serial(1), 7)],
        ),
        &state(&[1]).enis,
    );
    assert_eq!(recorder.next_deadline(), Timestamp::from_secs(120));
    let (lines, failures) = close(&mut recorder, 120, &[1, 3]);
    assert_eq!(
        lines,
        [
            "eni-00000000000000001 1 10.0.1.77 5 OK",
            "eni-00000000000000001 - - - SKIPDATA",
            "eni-00000000000000002 1 10.0.1.77 1 OK",
            "eni-00000000000000003 - - - NODATA",
        ]
    );
    assert_eq!(
        failures,
        ["4 packets at ENI eni-00000000000000009, which nobody knows, are in no flow log"]
    );
    // The next window starts anew, without the deleted ENI.
    let (lines, failures) = close(&mut recorder, 180, &[1]);
    assert_eq!(lines, ["eni-00000000000000001 - - - NODATA"]);
    assert!(failures.is_empty());
}

#[test]
fn ten_minutes_add_up_ten_windows_where_the_instance_is_not_nitro() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(
        dir.path().to_owned(),
        Timestamp::from_secs(0),
        Duration::from_secs(60),
    );
    let long_state = || {
        let mut state = state(&[1, 2]);
        state.subscriptions[0].aggregation = Aggregation::TenMinutes;
        state.enis[1].nitro = true;
        state
    };
    let mut written = Vec::new();
    for minute in 1..=10_u64 {
        let at = minute * 60;
        let drained = Drained {
            records: vec![record(1, 1, 2, at - 1), record(2, 1, 1, at - 1)],
            losses: vec![],
        };
        recorder.absorb(&drained, &long_state().enis);
        let delivery = recorder.close(Timestamp::from_secs(at), long_state());
        assert!(delivery.failed.is_empty());
        for path in &delivery.written {
            let lines = read_object(path).unwrap();
            written.extend(lines.into_iter().map(|line| (minute, line.text)));
        }
    }
    let mut expected: Vec<_> = (1..=10)
        .map(|minute| (minute, "eni-00000000000000002 1 10.0.1.77 1 OK".to_owned()))
        .collect();
    expected.push((10, "eni-00000000000000001 1 10.0.1.77 20 OK".to_owned()));
    assert_eq!(written, expected);
    // A flush ends a long window before its time.
    let delivery = recorder.close_all(Timestamp::from_secs(610), long_state());
    assert_eq!(delivery.written.len(), 2);
}
