use std::cell::Cell;

use underlay_types::Timestamp;

use super::*;
use crate::flowlogs::{
    Aggregation, Scope, Subscription, Writer,
    writer::tests::{subscription, window},
};

fn vpc_log(serial: u64) -> Subscription {
    subscription(serial, Scope::Vpc(underlay_types::VpcId::from_serial(1)))
}

fn deliver(dir: &Path, log: Subscription, start_secs: u64) {
    let now = Timestamp::from_secs(start_secs + 60);
    let delivery = Writer::new(dir.to_owned()).deliver(
        now,
        Aggregation::Minute,
        &[window(1, 7, start_secs)],
        &[log],
    );
    assert!(delivery.failed.is_empty());
}

fn shown(dir: &Path, filter: Option<&str>) -> String {
    let args = LogsArgs {
        dir: dir.to_owned(),
        follow: false,
        sieve: Sieve {
            filter: filter.map(str::to_owned),
            ..Sieve::default()
        },
    };
    let mut out = Vec::new();
    show(&args, &mut out, || false).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn lines_of_all_files_come_in_the_order_of_their_time() {
    let dir = tempfile::tempdir().unwrap();
    deliver(dir.path(), vpc_log(1), 300);
    deliver(dir.path(), vpc_log(2), 100);
    deliver(
        dir.path(),
        Subscription {
            format: "${start} ${action}".parse().unwrap(),
            ..vpc_log(3)
        },
        200,
    );
    assert_eq!(
        shown(dir.path(), None),
        "# interface-id pkt-srcaddr action start\n\
         eni-00000000000000001 10.0.1.77 ACCEPT 100\n\
         eni-00000000000000001 10.0.1.77 REJECT 100\n\
         # start action\n\
         200 ACCEPT\n\
         200 REJECT\n\
         # interface-id pkt-srcaddr action start\n\
         eni-00000000000000001 10.0.1.77 ACCEPT 300\n\
         eni-00000000000000001 10.0.1.77 REJECT 300\n"
    );
    assert_eq!(
        shown(dir.path(), Some("REJECT 300")),
        "# interface-id pkt-srcaddr action start\n\
         eni-00000000000000001 10.0.1.77 REJECT 300\n"
    );
}

#[test]
fn following_prints_every_file_once() {
    let dir = tempfile::tempdir().unwrap();
    let args = LogsArgs {
        dir: dir.path().join("not-there-yet"),
        follow: true,
        sieve: Sieve::default(),
    };
    let looks = Cell::new(0);
    let stop = || {
        looks.set(looks.get() + 1);
        if looks.get() < 3 {
            deliver(&args.dir, vpc_log(1), 100 * looks.get());
        }
        looks.get() == 4
    };
    let mut out = Vec::new();
    show(&args, &mut out, stop).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "# interface-id pkt-srcaddr action start\n\
         eni-00000000000000001 10.0.1.77 ACCEPT 100\n\
         eni-00000000000000001 10.0.1.77 REJECT 100\n\
         eni-00000000000000001 10.0.1.77 ACCEPT 200\n\
         eni-00000000000000001 10.0.1.77 REJECT 200\n"
    );
}

#[test]
fn a_missing_folder_and_a_damaged_file_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = LogsArgs {
        dir: dir.path().join("nowhere"),
        follow: false,
        sieve: Sieve::default(),
    };
    let error = |args: &LogsArgs| {
        show(args, &mut Vec::new(), || true)
            .unwrap_err()
            .to_string()
    };
    assert!(error(&args).contains("nowhere"));
    args.dir = dir.path().to_owned();
    let name = "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz";
    fs::write(dir.path().join(name), "not gzip").unwrap();
    assert!(error(&args).contains(name));
}
