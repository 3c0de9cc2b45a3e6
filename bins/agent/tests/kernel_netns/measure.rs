//! How long wiring and unwiring take. Not a test: times gate nothing.
//!
//! `cargo test --release -p underlay-agent --test kernel_netns -- --ignored --nocapture measure`

use std::time::{Duration, Instant};

use crate::lab::{Lab, Pod, REMOTE};

const PODS: u8 = 201;

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
