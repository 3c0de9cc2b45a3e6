//! Faults at every step: a wiring that fails leaves nothing behind.
//!
//! A child, under strace, wires a pod and the N-th message to the kernel of one of its threads
//! fails; N grows until the wiring succeeds.

use std::{
    os::fd::{AsFd, OwnedFd},
    process::Command,
};

use underlay_agent::kernel::{Kernel, KernelConfig};
use underlay_netlink::netns;

use crate::lab::{Lab, Pod, assert_same, dump, wiring};

/// Slot of the ENI of the pod to be wired; an explicit set, which has the most steps.
const SLOT: u8 = 2;
/// Last byte of its address.
const LAST: u8 = 21;

/// A namespace with a name while the test runs, for the child to find.
struct Named(String);

impl Named {
    fn new(netns: &OwnedFd, what: &str) -> Self {
        let name = format!("underlay-test-{}-{what}", std::process::id());
        netns::bind(netns.as_fd(), &name).unwrap();
        Self(name)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Err(error) = netns::remove_named(&self.0) {
            eprintln!("left behind: {error}");
        }
    }
}

#[test]
fn a_wiring_that_fails_at_any_step_leaves_nothing() {
    let lab = Lab::new(3);
    let resident = lab.pod(20, 3);
    // The chains of the set exist once its first pod came, and stay with its ENIs.
    let first = lab.pod(19, SLOT);
    lab.kernel.unwire_pod(&first.wiring).unwrap();
    lab.kernel.reap().unwrap();
    let pod = lab.unwired(LAST, SLOT);
    let names = [Named::new(&lab.node, "node"), Named::new(&pod.netns, "pod")];
    let mut failed = 0;
    for step in 1.. {
        let before = [dump(&lab.node), dump(&pod.netns)];
        let output = wire_in_child(&names, step);
        if output.contains("wired: ok") {
            break;
        }
        assert!(output.contains("failed: "), "step {step}: {output}");
        failed += usize::from(output.contains("wiring failed: "));
        let after = [dump(&lab.node), dump(&pod.netns)];
        for (after, before) in after.iter().zip(&before) {
            assert_same(after, before, &format!("step {step}: {output}"));
        }
    }
    // Make the device, set up its other end, look at it, elements, neighbour and routes.
    assert!(failed >= 5, "only {failed} steps of the wiring failed");
    check(&lab, &pod);
    check(&lab, &resident);
}

fn check(lab: &Lab, pod: &Pod) {
    let mut state = vec![wiring(LAST, SLOT), wiring(20, 3)];
    state.sort_by(|one, other| one.key.cmp(&other.key));
    lab.kernel.restore(&state).unwrap();
    assert_eq!(
        lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap(),
        [""; 0]
    );
}

/// Runs [`child`] with a fault in the `step`-th message of each of its threads.
fn wire_in_child(names: &[Named; 2], step: u32) -> String {
    let program = std::env::current_exe().unwrap();
    let output = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=sendto", "-e"])
        .arg(format!("inject=sendto:error=ENOBUFS:when={step}"))
        .args(["-o", "/dev/null"])
        .arg(program)
        .args([
            "--exact",
            "injected::child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("WIRE_NODE", &names[0].0)
        .env("WIRE_POD", &names[1].0)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Wires the pod of the test and says how it went. The parent brought the ENIs into use; bringing
/// them in again, to know them, changes nothing.
#[test]
#[ignore = "runs as the child of another test"]
fn child() {
    let open = |variable: &str| netns::open_named(&std::env::var(variable).unwrap()).unwrap();
    let (node, pod) = (open("WIRE_NODE"), open("WIRE_POD"));
    let config = KernelConfig {
        workers: 1,
        ..KernelConfig::default()
    };
    let kernel = Kernel::new_in(node, &config).unwrap();
    for device in 0..=3 {
        if let Err(failure) = kernel.use_eni(&crate::lab::eni(device)) {
            println!("preparation failed: {failure}");
            return;
        }
    }
    match kernel.wire_pod(&wiring(LAST, SLOT), pod.as_fd()) {
        Ok(()) => println!("wired: ok"),
        Err(failure) => {
            assert_eq!(failure.left, [], "what could not be undone");
            println!("wiring failed: {failure}");
        }
    }
}
