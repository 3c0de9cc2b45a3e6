//! What the agent's log says to programs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, time::Duration};

use serde_json::Value;
use underlay_testkit::{Cluster, NodeSpec, PodSpec, wait_for};

/// The one line of the log with this message, once it is there. Every line must be JSON.
fn line(cluster: &Cluster, message: &str) -> Value {
    let log = cluster.nodes[0].node.folder().join("agent.log");
    wait_for(message, Duration::from_secs(10), || {
        let text = fs::read_to_string(&log)?;
        let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let lines: Vec<Value> = whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let mut told = lines.into_iter().filter(|line| line["message"] == message);
        let first = told.next();
        assert!(told.next().is_none(), "{message} was told twice:\n{text}");
        Ok(first)
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_and_a_del_are_one_line_of_json_each() {
    let config = "[log]\nformat = \"json\"\n";
    let node = NodeSpec::new("n1", "t3.small", 0).with_agent_config(config);
    let cluster = Cluster::start("e2e-logs", &[node]).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let pod = cri.run_pod(&PodSpec::named("web")).await.unwrap();
    let status = cluster.agent_status(0).unwrap();
    let lease = &status["leases"][0];
    cri.remove_pod(&pod.id).await.unwrap();

    for message in ["ADD", "DEL"] {
        let line = line(&cluster, message);
        assert_eq!(line["level"], "INFO", "{line}");
        assert_eq!(line["namespace"], "default", "{line}");
        assert_eq!(line["pod"], "web", "{line}");
        assert_eq!(line["addresses"], pod.address.to_string(), "{line}");
        assert_eq!(line["eni"], lease["eni"], "{line}");
        assert_eq!(line["pool"], "default", "{line}");
        let key = line["key"].as_str().unwrap();
        assert!(key.contains(&pod.id), "{line}");
        assert!(line["milliseconds"].as_f64().unwrap() > 0.0, "{line}");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }
    cluster.stop().unwrap();
}
