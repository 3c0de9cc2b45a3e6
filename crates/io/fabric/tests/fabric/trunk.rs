//! Branch ENIs: their packets are frames with a tag on the trunk's device.

use std::process::Command;

use underlay_fabric::{Action, PortConfig, TrackingAllowance, TrackingTimeouts};
use underlay_types::{EniId, Mac};

use crate::{
    traffic::serve,
    world::{B, OPEN, World, eni, group, ip},
};

const BRANCH: &str = "10.0.2.50";
const PEER: &str = "10.0.2.20";
const TAG: u16 = 5;

/// A trunk 10.0.1.10 with a branch 10.0.2.50 of another subnet, and a neighbour of the branch.
fn world(groups: &[&str]) -> (World, EniId) {
    let mut world = World::new();
    // The trunk's groups are its own: no packet of the branch is judged by them.
    let trunk = world.instance("trunk", "10.0.1.10", &[]);
    world.instance("peer", PEER, &[OPEN]);
    serve(world.at("peer"), 7);
    let branch = eni(800);
    let config = PortConfig {
        eni: branch.clone(),
        mac: Mac::local(800),
        subnet: B.parse().unwrap(),
        addresses: vec![ip(BRANCH)],
        prefixes: Vec::new(),
        source_dest_check: true,
        groups: groups.iter().map(|text| group(text)).collect(),
        timeouts: TrackingTimeouts::default(),
        allowance: TrackingAllowance::default(),
    };
    world.fabric.add_branch(config, &trunk, TAG).unwrap();
    (world, branch)
}

/// What comes back when the trunk's instance speaks for the branch with a tag.
fn speak(world: &World, tag: u16) -> Vec<String> {
    let trunk = world.at("trunk");
    let output = Command::new("nsenter")
        .arg(format!("--net={}", trunk.path().display()))
        .args(["python3", "-c", include_str!("branch.py")])
        .args([
            &trunk.device,
            &tag.to_string(),
            &Mac::local(800).to_string(),
        ])
        .args([BRANCH, PEER, "7"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_tagged_frame_is_the_branchs_and_its_answers_carry_the_tag() {
    let (mut world, branch) = world(&[OPEN]);
    world.fabric.close_window().unwrap();
    let mac = world.at("peer").port.mac;
    assert_eq!(
        speak(&world, TAG),
        [format!("arp {TAG} {mac}"), format!("udp {TAG} word")]
    );
    let records = world.fabric.close_window().unwrap().records;
    let own: Vec<_> = records
        .iter()
        .filter(|record| record.eni == branch)
        .collect();
    assert_eq!(own.len(), 2, "{records:?}");
    assert!(own.iter().all(|record| record.action == Action::Accept));
    assert!(
        records
            .iter()
            .all(|record| record.eni != world.at("trunk").port.eni)
    );
}

#[test]
fn a_branch_has_groups_of_its_own() {
    let (world, _) = world(&[]);
    let answers = speak(&world, TAG);
    assert!(answers[0].starts_with("arp 5"), "{answers:?}");
    assert_eq!(answers[1..], ["silence"]);
    assert_eq!(world.counter("drop-egress-groups"), 1);
}

#[test]
fn another_tag_and_none_are_not_the_branchs() {
    let (mut world, branch) = world(&[OPEN]);
    assert_eq!(speak(&world, TAG + 1), ["silence"]);
    assert!(world.counter("drop-no-port") > 0);
    // Untagged, the trunk asks for somebody who is not its neighbour.
    assert_eq!(speak(&world, 0), ["silence"]);
    world.fabric.remove_ports(&[branch]).unwrap();
    assert_eq!(speak(&world, TAG), ["silence"]);
}
