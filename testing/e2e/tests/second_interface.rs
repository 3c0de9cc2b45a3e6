//! Two networks in one pod, as a meta plugin adds them: the second interface has an address of its own and
//! leaves the default route to the first.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use serde_json::{Value, json};
use underlay_testkit::{
    Cluster, NodeSpec, PluginInterface, Pod, PodSpec, addresses_inside,
    probe::{TcpServer, Verdict, tcp_probe},
};

/// How long what is allowed may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long silence must last to count as refused.
const SILENCE: Duration = Duration::from_millis(900);

/// The path of the pod's namespace as its node sees it.
fn path_on_node(pod: &Pod) -> String {
    let path = pod.netns().unwrap().path().to_str().unwrap().to_owned();
    path.split_once("/root").unwrap().1.to_owned()
}

/// A connection from `from` is seen with the address `own`.
async fn reaches(from: &Pod, own: IpAddr, to: IpAddr, port: u16) {
    let to = SocketAddr::from((to, port));
    let verdict = tcp_probe(from.netns().unwrap(), to, PATIENCE).await;
    let seen = verdict.shows(own);
    assert!(seen, "{} to {to}: {verdict}", from.name);
}

/// The source of a datagram that `from` sends with its address `own`.
fn source_seen(from: &Pod, own: IpAddr, to: &Pod) -> IpAddr {
    let bind = |pod: &Pod, address: IpAddr| {
        let netns = pod.netns().unwrap();
        netns.run(|| Ok(UdpSocket::bind((address, 0))?)).unwrap()
    };
    let receiver = bind(to, to.address.into());
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let sender = bind(from, own);
    sender
        .send_to(&[1], receiver.local_addr().unwrap())
        .unwrap();
    receiver.recv_from(&mut [0]).unwrap().1.ip()
}

async fn assert_both_work(near: &Pod, second: IpAddr, far: &Pod) {
    let first = IpAddr::from(near.address);
    for own in [first, second] {
        reaches(far, far.address.into(), own, 80).await;
        assert_eq!(source_seen(near, own, far), own);
    }
    // What is bound to nothing leaves by the first.
    reaches(near, first, far.address.into(), 80).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_network_of_a_pod_has_an_interface_of_its_own() {
    let nodes = [
        NodeSpec::new("n1", "m5.large", 0),
        NodeSpec::new("n2", "m5.large", 1),
    ];
    let mut cluster = Cluster::start("e2e-second", &nodes).await.unwrap();
    let mut n1 = cluster.nodes[0].node.cri().await.unwrap();
    let mut n2 = cluster.nodes[1].node.cri().await.unwrap();
    let near = n1.run_pod(&PodSpec::named("near")).await.unwrap();
    let far = n2.run_pod(&PodSpec::named("far")).await.unwrap();
    // Serves every address of the pod.
    let _near = TcpServer::start(near.netns().unwrap(), near.address, 80).unwrap();
    let _far = TcpServer::start(far.netns().unwrap(), far.address, 80).unwrap();

    let netns = path_on_node(&near);
    let interface = PluginInterface {
        container: &near.id,
        ifname: "net1",
        netns: &netns,
    };
    let network = json!({ "name": "second" });
    let added = cluster.nodes[0]
        .node
        .cni("ADD", interface, &network)
        .unwrap();
    let address = added["ips"][0]["address"].as_str().unwrap_or_default();
    let second: Ipv4Addr = address.trim_end_matches("/32").parse().unwrap();
    assert_eq!(added["routes"], json!([]), "{added}");
    let inside = addresses_inside(near.netns().unwrap(), "net1").unwrap();
    assert_eq!(inside, [second]);
    let second = IpAddr::from(second);
    assert_both_work(&near, second, &far).await;

    // The next agent knows both, and CHECK finds nothing.
    cluster.nodes[0].node.kill_agent().unwrap();
    assert_both_work(&near, second, &far).await;
    cluster.restart_agent(0).unwrap();
    let checked = json!({ "name": "second", "prevResult": added });
    let node = &cluster.nodes[0].node;
    let found = node.cni("CHECK", interface, &checked).unwrap();
    assert_eq!(found, Value::Null);
    assert_both_work(&near, second, &far).await;
    let again = node.cni("ADD", interface, &network).unwrap();
    assert_eq!(again["ips"], added["ips"]);

    let ended = node.cni("DEL", interface, &network).unwrap();
    assert_eq!(ended, Value::Null);
    let gone = tcp_probe(far.netns().unwrap(), (second, 80).into(), SILENCE).await;
    assert_eq!(gone, Verdict::Refused);
    reaches(&near, near.address.into(), far.address.into(), 80).await;
    n1.remove_pod(&near.id).await.unwrap();
    let status = cluster.agent_status(0).unwrap();
    assert_eq!(status["leases"], json!([]));
    cluster.stop().unwrap();
}
