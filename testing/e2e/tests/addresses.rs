//! Pods get addresses of their node's ENIs, give them back, and wait when there is none.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use underlay_testkit::{
    Cluster, Interface, NodeSpec, Pod, PodSpec, addresses_inside, imds_addresses,
    probe::{Endpoint, udp_matrix},
    wait_for_async,
};

/// Everything that EC2 says of the node's secondary addresses.
async fn addresses_in_ec2(cluster: &Cluster, node: usize) -> BTreeSet<Ipv4Addr> {
    let instance = &cluster.nodes[node].instance;
    let interfaces = cluster.vpc.ec2().interfaces_of(instance).await.unwrap();
    interfaces
        .into_iter()
        .flat_map(|interface| interface.secondaries)
        .collect()
}

async fn run_pods(cluster: &Cluster, node: usize, names: &[&str]) -> Vec<Pod> {
    let mut cri = cluster.nodes[node].node.cri().await.unwrap();
    let mut pods = Vec::new();
    for name in names {
        pods.push(cri.run_pod(&PodSpec::named(*name)).await.unwrap());
    }
    pods
}

#[tokio::test(flavor = "multi_thread")]
async fn ec2_imds_cni_and_the_pod_agree_on_every_address() {
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let cluster = Cluster::start("e2e-views", &nodes).await.unwrap();
    let mut endpoints = Vec::new();
    for node in 0..2 {
        // More than one ENI of this type holds.
        let pods = run_pods(&cluster, node, &["a", "b", "c", "d"]).await;
        let ec2 = addresses_in_ec2(&cluster, node).await;
        let imds = imds_addresses(cluster.nodes[node].node.netns()).unwrap();
        let given: BTreeSet<Ipv4Addr> = pods.iter().map(|pod| pod.address).collect();
        assert_eq!(given.len(), pods.len(), "{given:?}");
        assert!(given.is_subset(&ec2), "{given:?} {ec2:?}");
        assert!(given.is_subset(&imds), "{given:?} {imds:?}");
        for pod in &pods {
            let inside = addresses_inside(pod.netns().unwrap(), "eth0").unwrap();
            let cni = &pod.cni_result["Interfaces"]["eth0"]["IPConfigs"][0]["IP"];
            assert_eq!(inside, [pod.address]);
            assert_eq!(cni.as_str(), Some(pod.address.to_string().as_str()));
            endpoints.push(Endpoint {
                name: format!("n{}-{}", node + 1, pod.name),
                address: pod.address,
                netns: pod.netns().unwrap().clone(),
            });
        }
        let node = &cluster.nodes[node];
        endpoints.push(Endpoint {
            name: node.node.name().to_owned(),
            address: node.address,
            netns: node.node.netns().clone(),
        });
    }

    let seen = udp_matrix(&endpoints, 7777).await.unwrap();
    for (from, row) in endpoints.iter().zip(&seen) {
        for (to, seen) in endpoints
            .iter()
            .zip(row)
            .filter(|(to, _)| to.address != from.address)
        {
            let source = seen.map(|seen| seen.ip());
            assert_eq!(
                source,
                Some(from.address.into()),
                "{} to {}",
                from.name,
                to.name
            );
        }
    }
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pods_address_cools_down_before_it_is_given_again() {
    let node = NodeSpec::new("n1", "m5.large", 0)
        .with_agent_config("[addresses]\nwarm_target = 2\ncooldown = \"4s\"");
    let cluster = Cluster::start("e2e-cooldown", &[node]).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let first = cri.run_pod(&PodSpec::named("first")).await.unwrap();
    // Twice: kubelet repeats it, and the runtime calls the plugin each time.
    cri.stop_pod(&first.id).await.unwrap();
    cri.remove_pod(&first.id).await.unwrap();
    assert_eq!(
        cluster.agent_status(0).unwrap()["leases"],
        serde_json::json!([])
    );
    assert!(addresses_in_ec2(&cluster, 0).await.contains(&first.address));

    let next = run_pods(&cluster, 0, &["second", "third", "fourth"]).await;
    let next: Vec<Ipv4Addr> = next.iter().map(|pod| pod.address).collect();
    assert!(
        !next.contains(&first.address),
        "{} again in {next:?}",
        first.address
    );

    // When it has cooled down it is one of the free ones again.
    let again = wait_for_async(
        "the address to be given again",
        Duration::from_secs(30),
        || {
            let mut cri = cri.clone();
            let wanted = first.address;
            async move {
                let pod = cri.run_pod(&PodSpec::named("later")).await?;
                let found = (pod.address == wanted).then_some(());
                if found.is_none() {
                    cri.remove_pod(&pod.id).await?;
                }
                Ok(found)
            }
        },
    );
    again.await.unwrap();
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_pool_refuses_with_numbers() {
    let node = NodeSpec::new("n1", "t3.small", 0)
        .with_agent_config("[addresses]\nmax_enis = 1\nwarm_target = 1\nadd_wait = \"1s\"");
    let cluster = Cluster::start("e2e-exhausted", &[node]).await.unwrap();
    // A t3.small holds four addresses on an ENI, of which one is its own.
    run_pods(&cluster, 0, &["a", "b", "c"]).await;
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let refused = cri.run_pod(&PodSpec::named("d")).await;
    let message = format!("{:#}", refused.unwrap_err());
    assert!(message.contains("0 of 3 free on 1 ENI"), "{message}");
    assert_eq!(cri.list_pods().await.unwrap().len(), 3);

    let answer = cluster.nodes[0]
        .node
        .cni_add("by-hand", &serde_json::json!({}))
        .unwrap();
    assert_eq!(answer["code"], 11, "{answer}");
    assert!(
        answer["msg"]
            .as_str()
            .unwrap()
            .contains("0 of 3 free on 1 ENI"),
        "{answer}"
    );
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_gives_every_eni_back_and_resume_serves_pods_again() {
    let node = NodeSpec::new("n1", "t3.small", 0);
    let cluster = Cluster::start("e2e-drain", &[node]).await.unwrap();
    let pods = run_pods(&cluster, 0, &["a", "b", "c", "d", "e"]).await;
    let instance = &cluster.nodes[0].instance;
    let ec2 = cluster.vpc.ec2();
    assert!(ec2.interfaces_of(instance).await.unwrap().len() > 1);
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    for pod in &pods {
        cri.remove_pod(&pod.id).await.unwrap();
    }
    let binaries = cluster.vpc.binaries();
    cluster.nodes[0]
        .node
        .ask_agent(binaries, &["drain", "--deadline", "60s"])
        .unwrap();
    let left = ec2.interfaces_of(instance).await.unwrap();
    let left: Vec<_> = left
        .iter()
        .map(|one| (one.device_index, &one.secondaries))
        .collect();
    assert_eq!(left, [(Some(0), &Vec::new())]);
    // The API's endpoint has one, too.
    let all = ec2.interfaces(&cluster.networks.vpc).await.unwrap();
    let of_nodes = |one: &&Interface| one.groups == [cluster.networks.node_group.clone()];
    assert_eq!(all.iter().filter(of_nodes).count(), 1, "{all:?}");

    let refused = cri.run_pod(&PodSpec::named("early")).await.unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.contains("drained"), "{refused}");
    cluster.nodes[0]
        .node
        .ask_agent(binaries, &["resume"])
        .unwrap();
    run_pods(&cluster, 0, &["f", "g", "h", "i"]).await;
    assert!(ec2.interfaces_of(instance).await.unwrap().len() > 1);
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_on_the_nodes_network_takes_no_address() {
    let node = NodeSpec::new("n1", "t3.small", 0);
    let cluster = Cluster::start("e2e-hostnet", &[node]).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let spec = PodSpec {
        host_network: true,
        ..PodSpec::named("host")
    };
    let pod = cri.run_pod(&spec).await.unwrap();
    assert!(pod.netns.is_none());
    assert_eq!(
        cluster.agent_status(0).unwrap()["leases"],
        serde_json::json!([])
    );
    cri.remove_pod(&pod.id).await.unwrap();
    cluster.stop().unwrap();
}
