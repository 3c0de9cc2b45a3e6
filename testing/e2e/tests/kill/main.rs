//! Agent and plugin are killed at each of their effects, then the runtime goes on as runtimes do:
//! nothing of the pod may be left, and nothing may be given twice. So is the local VPC's server.
//!
//! strace kills the process when one of its threads is about to make its n-th call of a kind, for
//! n = 1, 2, .. until the command completes. Both commands run once for every kind that has an
//! effect: netlink messages and answers (`sendto`), journal records (`write`), the way into the
//! pod's namespace (`setns`), the request (`sendmsg`), tombstones (`rename`).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod inject;
mod owner;
mod runtime;
mod server;
mod state;

use std::{net::Ipv4Addr, time::Duration};

use inject::{Injection, Victim};
use runtime::Container;
use state::State;
use underlay_netplan::{EniSlot, EniWiring, NodeState, Plan, PodWiring, eni::EniInUse, pod};
use underlay_testkit::{Cluster, ClusterNode, NodeSpec, wait_for_async};
use underlay_types::{EniId, Families, Interface, LeaseKey, Mac, PoolGroups};

/// Bounds an endless schedule.
const CALLS_MAX: u32 = 40;

/// A node whose pool stands still: its one ENI is full, and released addresses are free at once.
async fn quiet_cluster(name: &str) -> (Cluster, State) {
    let node = NodeSpec::new("n1", "m5.large", 0)
        .with_agent_config("[addresses]\nmax_enis = 1\nwarm_target = 9\ncooldown = \"0s\"");
    let cluster = Cluster::start(name, &[node]).await.unwrap();
    let settled = wait_for_async("the node to settle", Duration::from_secs(30), || async {
        let free = &cluster.agent_status(0)?["pools"][0]["free"];
        let state = State::read(&cluster, 0).await?;
        Ok((free == 9 && state.is_settled()).then_some(state))
    });
    let baseline = settled.await.unwrap();
    (cluster, baseline)
}

async fn assert_back_at(baseline: &State, cluster: &Cluster, when: &str) {
    let back = wait_for_async("nothing to be left", Duration::from_secs(20), || async {
        let now = State::read(cluster, 0).await?;
        Ok((now == *baseline).then_some(()))
    });
    if back.await.is_err() {
        let now = State::read(cluster, 0).await.unwrap();
        let log = cluster.nodes[0].node.agent_log_tail();
        panic!(
            "{when}: left behind:\n{}\nagent:\n{log}",
            now.difference(baseline)
        );
    }
}

/// What a runtime does with a container whose ADD it could not finish, and with one more beside.
fn clean_up(node: &ClusterNode, container: &Container, namespace_is_gone: bool) {
    let other = Container::create(&node.node, "other");
    let address = other.add().address().unwrap();
    if let Some(first) = container.address_inside().unwrap() {
        assert_ne!(first, address, "one address for two pods");
    }
    if namespace_is_gone {
        container.remove_namespace();
    }
    // As containerd repeats it; the second time without a namespace.
    assert_eq!(container.del().code(), 0);
    container.remove_namespace();
    assert_eq!(container.del().code(), 0);
    assert_eq!(other.del().code(), 0);
    other.remove_namespace();
}

/// Kills the agent at its `n`-th `kind` of call during `command`. Returns whether it died.
async fn agent_dies_at(cluster: &mut Cluster, command: &str, kind: &str, n: u32) -> bool {
    let container = Container::create(&cluster.nodes[0].node, "victim");
    if command == "DEL" {
        container.add().address().unwrap();
    }
    let agent = Victim::agent(&cluster.nodes[0].node).unwrap();
    let injection = Injection::attach(&agent, kind, n).unwrap();
    let answer = match command {
        "ADD" => container.add(),
        _ => container.del(),
    };
    injection.detach().unwrap();
    let died = cluster.agent_status(0).is_err();
    let allowed: &[i64] = if died && command == "ADD" {
        &[0, 11]
    } else {
        &[0]
    };
    assert!(allowed.contains(&answer.code()), "{answer:?}");
    // An agent that got through dies after its last effect.
    drop(cluster.nodes[0].node.kill_agent());
    cluster.restart_agent(0).unwrap();
    clean_up(&cluster.nodes[0], &container, n.is_multiple_of(2));
    died
}

/// Runs the schedule of `kind` to its end; returns how often the agent died.
async fn agent_schedule(cluster: &mut Cluster, baseline: &State, command: &str, kind: &str) -> u32 {
    for n in 1..=CALLS_MAX {
        let died = agent_dies_at(cluster, command, kind, n).await;
        let when = format!("{command}, agent killed at {kind} {n}");
        assert_back_at(baseline, cluster, &when).await;
        if !died {
            return n - 1;
        }
    }
    panic!("{command}: the agent dies for ever at {kind}")
}

/// How many batches the plans to wire and to unwire a pod of the default set have.
fn batches_of_a_pod() -> (u32, u32) {
    let eni = EniInUse {
        wiring: EniWiring {
            slot: EniSlot::PRIMARY,
            eni: EniId::from_serial(1),
            mac: Mac::local(1),
            address: None,
            address_v6: None,
            subnet: "10.0.0.0/24".parse().unwrap(),
            families: Families::V4,
            groups: PoolGroups::Default,
            mtu: 9001,
        },
        device: "eth0".to_owned(),
    };
    let pod = PodWiring {
        key: LeaseKey {
            network: "underlay".parse().unwrap(),
            container: "victim".parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        },
        addresses: Ipv4Addr::new(10, 0, 0, 5).into(),
        egress: None,
        eni: EniSlot::PRIMARY,
        groups: PoolGroups::Default,
        mtu: 9001,
        interface: Interface::Shared,
        second_in: None,
        trunk: None,
    };
    let mut state = NodeState::default();
    state.insert_eni(eni);
    let count = |plan: &Plan| u32::try_from(plan.batches().count()).unwrap();
    let wiring = count(&pod::wire(&state, &pod).unwrap());
    (wiring, count(&pod::unwire(&pod)))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_at_any_effect_leaks_and_doubles_nothing() {
    let (mut cluster, baseline) = quiet_cluster("e2e-kill-agent").await;
    // What each command does at the least: the batches of its plan, a record of intent and one of
    // outcome, and for an ADD the way into the pod.
    let (wiring, unwiring) = batches_of_a_pod();
    for (command, kind, least) in [
        ("ADD", "sendto", wiring),
        ("ADD", "write", 2),
        ("ADD", "setns", 1),
        ("DEL", "sendto", unwiring),
        ("DEL", "write", 2),
    ] {
        let deaths = agent_schedule(&mut cluster, &baseline, command, kind).await;
        println!("{command}: killed at {deaths} calls of {kind}, at least {least} wanted");
        assert!(deaths >= least, "{command}: only {deaths} calls of {kind}");
    }
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_killed_at_any_effect_leaks_and_doubles_nothing() {
    let (mut cluster, baseline) = quiet_cluster("e2e-kill-plugin").await;
    let mut deaths = Vec::new();
    for (command, agent_is_there) in [("ADD", true), ("DEL", true), ("DEL", false)] {
        for kind in ["connect", "sendmsg", "rename", "write"] {
            for n in 1..=CALLS_MAX {
                let container = Container::create(&cluster.nodes[0].node, "victim");
                if command == "DEL" {
                    container.add().address().unwrap();
                }
                if !agent_is_there {
                    cluster.nodes[0].node.kill_agent().unwrap();
                }
                let died = container.run_killed_at(command, kind, n);
                if !agent_is_there {
                    cluster.restart_agent(0).unwrap();
                }
                clean_up(&cluster.nodes[0], &container, n.is_multiple_of(2));
                let when = format!("{command}, plugin killed at {kind} {n}");
                assert_back_at(&baseline, &cluster, &when).await;
                if !died {
                    break;
                }
                deaths.push((command, agent_is_there, kind));
            }
        }
    }
    let there = |command| ["connect", "sendmsg"].map(|kind| (command, true, kind));
    let mut wanted = [
        there("ADD").as_slice(),
        &[("ADD", true, "write")],
        &there("DEL"),
    ]
    .concat();
    // It asks, leaves a draft, puts it in place, and asks again.
    let away = ["connect", "connect", "rename", "write"].map(|kind| ("DEL", false, kind));
    wanted.extend(away);
    assert_eq!(deaths, wanted);
    cluster.stop().unwrap();
}
