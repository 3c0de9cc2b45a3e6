//! The agent of a node is killed: packets go on, Kubernetes is told, nothing is lost.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::{Context as _, ensure};

use super::{FAMILIES, Pod, leases, pod_of, pods, reason, wait_available};
use crate::{
    cluster::{
        PATIENCE,
        kubernetes::{Kubernetes, condition, is_ready, items, text},
    },
    screen::Screen,
};
use underlay_testkit::wait_for_async;

/// The node whose agent dies: its index among the machines, and its name.
const VICTIM: (usize, &str) = (1, "n1");

pub(super) async fn run(
    screen: &mut Screen,
    kubernetes: &mut Kubernetes,
    before: &[Pod],
) -> anyhow::Result<()> {
    let (index, name) = VICTIM;
    screen.step("the agent of a node is killed");
    kubernetes.cluster.nodes[index].node.kill_agent()?;
    let client = pod_of(before, "client", name)?;
    let call = "curl --silent --show-error --fail --connect-timeout 10 --max-time 60 \
                --header 'Connection: close' --output /dev/null 'http://web/hostname?[1-200]'";
    let said = kubernetes.kubectl().shell(&client.name, call).map(|_| ());
    screen.check("its pods reach Services without it", reason(said));

    let told = kubernetes.wait("the node to be not ready", |kubectl| {
        let node = kubectl.get(&["node", name])?;
        let message = condition(&node, "Ready").map(|ready| text(&ready["message"]).to_owned());
        Ok(!is_ready(&node) && message.is_some_and(|message| message.contains("underlay")))
    });
    screen.check(
        "the node says that it is not ready, and why",
        reason(told.await),
    );
    let gone = before
        .iter()
        .find(|pod| pod.app == "web" && pod.node == name);
    let gone = gone.context("no server on the node")?;
    let deleted = kubernetes
        .kubectl()
        .run(&["delete", "pod", &gone.name, "--wait=false"])
        .map(|_| ());
    screen.check("a pod is deleted meanwhile", reason(deleted));
    kubernetes
        .wait("the pod to be gone", |kubectl| {
            let list = kubectl.get(&["pods"])?;
            Ok(items(&list).all(|pod| pod["metadata"]["name"] != *gone.name))
        })
        .await?;

    kubernetes.cluster.restart_agent(index)?;
    let ready = kubernetes.wait("the node to be ready", |kubectl| {
        Ok(is_ready(&kubectl.get(&["node", name])?))
    });
    screen.check("with the agent back the node is ready", reason(ready.await));
    wait_available(kubernetes).await?;
    let said = agree(kubernetes, index, name).await;
    screen.check("its leases are exactly the pods that run", reason(said));
    let said = kubernetes.kubectl().shell(&client.name, call).map(|_| ());
    screen.check("its pods reach Services as before", reason(said));
    Ok(())
}

/// Waits until the agent's leases are the addresses of the node's pods.
async fn agree(kubernetes: &Kubernetes, index: usize, name: &str) -> anyhow::Result<()> {
    let mut last = None;
    let waited = wait_for_async("leases and pods to agree", PATIENCE, || {
        let compared = compare(kubernetes, index, name);
        let agreed = compared
            .map_err(|error| last = Some(format!("{error:#}")))
            .is_ok();
        async move {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            Ok(agreed.then_some(()))
        }
    });
    let waited = waited.await;
    waited.with_context(|| last.unwrap_or_default())
}

fn compare(kubernetes: &Kubernetes, index: usize, name: &str) -> anyhow::Result<()> {
    let dns = kubernetes.kubectl().get(&["-n", "kube-system", "pods"])?;
    let dns: Vec<Pod> = items(&dns).map(super::read_pod).collect::<Result<_, _>>()?;
    let all = pods(kubernetes)?.into_iter().chain(dns);
    let wanted: BTreeSet<IpAddr> = all
        .filter(|pod| pod.node == name)
        .flat_map(|pod| FAMILIES.map(|family| pod.address(family)))
        .collect();
    let held = leases(kubernetes, index)?;
    ensure!(held == wanted, "leases {held:?}, pods {wanted:?}");
    Ok(())
}
