//! Standard plugins behind ours in the chain, and packets smaller than the ENI's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{process::Command, time::Duration};

use underlay_testkit::{
    Cluster, Netns, NodeSpec, PodSpec,
    probe::{TcpServer, Verdict, tcp_probe},
};

const CONFIG: &str = r#"
[pods]
mtu = 1400
[conflist]
bandwidth = true
sysctls = { "net.core.somaxconn" = "500" }
"#;

fn output(netns: &Netns, program: &str, args: &[&str]) -> String {
    let run = || Ok(Command::new(program).args(args).output()?);
    let output = netns.run(run).unwrap();
    assert!(output.status.success(), "{program} {args:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bandwidth_sysctls_and_mtu_are_the_pods() {
    let spec = NodeSpec::new("n1", "t3.small", 0).with_agent_config(CONFIG);
    let cluster = Cluster::start("e2e-chained", &[spec]).await.unwrap();
    let node = &cluster.nodes[0].node;
    let mut cri = node.cri().await.unwrap();
    let limits = [("ingress", "10M"), ("egress", "20M")];
    let limits = limits.map(|(direction, rate)| {
        let key = format!("kubernetes.io/{direction}-bandwidth");
        (key, rate.to_owned())
    });
    let limited = PodSpec {
        annotations: limits.into(),
        ..PodSpec::named("limited")
    };
    let limited = cri.run_pod(&limited).await.unwrap();
    let free = cri.run_pod(&PodSpec::named("free")).await.unwrap();

    // What comes is held back at the node's end, what goes at a device behind it.
    let queues = output(node.netns(), "tc", &["qdisc", "show"]);
    let rates: Vec<_> = ["10Mbit", "20Mbit"]
        .map(|rate| queues.matches(&format!("rate {rate} ")).count())
        .into();
    assert_eq!(rates, [1, 1], "{queues}");
    let devices = output(node.netns(), "ip", &["-o", "link", "show", "type", "ifb"]);
    assert_eq!(devices.lines().count(), 1, "{devices}");

    let netns = limited.netns().unwrap();
    let sysctl = output(netns, "sysctl", &["-n", "net.core.somaxconn"]);
    assert_eq!(sysctl.trim(), "500");
    let link = output(netns, "ip", &["-o", "link", "show", "eth0"]);
    assert!(link.contains(" mtu 1400 "), "{link}");
    let enis = output(
        node.netns(),
        "ip",
        &["-o", "link", "show", "group", "default", "type", "veth"],
    );
    assert!(!enis.contains(" mtu 1400 "), "ENIs keep theirs: {enis}");

    // The detour changes neither whose packets they are nor where they go.
    let servers = [&limited, &free]
        .map(|pod| TcpServer::start(pod.netns().unwrap(), pod.address, 80).unwrap());
    for (client, server) in [(&limited, &servers[1]), (&free, &servers[0])] {
        let patience = Duration::from_secs(5);
        let verdict = tcp_probe(client.netns().unwrap(), server.address, patience).await;
        let Verdict::Allowed(seen) = verdict else {
            unreachable!("{} to {}: {verdict}", client.name, server.address);
        };
        assert_eq!(seen.ip(), client.address);
    }
    cri.stop_pod(&limited.id).await.unwrap();
    cri.remove_pod(&limited.id).await.unwrap();
    let devices = output(node.netns(), "ip", &["-o", "link", "show", "type", "ifb"]);
    assert_eq!(devices, "");
    drop(servers);
    cluster.stop().unwrap();
}
