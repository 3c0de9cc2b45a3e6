//! How long wiring and unwiring take, and a packet's way past the rules of other ENIs. Not a test: times
//! gate nothing.
//!
//! `cargo test --release -p underlay-agent --test kernel_netns -- --ignored --nocapture measure`

use std::{
    net::UdpSocket,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_setaffinity};
use underlay_netlink::{
    Socket,
    rule::{self, Rule},
};
use underlay_netplan::numbers::{
    ENI_MARK_MASK, ENI_MARK_SHIFT, ENI_RULE_PRIORITY, SET_RULE_PRIORITY,
};
use underlay_types::Family;

use crate::lab::{Lab, Pod, REMOTE, command, eni, inside};

const PODS: u8 = 201;
/// How many ENIs a node is given rules for.
const ENIS: [u32; 4] = [1, 2, 15, 60];
const ROUNDS: usize = 40;
const PACKETS: u32 = 5000;

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100].as_micros();
    println!(
        "{what}: p50 {} us, p99 {} us, n {}",
        at(50),
        at(99),
        times.len()
    );
}

fn timed(pods: &[Pod], work: impl Fn(&Pod)) -> Vec<Duration> {
    let time = |pod| {
        let begun = Instant::now();
        work(pod);
        begun.elapsed()
    };
    pods.iter().map(time).collect()
}

#[test]
#[ignore = "a measurement"]
fn measure_add_and_del() {
    for (device, kind) in [(1, "default set"), (2, "explicit set")] {
        let lab = Lab::new(3);
        let pods: Vec<_> = (10..10 + PODS)
            .filter(|last| *last != REMOTE.octets()[3])
            .map(|last| lab.unwired(last, device))
            .collect();
        let wire = |pod: &Pod| lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
        report(&format!("wire, {kind}"), timed(&pods, wire));
        report(
            &format!("check, {kind}"),
            timed(&pods, |pod| {
                assert_eq!(
                    lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap(),
                    [""; 0]
                );
            }),
        );
        let looks = (0..50).map(|_| {
            let begun = Instant::now();
            assert!(lab.kernel.look().unwrap().clean);
            begun.elapsed()
        });
        let what = format!("look for drift with {} pods, {kind}", pods.len());
        report(&what, looks.collect());
        report(
            &format!("unwire, {kind}"),
            timed(&pods, |pod| {
                lab.kernel.unwire_pod(&pod.wiring).unwrap();
            }),
        );
        let begun = Instant::now();
        lab.kernel.reap().unwrap();
        let (count, took) = (pods.len(), begun.elapsed().as_millis());
        println!("reap of {count} devices, {kind}: {took} ms");
    }
}

/// Rules for further ENIs, before those of the ENI that the pod uses: the longest way.
fn set_rules(lab: &Lab, enis: u32) {
    let mut socket = Socket::open_in(lab.node.as_fd()).unwrap();
    let mut requests = Vec::new();
    for priority in [SET_RULE_PRIORITY, ENI_RULE_PRIORITY] {
        for other in 0..60 {
            let mark = (100 + other) << ENI_MARK_SHIFT;
            let rule = Rule::by_mark(Family::V4, priority, mark, ENI_MARK_MASK, 70_100);
            requests.push(rule::delete(&rule).or_missing());
            if other + 1 < enis {
                requests.push(rule::add(&rule));
            }
        }
    }
    socket.run(&requests).unwrap();
    // Those of the pod's ENI come last.
    lab.kernel.drop_eni(&eni(1).eni).unwrap();
    lab.kernel.use_eni(&eni(1)).unwrap();
}

/// Nanoseconds of a packet from the pod's socket to where the VPC would begin.
fn per_packet(socket: &UdpSocket) -> f64 {
    let begun = Instant::now();
    for _ in 0..PACKETS {
        socket.send(&[0; 64]).unwrap();
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(PACKETS)
}

#[test]
#[ignore = "a measurement"]
fn measure_rules() {
    let mut one = CpuSet::new();
    one.set(0);
    sched_setaffinity(None, &one).unwrap();
    let lab = Lab::new(1);
    let pod = lab.pod(21, 1);
    command(
        &lab.vpc,
        "nft insert rule ip vpc pre ip saddr 10.0.0.21 drop",
    );
    let socket = inside(&pod.netns, || UdpSocket::bind((pod.address(), 0)).unwrap());
    socket.connect((REMOTE, 9)).unwrap();
    let mut times = ENIS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (enis, times) in ENIS.iter().zip(&mut times) {
            set_rules(&lab, *enis);
            per_packet(&socket);
            times.push(per_packet(&socket));
        }
    }
    let medians = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    });
    for (enis, median) in ENIS.iter().zip(&medians) {
        let more = (median / medians[0] - 1.0) * 100.0;
        println!("{enis} ENIs: {median:.0} ns a packet, {more:+.1} %");
    }
}
