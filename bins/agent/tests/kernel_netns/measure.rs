//! How long wiring and unwiring take, and a packet's way past the rules of other ENIs. Not a test: times
//! gate nothing.
//!
//! `cargo test --release -p underlay-agent --test kernel_netns -- --ignored --nocapture measure`

use std::{
    net::UdpSocket,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_setaffinity};
use underlay_datapath::Datapath;
use underlay_netlink::{Socket, link};
use underlay_netplan::numbers::{DEFAULT_SET_TABLE, ENI_MARK_MASK, ENI_MARK_SHIFT};

use crate::lab::{Lab, Pod, REMOTE, command, inside};

const PODS: u8 = 201;
/// How many ENIs a node is given rules for.
const ENIS: [u32; 3] = [2, 15, 60];
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

/// What an eBPF program at each pod's device would cost an ADD: a qdisc `clsact` and a filter at each of
/// its two sides.
#[test]
#[ignore = "a measurement"]
fn measure_programs_at_pods() {
    let lab = Lab::new(3);
    let pods: Vec<_> = (10..10 + PODS)
        .filter(|last| *last != REMOTE.octets()[3])
        .map(|last| lab.unwired(last, 1))
        .collect();
    let datapath = Datapath::load().unwrap();
    let wire = |pod: &Pod| lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
    report("wire", timed(&pods, wire));
    let mut socket = Socket::open_in(lab.node.as_fd()).unwrap();
    let attaches = pods.iter().map(|pod| {
        let device = link::by_name(&mut socket, &pod.wiring.host_device()).unwrap();
        let begun = Instant::now();
        datapath.attach(&mut socket, device.index).unwrap();
        begun.elapsed()
    });
    let attaches = attaches.collect();
    report("put programs at its device", attaches);
}

/// How a mark finds its tables.
#[derive(Debug, Clone, Copy)]
enum Layout {
    /// By one rule after the other.
    Row,
    /// As it is: by four bits of the mark, each of which leaves half of the rules out; then in a row.
    Tree,
}

/// The rules of a node with so many ENIs, as lines of `ip -batch`. The pod is on the second, whose rules
/// come last: the longest way.
fn rules(layout: Layout, enis: u32) -> Vec<String> {
    let numbers = || (1..=enis).filter(|number| *number != 2).chain([2]);
    let leaf = |number: u32, priority: u32, table: u32| {
        let mark = number << ENI_MARK_SHIFT;
        format!("priority {priority} fwmark {mark:#x}/{ENI_MARK_MASK:#x} table {table}")
    };
    let mut rules = Vec::new();
    let base = |bucket: u32| 100_000 + bucket * 1000;
    if matches!(layout, Layout::Tree) {
        rules.push(format!(
            "priority 7000 fwmark 0/{ENI_MARK_MASK:#x} goto 7002"
        ));
        rules.push(format!("priority 7001 goto {}", base(0)));
        rules.push("priority 7002 nop".to_owned());
        for bit in 0..4 {
            for low in (0..16).step_by(2 << bit) {
                let mask = 1_u32 << (ENI_MARK_SHIFT + bit);
                let (from, to) = (base(low) + 3 - bit, base(low + (1 << bit)) + 4 - bit);
                rules.push(format!(
                    "priority {from} fwmark {mask:#x}/{mask:#x} goto {to}"
                ));
                if bit == 0 {
                    rules.push(format!("priority {to} nop"));
                }
            }
        }
    }
    for number in numbers() {
        let own = if number <= 2 { 69_999 + number } else { 70_100 };
        let (set, eni) = match layout {
            Layout::Row => (6990, 7000),
            Layout::Tree => (base(number & 15) + 10, base(number & 15) + 20),
        };
        rules.push(leaf(number, set, DEFAULT_SET_TABLE));
        rules.push(leaf(number, eni, own));
    }
    rules
}

/// Puts rules in the place of those that stand.
fn set_rules(lab: &Lab, standing: &mut Vec<String>, wanted: Vec<String>) {
    let delete = standing.iter().map(|rule| format!("rule delete {rule}\n"));
    let add = wanted.iter().map(|rule| format!("rule add {rule}\n"));
    let batch: String = delete.chain(add).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules");
    std::fs::write(&file, batch).unwrap();
    command(&lab.node, &format!("ip -batch {}", file.display()));
    *standing = wanted;
}

/// Nanoseconds of a packet from the pod's socket to where the VPC would begin.
fn per_packet(socket: &UdpSocket) -> f64 {
    let begun = Instant::now();
    for _ in 0..PACKETS {
        socket.send(&[0; 64]).unwrap();
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(PACKETS)
}

/// Packets of the pod that the VPC has seen.
fn arrived(lab: &Lab) -> u64 {
    let chain = command(&lab.vpc, "nft list chain ip vpc pre");
    let (_, counter) = chain.split_once("counter packets ").unwrap();
    counter.split(' ').next().unwrap().parse().unwrap()
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
        "nft insert rule ip vpc pre ip saddr 10.0.0.21 counter drop",
    );
    let socket = inside(&pod.netns, || UdpSocket::bind((pod.address(), 0)).unwrap());
    socket.connect((REMOTE, 9)).unwrap();
    let layouts = [Layout::Row, Layout::Tree];
    let cases = ENIS.map(|enis| layouts.map(|layout| (layout, enis)));
    let times = cases.as_flattened().iter().map(|case| (*case, Vec::new()));
    let mut times: Vec<_> = times.collect();
    // In the place of what the agent made.
    command(&lab.node, "ip rule flush");
    command(&lab.node, "ip rule add priority 32766 table main");
    let mut standing = Vec::new();
    for _ in 0..ROUNDS {
        for ((layout, enis), times) in &mut times {
            set_rules(&lab, &mut standing, rules(*layout, *enis));
            let before = arrived(&lab);
            per_packet(&socket);
            times.push(per_packet(&socket));
            assert_eq!(arrived(&lab) - before, 2 * u64::from(PACKETS), "{layout:?}");
        }
    }
    let mut first = None;
    for ((layout, enis), mut times) in times {
        times.sort_by(f64::total_cmp);
        let median = times[ROUNDS / 2];
        let more = (median / *first.get_or_insert(median) - 1.0) * 100.0;
        println!("{enis} ENIs, {layout:?}: {median:.0} ns a packet, {more:+.1} %");
    }
}
