//! Act two: a three-tier application whose pods carry security groups, also towards a load
//! balancer and a database outside the cluster.

use anyhow::Context as _;
use tokio::task::JoinSet;
use underlay_testkit::{
    Host, IngressRule, Interface, PodSpec, Source,
    probe::{Connection, Verdict, tcp_probe},
};
use underlay_types::SecurityGroupId;

use super::{
    act_one::{create_each, locate},
    call_matrix::{ALLOWED_WITHIN, probe_all, show},
    node_table, rejects,
    stage::Stage,
    tiers::{Party, Role, TierGroups},
};
use crate::screen::Screen;

/// The pods, by node.
const PODS: [(&str, Role, usize); 4] = [
    ("web-1", Role::Web, 0),
    ("web-2", Role::Web, 1),
    ("app-1", Role::App, 1),
    ("app-2", Role::App, 2),
];

pub(super) async fn play(screen: &mut Screen, stage: &mut Stage) -> anyhow::Result<()> {
    screen.act("Act two: security groups on pods");
    screen
        .step("a load balancer and a database on ENIs of their own, web and app pods between them");
    let groups = create_groups(stage).await?;
    create_pods(stage, &groups).await?;
    locate(stage).await?;
    let parties = gather(stage, &groups).await?;
    show_parties(screen, stage, &parties);
    check_groups(screen, stage, &groups).await?;
    node_table::show(screen, stage).await?;

    screen.step("who may call whom: intended and observed");
    let findings = probe_all(&parties, Role::may_call).await?;
    show(screen, &parties, &findings, Role::may_call);
    rejects::play(screen, stage, &parties).await?;

    screen.step("a rule is revoked while connections are open");
    revoke(screen, stage, &groups, &parties).await
}

fn show_parties(screen: &Screen, stage: &Stage, parties: &[Party]) {
    let rows = parties.iter().map(|party| {
        let mut pods = stage.tier_pods.iter().chain(&stage.pods);
        let placed = pods.find(|placed| placed.pod.address == party.address);
        let place = match placed {
            Some(placed) => format!("pod on {}", stage.cluster.nodes[placed.node].node.name()),
            None => "outside the cluster".to_owned(),
        };
        let eni = placed
            .and_then(|placed| placed.eni.as_ref())
            .map(ToString::to_string);
        let groups = match party.role {
            Role::Other => "the node's",
            Role::LoadBalancer | Role::Web | Role::App | Role::Database => "its own",
        };
        vec![
            party.name.clone(),
            party.address.to_string(),
            place,
            groups.to_owned(),
            eni.unwrap_or_default(),
        ]
    });
    let head = ["who", "address", "where", "groups", "ENI"];
    screen.table(&head, &rows.collect::<Vec<_>>());
}

async fn create_groups(stage: &Stage) -> anyhow::Result<TierGroups> {
    let ec2 = stage.cluster.vpc.ec2();
    let vpc = &stage.cluster.networks.vpc;
    let groups = TierGroups {
        lb: ec2.create_group(vpc, "lb", false).await?,
        web: ec2.create_group(vpc, "web", true).await?,
        app: ec2.create_group(vpc, "app", true).await?,
        db: ec2.create_group(vpc, "db", false).await?,
    };
    let anybody = Source::Block("10.0.0.0/16".parse().context("a block")?);
    let rules = [
        (&groups.lb, Role::LoadBalancer, anybody),
        (&groups.web, Role::Web, Source::Group(&groups.lb)),
        (&groups.app, Role::App, Source::Group(&groups.web)),
    ];
    for (group, role, source) in rules {
        ec2.allow(
            group,
            IngressRule {
                tcp_port: role.port(),
                source,
            },
        )
        .await?;
    }
    ec2.allow(&groups.db, groups.app_to_database()).await?;
    Ok(groups)
}

fn group_of(role: Role, groups: &TierGroups) -> Option<&SecurityGroupId> {
    match role {
        Role::LoadBalancer => Some(&groups.lb),
        Role::Web => Some(&groups.web),
        Role::App => Some(&groups.app),
        Role::Database => Some(&groups.db),
        Role::Other => None,
    }
}

async fn create_pods(stage: &mut Stage, groups: &TierGroups) -> anyhow::Result<()> {
    let mut workers = JoinSet::new();
    for (name, role, node) in PODS {
        let group = group_of(role, groups).context("a pod with a group")?;
        let spec = PodSpec::named(name).with_groups([group.as_str()]);
        let worker = stage.worker(node).await?;
        workers.spawn(create_each(worker, vec![spec]));
    }
    while let Some(created) = workers.join_next().await {
        stage.tier_pods.extend(created.context("creating pods")??);
    }
    stage.tier_pods.sort_by(|a, b| a.pod.name.cmp(&b.pod.name));
    Ok(())
}

/// Everybody in the order of the tiers, each with a server.
async fn gather(stage: &Stage, groups: &TierGroups) -> anyhow::Result<Vec<Party>> {
    let (lb, lb_host) = outside(stage, "lb", 0, &groups.lb).await?;
    let (db, db_host) = outside(stage, "db", 1, &groups.db).await?;
    let mut parties = vec![Party::new(
        "lb",
        Role::LoadBalancer,
        lb.primary,
        &lb_host.netns,
    )?];
    for (name, role, _) in PODS {
        let placed = stage
            .tier_pods
            .iter()
            .find(|placed| placed.pod.name == name);
        let pod = &placed.context("a pod that was not created")?.pod;
        parties.push(Party::new(name, role, pod.address, pod.netns()?)?);
    }
    parties.push(Party::new(
        "db",
        Role::Database,
        db.primary,
        &db_host.netns,
    )?);
    let other = stage
        .pods
        .iter()
        .find(|placed| placed.node == 1)
        .context("no pod on n2")?;
    let pod = &other.pod;
    parties.push(Party::new(
        &pod.name,
        Role::Other,
        pod.address,
        pod.netns()?,
    )?);
    Ok(parties)
}

/// Somebody with an ENI of their own outside the cluster.
async fn outside(
    stage: &Stage,
    name: &str,
    subnet: usize,
    group: &SecurityGroupId,
) -> anyhow::Result<(Interface, Host)> {
    let subnet = stage
        .cluster
        .networks
        .subnets
        .get(subnet)
        .context("no such subnet")?;
    let interface = stage
        .cluster
        .vpc
        .ec2()
        .create_interface(subnet, &[group], name)
        .await?;
    let host = stage.cluster.vpc.host(&interface.id, name)?;
    Ok((interface, host))
}

async fn check_groups(
    screen: &mut Screen,
    stage: &Stage,
    groups: &TierGroups,
) -> anyhow::Result<()> {
    let interfaces = stage
        .cluster
        .vpc
        .ec2()
        .interfaces(&stage.cluster.networks.vpc)
        .await?;
    for placed in &stage.tier_pods {
        let role = PODS
            .iter()
            .find(|(name, ..)| *name == placed.pod.name)
            .map(|pod| pod.1);
        let wanted: Vec<_> = role
            .and_then(|role| group_of(role, groups))
            .into_iter()
            .collect();
        let holder = interfaces
            .iter()
            .find(|one| Some(&one.id) == placed.eni.as_ref());
        let carried = holder.map(|holder| holder.groups.iter().collect::<Vec<_>>());
        let carried = carried.unwrap_or_default();
        let held = if carried == wanted {
            Ok(())
        } else {
            Err(format!("it carries {carried:?}, not {wanted:?}"))
        };
        screen.check(
            format!(
                "{} is on an ENI that carries exactly its group",
                placed.pod.name
            ),
            held,
        );
    }
    Ok(())
}

async fn revoke(
    screen: &mut Screen,
    stage: &Stage,
    groups: &TierGroups,
    parties: &[Party],
) -> anyhow::Result<()> {
    let of_role = |role| parties.iter().find(move |party| party.role == role);
    let app = of_role(Role::App).context("an app pod")?;
    let target = of_role(Role::Database)
        .and_then(Party::served_at)
        .context("a database")?;
    let open = Connection::open(&app.netns, target, ALLOWED_WITHIN).await;
    let mut open = open.map_err(|verdict| anyhow::anyhow!("app to database is {verdict}"))?;
    let ec2 = stage.cluster.vpc.ec2();
    ec2.revoke(&groups.db, groups.app_to_database()).await?;
    screen.line(format!(
        "revoked: tcp 5432 from {} into {}",
        groups.app, groups.db
    ));
    let held = if open.works(ALLOWED_WITHIN).await {
        Ok(())
    } else {
        Err("no data came back".to_owned())
    };
    screen.check(
        "an established connection of app-1 to the database lives on",
        held,
    );
    let now_allowed = |from: Role, to: Role| to != Role::Database && from.may_call(to);
    let findings = probe_all(parties, now_allowed).await?;
    show(screen, parties, &findings, now_allowed);
    ec2.allow(&groups.db, groups.app_to_database()).await?;
    let again = tcp_probe(&app.netns, target, ALLOWED_WITHIN).await;
    let held = match again {
        Verdict::Allowed(_) => Ok(()),
        other => Err(other.to_string()),
    };
    screen.check("the rule is back, and so are new connections", held);
    Ok(())
}
