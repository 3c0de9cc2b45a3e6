//! Prefix delegation: many pods on the places of one ENI.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;

use underlay_testkit::{
    Cluster, NodeSpec, Pod, PodSpec,
    probe::{Endpoint, udp_matrix},
};

/// One ENI of this type carries 3 pods with single addresses.
const PODS: usize = 12;

fn prefixes(cluster: &Cluster) -> Vec<serde_json::Value> {
    let status = cluster.agent_status(0).unwrap();
    let enis = status["enis"].as_array().unwrap();
    enis.iter().map(|eni| eni["prefixes"].clone()).collect()
}

fn endpoint(name: &str, pod: &Pod) -> Endpoint {
    Endpoint {
        name: name.to_owned(),
        address: pod.address,
        netns: pod.netns().unwrap().clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_eni_carries_more_pods_than_places_and_gives_its_prefix_back() {
    let config = "[addresses]\ndelegation = \"prefixes\"\nmax_enis = 1\nwarm_target = 1\n\
                  cooldown = \"0s\"\nidle_eni_after = \"0s\"";
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0).with_agent_config(config),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let cluster = Cluster::start("e2e-prefixes", &nodes).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut pods = Vec::new();
    for number in 0..PODS {
        let pod = PodSpec::named(format!("p{number}"));
        pods.push(cri.run_pod(&pod).await.unwrap());
    }
    assert_eq!(prefixes(&cluster), [1]);

    // EC2 knows the block and not one of its addresses.
    let ec2 = cluster.vpc.ec2();
    let instance = &cluster.nodes[0].instance;
    let enis = ec2.interfaces_of(instance).await.unwrap();
    assert_eq!(enis.len(), 1);
    assert_eq!(enis[0].secondaries, Vec::<Ipv4Addr>::new());
    let [block] = enis[0].prefixes.as_slice() else {
        panic!("{enis:?}");
    };
    assert!(pods.iter().all(|pod| block.contains(&pod.address)));

    // Across nodes, both ways, with the pods' own addresses.
    let mut other = cluster.nodes[1].node.cri().await.unwrap();
    let far = other.run_pod(&PodSpec::named("far")).await.unwrap();
    let (first, last) = (&pods[0], &pods[PODS - 1]);
    let endpoints = [
        endpoint("first", first),
        endpoint("last", last),
        endpoint("far", &far),
    ];
    let seen = udp_matrix(&endpoints, 7777).await.unwrap();
    for (from, row) in endpoints.iter().zip(&seen) {
        for (to, seen) in endpoints.iter().zip(row) {
            let apart = to.address != from.address;
            let source = seen.map(|seen| seen.ip());
            assert!(
                !apart || source == Some(from.address.into()),
                "{} to {}: {source:?}",
                from.name,
                to.name
            );
        }
    }

    for pod in &pods {
        cri.remove_pod(&pod.id).await.unwrap();
    }
    let binaries = cluster.vpc.binaries();
    cluster.nodes[0]
        .node
        .ask_agent(binaries, &["drain", "--deadline", "60s"])
        .unwrap();
    let left = ec2.interfaces_of(instance).await.unwrap();
    assert_eq!(left[0].prefixes, Vec::new());
    cluster.stop().unwrap();
}
