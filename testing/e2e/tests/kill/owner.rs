//! The same with a pod that owns an ENI: the ENI is in the pod or on the node, and never lost.

use std::time::Duration;

use underlay_netplan::{EniSlot, Plan, PodWiring, whole};
use underlay_testkit::{Cluster, NodeSpec, wait_for_async};
use underlay_types::{Interface, Mac, PoolGroups, WholeEni};

use crate::{
    CALLS_MAX,
    inject::{Injection, Victim},
    runtime::Container,
    state::State,
};

/// How long the VPC and the agent may take to have everything as it was.
const DEADLINE: Duration = Duration::from_secs(60);

/// A node with one ENI that pods own in turn, idle now.
struct Scene {
    cluster: Cluster,
    mac: String,
    baseline: State,
}

impl Scene {
    async fn set(name: &str) -> Self {
        let node = NodeSpec::new("n1", "m5.large", 0)
            .with_agent_config("[addresses]\nmax_enis = 2\nwarm_target = 9\ncooldown = \"0s\"");
        let cluster = Cluster::start(name, &[node]).await.unwrap();
        let first = Container::create_owner(&cluster.nodes[0].node, "first");
        let address = first.add().address().unwrap();
        let instance = &cluster.nodes[0].instance;
        let interfaces = cluster.vpc.ec2().interfaces_of(instance).await.unwrap();
        let eni = interfaces.into_iter().find(|one| one.primary == address);
        let mac = eni.unwrap().mac;
        assert_eq!(first.del().code(), 0);
        first.remove_namespace();
        let settled = wait_for_async("the node to settle", DEADLINE, || async {
            let status = cluster.agent_status(0)?;
            let free = |pool: &str| {
                let enis = status["enis"].as_array().into_iter().flatten();
                let mut of_pool = enis.filter(|eni| eni["pool"] == pool);
                of_pool.next().map(|eni| eni["free"].clone())
            };
            let full = free("default") == Some(9.into()) && free("whole/default") == Some(1.into());
            let state = State::read(&cluster, 0).await?.without_names_of(&mac);
            Ok((full && state.is_settled()).then_some(state))
        });
        let baseline = settled.await.unwrap();
        Self {
            cluster,
            mac,
            baseline,
        }
    }

    async fn assert_as_before(&self, when: &str) {
        let read = || async {
            let state = State::read(&self.cluster, 0).await?;
            anyhow::Ok(state.without_names_of(&self.mac))
        };
        let back = wait_for_async("nothing to be left", DEADLINE, || async {
            Ok((read().await? == self.baseline).then_some(()))
        });
        if back.await.is_err() {
            let now = read().await.unwrap();
            let log = self.cluster.nodes[0].node.agent_log_tail();
            let difference = now.difference(&self.baseline);
            panic!("{when}: left behind:\n{difference}\nagent:\n{log}");
        }
    }

    /// What a runtime does with a container whose call it could not finish; then the ENI must serve
    /// another one.
    fn clean_up(&self, container: &Container, namespace_is_gone: bool) {
        if namespace_is_gone {
            container.remove_namespace();
        }
        assert_eq!(container.del().code(), 0);
        container.remove_namespace();
        assert_eq!(container.del().code(), 0);
        let other = Container::create_owner(&self.cluster.nodes[0].node, "other");
        let answer = other.add();
        assert!(answer.address().is_some(), "the ENI is lost: {answer:?}");
        assert_eq!(other.del().code(), 0);
        other.remove_namespace();
    }

    /// Kills the agent at its `n`-th `kind` of call during `command`. Returns whether it died.
    async fn agent_dies_at(&mut self, command: &str, kind: &str, n: u32) -> bool {
        let container = Container::create_owner(&self.cluster.nodes[0].node, "victim");
        if command == "DEL" {
            container.add().address().unwrap();
        }
        let agent = Victim::agent(&self.cluster.nodes[0].node).unwrap();
        let injection = Injection::attach(&agent, kind, n).unwrap();
        let answer = match command {
            "ADD" => container.add(),
            _ => container.del(),
        };
        injection.detach().unwrap();
        let died = self.cluster.agent_status(0).is_err();
        let may_fail = died && command == "ADD";
        let allowed: &[i64] = if may_fail { &[0, 11] } else { &[0] };
        assert!(allowed.contains(&answer.code()), "{answer:?}");
        drop(self.cluster.nodes[0].node.kill_agent());
        self.cluster.restart_agent(0).unwrap();
        if answer.code() != 0 || command == "DEL" {
            let status = self.cluster.agent_status(0).unwrap();
            let leases = status["leases"].as_array().unwrap();
            match (leases.as_slice(), container.address_inside().unwrap()) {
                // Nobody was told of the pod, or it is gone: the next agent took the ENI back by itself.
                ([], None) => {}
                // It was done and recorded, and only the answer did not get out: it stands as a whole,
                // and is the runtime's to take away.
                ([lease], Some(address)) if command == "ADD" => {
                    assert_eq!(lease["key"]["container"], "victim", "{lease}");
                    assert_eq!(lease["state"], "active", "{lease}");
                    assert_eq!(lease["addresses"], serde_json::json!([address]), "{lease}");
                }
                other => panic!("{command}, killed at {kind} {n}: {other:?}"),
            }
        }
        self.clean_up(&container, n.is_multiple_of(2));
        died
    }
}

/// How many operations the plans of a pod that owns an ENI have.
fn operations() -> (u32, u32) {
    let eni = WholeEni {
        mac: Mac::local(1),
        subnet: "10.0.1.0/24".parse().unwrap(),
    };
    let pod = PodWiring {
        key: underlay_types::LeaseKey {
            network: "underlay".parse().unwrap(),
            container: "victim".parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        },
        addresses: std::net::Ipv4Addr::new(10, 0, 1, 5).into(),
        eni: EniSlot::PRIMARY,
        groups: PoolGroups::Default,
        mtu: 9001,
        interface: Interface::Whole(eni),
        second_in: None,
        trunk: None,
        egress: None,
    };
    let count = |plan: &Plan| u32::try_from(plan.batches().count()).unwrap();
    (
        count(&whole::wire(&pod, eni, false)),
        count(&whole::unwire(&pod, eni)),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_at_any_effect_of_a_pod_that_owns_an_eni_loses_none() {
    let mut scene = Scene::set("e2e-kill-owner-agent").await;
    let (wiring, unwiring) = operations();
    for (command, kind, least) in [
        ("ADD", "sendto", wiring),
        ("ADD", "write", 2),
        ("ADD", "setns", 1),
        ("DEL", "sendto", unwiring),
        ("DEL", "write", 2),
        ("DEL", "setns", 1),
    ] {
        let mut deaths = 0;
        loop {
            let n = deaths + 1;
            assert!(
                n <= CALLS_MAX,
                "{command}: the agent dies for ever at {kind}"
            );
            let died = scene.agent_dies_at(command, kind, n).await;
            let when = format!("{command}, agent killed at {kind} {n}");
            scene.assert_as_before(&when).await;
            if !died {
                break;
            }
            deaths = n;
        }
        println!("{command}: killed at {deaths} calls of {kind}, at least {least} wanted");
        assert!(deaths >= least, "{command}: only {deaths} calls of {kind}");
    }
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_killed_at_any_effect_of_a_pod_that_owns_an_eni_loses_none() {
    let mut scene = Scene::set("e2e-kill-owner-plugin").await;
    let mut deaths = 0;
    for (command, agent_is_there) in [("ADD", true), ("DEL", true), ("DEL", false)] {
        for kind in ["connect", "sendmsg", "rename", "write"] {
            for n in 1..=CALLS_MAX {
                let container = Container::create_owner(&scene.cluster.nodes[0].node, "victim");
                if command == "DEL" {
                    container.add().address().unwrap();
                }
                if !agent_is_there {
                    scene.cluster.nodes[0].node.kill_agent().unwrap();
                }
                let died = container.run_killed_at(command, kind, n);
                if !agent_is_there {
                    scene.cluster.restart_agent(0).unwrap();
                }
                scene.clean_up(&container, n.is_multiple_of(2));
                let when = format!("{command}, plugin killed at {kind} {n}");
                scene.assert_as_before(&when).await;
                if !died {
                    break;
                }
                deaths += 1;
            }
        }
    }
    // As with pods that share: 3 of an ADD, 2 of a DEL, 4 of one without an agent.
    assert_eq!(deaths, 9);
    scene.cluster.stop().unwrap();
}
