//! `vpc.calls`: how many API calls a second the local VPC answers to one busy node agent.
//!
//! The client is the agent's own, signing every request, with four callers on one connection pool;
//! of ten calls eight describe an instance's ENIs and two assign and unassign an address. The floor
//! is the same client against a server that answers fixed texts.

mod fixed_server;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;
use underlay_cloud::{
    CredentialSource, Ec2, Ec2Config,
    ec2::{Budgets, InterfaceQuery, Ipv4Grant},
};
use underlay_testkit::ControlPlane;
use underlay_types::{EniId, InstanceId};

use self::fixed_server::FixedServer;
use super::{
    Sizes,
    row::{Better, Row, Samples, Subject},
    screen::Screen,
};

const CALLERS: usize = 4;
const DESCRIBES: usize = 8;
/// Calls of one turn of the mix.
const MIX: usize = DESCRIBES + 2;
const ROUND: Duration = Duration::from_millis(500);

pub(super) async fn measure(sizes: Sizes, screen: Screen) -> anyhow::Result<Vec<Row>> {
    screen.say("bench: API calls a second");
    let server = ControlPlane::start()?;
    let nodes = launch_nodes(server.endpoint()).await?;
    let floor = FixedServer::start()?;
    let (ours, fixed) = (client(server.endpoint())?, client(floor.endpoint())?);
    let mut samples = Samples::default();
    // The first round warms both up and is dropped.
    for round in 0..=sizes.call_rounds * 2 {
        let mine = calls_per_second(&ours, &nodes).await?;
        let least = calls_per_second(&fixed, &nodes).await?;
        if round > 0 {
            samples.ours.push(mine);
            samples.floor.push(least);
        }
    }
    let subject = Subject {
        id: "vpc.calls",
        what: format!(
            "EC2 API calls a second of `serve --control-plane`: {CALLERS} callers of the agent's \
             own client, 80 % DescribeNetworkInterfaces, 10 % AssignPrivateIpAddresses, 10 % \
             UnassignPrivateIpAddresses; floor: fixed answers"
        ),
        unit: "calls/s",
        better: Better::Higher,
        peer_name: None,
    };
    Ok(vec![Row::of(subject, &samples)])
}

/// An instance and its primary ENI: what one caller works on.
#[derive(Debug, Clone)]
struct Target {
    instance: InstanceId,
    eni: EniId,
}

async fn launch_nodes(endpoint: &str) -> anyhow::Result<Vec<Target>> {
    let ec2 = underlay_testkit::Ec2::new(endpoint)?;
    let vpc = ec2.create_vpc("10.0.0.0/16".parse()?).await?;
    let subnet = ec2
        .create_subnet(&vpc, "10.0.0.0/20".parse()?, "us-east-1a")
        .await?;
    let group = ec2.create_group(&vpc, "bench", false).await?;
    let mut targets = Vec::new();
    for index in 0..CALLERS {
        let name = format!("bench-{index}");
        let instance = ec2
            .run_instance("m5.large", &subnet, &[&group], &name)
            .await?;
        let interfaces = ec2.interfaces_of(&instance).await?;
        let eni = interfaces
            .first()
            .context("an instance without an ENI")?
            .id
            .clone();
        targets.push(Target { instance, eni });
    }
    Ok(targets)
}

fn client(endpoint: &str) -> anyhow::Result<Ec2> {
    let config = Ec2Config {
        endpoint: Some(endpoint.to_owned()),
        credentials: CredentialSource::Fixed {
            access_key_id: "AKIAUNDERLAYBENCH000".to_owned(),
            secret_access_key: "bench".to_owned(),
        },
        budgets: Budgets::unlimited(),
        ..Ec2Config::new("us-east-1")
    };
    Ok(Ec2::new(config)?)
}

/// Lets all callers go on for a while.
async fn calls_per_second(ec2: &Ec2, targets: &[Target]) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for target in targets {
        callers.spawn(call_until(ec2.clone(), target.clone(), start + ROUND));
    }
    let mut calls = 0;
    while let Some(count) = callers.join_next().await {
        calls += count.context("a caller panicked")??;
    }
    Ok(calls as f64 / start.elapsed().as_secs_f64())
}

async fn call_until(ec2: Ec2, target: Target, end: Instant) -> anyhow::Result<usize> {
    let query = InterfaceQuery::attached_to(&target.instance);
    let mut calls = 0;
    while Instant::now() < end {
        let one = Ipv4Grant::Addresses(1);
        let assigned = ec2.assign_private_ip_addresses(&target.eni, one).await?;
        for _ in 0..DESCRIBES {
            ec2.describe_network_interfaces(&query).await?;
        }
        ec2.unassign_private_ip_addresses(&target.eni, &assigned.addresses)
            .await?;
        calls += MIX;
    }
    Ok(calls)
}
