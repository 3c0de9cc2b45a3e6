//! STATUS says whether pods can be added, and whether those that run may be cut off.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{process::Command, time::Duration};

use serde_json::{Value, json};
use underlay_testkit::{
    Cluster, Cri, NodeSpec, Pod, PodSpec, probe::TcpServer, wait_for, wait_for_async,
};

/// Longer than the agent leaves EC2 alone after a refusal, on a busy machine.
const NOTICED: Duration = Duration::from_secs(90);
const WAIT: Duration = Duration::from_secs(2);

/// What the plugin answers to STATUS: code and message, 0 for success.
fn status(cluster: &Cluster) -> (i64, String) {
    let version = json!({"cniVersion": "1.1.0"});
    let answer = cluster.nodes[0]
        .node
        .cni_eth0("STATUS", "", &version)
        .unwrap();
    let code = answer["code"].as_i64().unwrap_or_default();
    (code, answer["msg"].as_str().unwrap_or_default().to_owned())
}

/// Waits until STATUS answers `code` and returns its message.
#[track_caller]
fn wait_for_status(cluster: &Cluster, code: i64) -> String {
    let waited = wait_for(&format!("STATUS to answer {code}"), NOTICED, || {
        let (found, message) = status(cluster);
        Ok((found == code).then_some(message))
    });
    waited.unwrap_or_else(|error| panic!("{error:#}: {:?}", status(cluster)))
}

fn fault(cluster: &Cluster, words: &[&str]) {
    let program = cluster.vpc.binaries().program("underlay-vpc").unwrap();
    let run = ["--run", cluster.vpc.run_dir().id()];
    let mut command = Command::new(program);
    let output = command.arg("fault").args(words).args(run).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn refuse_growth(cluster: &Cluster) {
    let refuse = ["on", "refuse", "--code", "UnauthorizedOperation"];
    for action in ["AttachNetworkInterface", "CreateNetworkInterface"] {
        fault(cluster, &[&refuse[..], &["--action", action]].concat());
    }
}

/// Detaches the node's second ENI, as somebody with a console would, and returns its id.
async fn detach_second_eni(cluster: &Cluster) -> String {
    let ec2 = cluster.vpc.ec2();
    let instance = &cluster.nodes[0].instance;
    let interfaces = ec2.interfaces_of(instance).await.unwrap();
    let second = interfaces.iter().find(|eni| eni.device_index == Some(1));
    let eni = second.unwrap().id.to_string();
    let described = ec2
        .call(
            "DescribeNetworkInterfaces",
            &[("NetworkInterfaceId.1", &eni)],
        )
        .await
        .unwrap();
    let attachment = described.text_at("attachmentId").unwrap();
    let parameters = [("AttachmentId", attachment.as_str())];
    ec2.call("DetachNetworkInterface", &parameters)
        .await
        .unwrap();
    eni
}

/// Runs pods until the node is full, which STATUS says and stops saying when one goes. Returns those
/// that are there in the end, when it is full again.
async fn fill(cluster: &Cluster, cri: &mut Cri) -> Vec<Pod> {
    let mut pods = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        pods.push(cri.run_pod(&PodSpec::named(name)).await.unwrap());
    }
    // Out of addresses, and none to come: pods that run lose nothing.
    let full = wait_for_status(cluster, 50);
    assert!(full.contains("0 of 6 free on 2 ENIs"), "{full}");
    assert!(full.contains("move pods to other nodes"), "{full}");
    let gone = pods.pop().unwrap();
    cri.remove_pod(&gone.id).await.unwrap();
    wait_for_status(cluster, 0);
    pods.push(cri.run_pod(&PodSpec::named("g")).await.unwrap());
    wait_for_status(cluster, 50);
    pods
}

/// The pods with addresses of `eni`, and the others.
fn by_eni<'a>(cluster: &Cluster, pods: &'a [Pod], eni: &str) -> (Vec<&'a Pod>, Vec<&'a Pod>) {
    let leases = cluster.agent_status(0).unwrap()["leases"].clone();
    let of_eni = |pod: &&Pod| {
        let leases = leases.as_array().unwrap().iter();
        let mut own = leases.filter(|lease| lease["key"]["container"] == pod.id.as_str());
        own.any(|lease: &Value| lease["eni"] == eni)
    };
    pods.iter().partition(of_eni)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_is_not_available_and_one_with_an_eni_lost_has_limited_connectivity() {
    let config = "[addresses]\nmax_enis = 2\nwarm_target = 1\nadd_wait = \"1s\"\ncooldown = \"1s\"\n\
                  [drift]\ninterval = \"1s\"\n";
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0).with_agent_config(config),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let cluster = Cluster::start("e2e-status", &nodes).await.unwrap();
    let mut other = cluster.nodes[1].node.cri().await.unwrap();
    let peer = other.run_pod(&PodSpec::named("peer")).await.unwrap();
    let server = TcpServer::start(peer.netns().unwrap(), peer.address, 80).unwrap();
    assert_eq!(status(&cluster), (0, String::new()));

    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let pods = fill(&cluster, &mut cri).await;

    // Somebody takes the second ENI away, and EC2 lets the agent bring nothing in its place.
    refuse_growth(&cluster);
    let eni = detach_second_eni(&cluster).await;
    let limited = wait_for("STATUS to answer 51", NOTICED, || {
        // After a while each refusal is forgotten, and the next pod tries again.
        let refused = cluster.nodes[0].node.cni_add("more", &json!({}))?;
        assert!(refused["code"].is_i64(), "{refused}");
        let (code, message) = status(&cluster);
        Ok((code == 51).then_some(message))
    })
    .unwrap();
    let troubles = format!("3 pods of {eni}, which is not attached");
    assert!(limited.contains(&troubles), "{limited}");
    assert!(limited.contains("UnauthorizedOperation"), "{limited}");
    let (cut_off, served) = by_eni(&cluster, &pods, &eni);
    assert_eq!((cut_off.len(), served.len()), (3, 3));
    for pod in &cut_off {
        server.reached_by(pod, WAIT).await.unwrap_err();
    }
    for pod in &served {
        server.reached_by(pod, WAIT).await.unwrap();
    }

    // The ENI comes back as soon as EC2 allows it, and with it its pods' network.
    fault(&cluster, &["off", "--all"]);
    let back = wait_for_async("the ENI to be back", NOTICED, || async {
        for pod in &cut_off {
            if server.reached_by(pod, WAIT).await.is_err() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    });
    back.await.unwrap();
    wait_for_status(&cluster, 50);
    cri.remove_pod(&pods[0].id).await.unwrap();
    wait_for_status(&cluster, 0);
    for pod in &pods[1..] {
        cri.remove_pod(&pod.id).await.unwrap();
    }
    cluster.stop().unwrap();
}
