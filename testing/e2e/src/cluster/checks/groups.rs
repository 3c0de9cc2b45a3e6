//! Security groups by annotation, which containerd hands to the plugin without the API server.

use std::net::SocketAddr;

use underlay_testkit::{IngressRule, Source};
use underlay_types::Family;

use super::{FAMILIES, Pod, pod_of, reason};
use crate::{
    cluster::kubernetes::{Kubernetes, is_ready},
    screen::Screen,
};

pub(super) async fn run(
    screen: &mut Screen,
    kubernetes: &mut Kubernetes,
    pods: &[Pod],
) -> anyhow::Result<()> {
    screen.step("security groups by annotation");
    let ec2 = kubernetes.cluster.vpc.ec2().clone();
    let group = ec2
        .create_group(&kubernetes.cluster.networks.vpc, "vault", true)
        .await?;
    kubernetes
        .kubectl()
        .apply("vault.yaml", &manifest(group.as_str()))?;
    kubernetes
        .wait("the pod vault to be ready", |kubectl| {
            Ok(is_ready(&kubectl.get(&["pod", "vault"])?))
        })
        .await?;
    let vault = super::read_pod(&kubernetes.kubectl().get(&["pod", "vault"])?)?;
    let interfaces = ec2.interfaces(&kubernetes.cluster.networks.vpc).await?;
    let home = interfaces
        .iter()
        .find(|one| one.secondaries.contains(&vault.v4));
    let groups = home.map(|home| home.groups.clone()).unwrap_or_default();
    let said = (groups == [group.clone()]).then_some(());
    screen.check(
        "its address is on an interface with exactly this group",
        said.ok_or_else(|| format!("groups {groups:?}")),
    );
    let client = pod_of(pods, "client", &vault.node)?;
    let call = |family: Family, seconds: u8| {
        let to = SocketAddr::from((vault.address(family), 8080));
        format!("curl --silent --show-error --fail --max-time {seconds} http://{to}/hostname")
    };
    for family in FAMILIES {
        let refused = kubernetes.kubectl().shell(&client.name, &call(family, 3));
        let said = match refused {
            Ok(_) => Err("it was let in".to_owned()),
            // curl: the time was over.
            Err(error) if format!("{error:#}").contains("exit code 28") => Ok(()),
            Err(error) => Err(format!("{error:#}")),
        };
        screen.check(
            format!("a pod of its own node is not let in by {family}"),
            said,
        );
    }
    let rule = IngressRule {
        tcp_port: Some(8080),
        source: Source::Group(&kubernetes.cluster.networks.node_group),
    };
    ec2.allow(&group, rule).await?;
    for family in FAMILIES {
        let said = kubernetes
            .kubectl()
            .shell(&client.name, &call(family, 30))
            .map(|_| ());
        screen.check(format!("... and is with a rule, by {family}"), reason(said));
    }
    kubernetes
        .kubectl()
        .run(&["delete", "pod", "vault", "--grace-period=0", "--force"])?;
    Ok(())
}

fn manifest(group: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata:
  name: vault
  labels: {{app: vault}}
  annotations: {{underlay.dev/security-groups: "{group}"}}
spec:
  nodeName: n1
  containers:
    - name: vault
      image: localhost/agnhost:1
      args: [netexec, --http-port=8080]
      readinessProbe: {{httpGet: {{path: /healthz, port: 8080}}, periodSeconds: 1}}
"#
    )
}
