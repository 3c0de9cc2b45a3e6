//! `vpc.attach`: how long an ENI takes from its creation to its device in an instance's namespace.
//!
//! The floor is one netlink request that makes a pair of veths between two namespaces: what the
//! kernel takes for the device alone.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use underlay_netlink::{
    Socket,
    link::{self, Veth, VethEnd},
    netns,
};
use underlay_testkit::{Ec2, LocalVpc, LocalVpcOptions};
use underlay_types::{InstanceId, SecurityGroupId, SubnetId};

use super::{
    Sizes,
    row::{Better, Row, Samples, Subject},
    screen::Screen,
};

/// A type with room for many ENIs,
const TYPE: &str = "m5.24xlarge";
/// and how many it takes besides the first.
const MORE_ENIS: usize = 14;
const MTU: u32 = 9001;

pub(super) async fn measure(sizes: Sizes, screen: Screen) -> anyhow::Result<Vec<Row>> {
    screen.say("bench: ENIs created and attached");
    let vpc = LocalVpc::start(&LocalVpcOptions::unique("bench-attach"))?;
    let samples = attach_all(vpc.ec2(), sizes.attachments).await?;
    vpc.stop()?;
    let subject = Subject {
        id: "vpc.attach",
        what: "CreateNetworkInterface and AttachNetworkInterface in full mode, until the device \
               is in its instance's namespace; floor: a veth made by netlink"
            .to_owned(),
        unit: "ms",
        better: Better::Lower,
        peer_name: None,
    };
    Ok(vec![Row::of(subject, &samples)])
}

async fn attach_all(ec2: &Ec2, count: usize) -> anyhow::Result<Samples> {
    let vpc = ec2.create_vpc("10.0.0.0/16".parse()?).await?;
    let subnet = ec2
        .create_subnet(&vpc, "10.0.0.0/20".parse()?, "us-east-1a")
        .await?;
    let group = ec2.create_group(&vpc, "bench", false).await?;
    let mut floor = Floor::open()?;
    let mut samples = Samples::default();
    while samples.ours.len() < count {
        let instance = ec2.run_instance(TYPE, &subnet, &[&group], "bench").await?;
        for index in 1..=MORE_ENIS.min(count - samples.ours.len()) {
            samples.floor.push(floor.millis()?);
            let start = Instant::now();
            attach(ec2, (&subnet, &group), &instance, index).await?;
            samples.ours.push(millis_since(start));
        }
    }
    Ok(samples)
}

async fn attach(
    ec2: &Ec2,
    (subnet, group): (&SubnetId, &SecurityGroupId),
    instance: &InstanceId,
    index: usize,
) -> anyhow::Result<()> {
    let eni = ec2.create_interface(subnet, &[group], "bench").await?;
    let index = index.to_string();
    let parameters = [
        ("NetworkInterfaceId", eni.id.as_str()),
        ("InstanceId", instance.as_str()),
        ("DeviceIndex", &index),
    ];
    ec2.call("AttachNetworkInterface", &parameters).await?;
    Ok(())
}

/// Two namespaces for a veth.
struct Floor {
    near: Socket,
    far: OwnedFd,
}

impl Floor {
    fn open() -> anyhow::Result<Self> {
        let (near, far) = (netns::create()?, netns::create()?);
        let near = Socket::open_in(near.as_fd())?;
        Ok(Self { near, far })
    }

    /// How long a veth takes; removing it again is not counted.
    fn millis(&mut self) -> anyhow::Result<f64> {
        let start = Instant::now();
        self.near.run(&[link::add_veth(&Veth {
            near: VethEnd {
                mtu: Some(MTU),
                ..VethEnd::named("floor0")
            },
            near_up: true,
            far: VethEnd {
                mtu: Some(MTU),
                netns: Some(self.far.as_fd()),
                ..VethEnd::named("floor1")
            },
        })])?;
        let millis = millis_since(start);
        self.near.run(&[link::delete_by_name("floor0")])?;
        Ok(millis)
    }
}

fn millis_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1_000.0
}
