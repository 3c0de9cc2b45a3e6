//! The VPC that is measured: a subnet, its groups and instances.

use std::{net::Ipv4Addr, path::Path};

use anyhow::Context as _;
use ipnet::Ipv4Net;
use underlay_testkit::{Ec2, IngressRule, Netns, Source};
use underlay_types::{SecurityGroupId, SubnetId, VpcId};

use super::ping::Pair;

/// EC2's default quotas: groups of an ENI, and rules of a group in one direction.
const GROUPS: u8 = 5;
const RULES: u8 = 60;

#[derive(Debug)]
pub(super) struct Place<'a> {
    ec2: &'a Ec2,
    vpc: VpcId,
    subnet: SubnetId,
}

impl<'a> Place<'a> {
    pub(super) async fn create(ec2: &'a Ec2) -> anyhow::Result<Self> {
        let vpc = ec2.create_vpc("10.0.0.0/16".parse()?).await?;
        let subnet = ec2
            .create_subnet(&vpc, "10.0.0.0/20".parse()?, "us-east-1a")
            .await?;
        Ok(Self { ec2, vpc, subnet })
    }

    /// A group whose members may send each other everything.
    pub(super) async fn open_group(&self) -> anyhow::Result<SecurityGroupId> {
        let group = self.ec2.create_group(&self.vpc, "bench", false).await?;
        self.let_in(&group, Source::Group(&group)).await?;
        Ok(group)
    }

    /// As many groups as an ENI carries, each with as many rules as it holds. Only the last rule
    /// of the last group lets its members in.
    pub(super) async fn full_groups(&self) -> anyhow::Result<Vec<SecurityGroupId>> {
        let mut groups = Vec::new();
        for number in 0..GROUPS {
            let name = format!("bench-{number}");
            let group = self.ec2.create_group(&self.vpc, &name, false).await?;
            for rule in 1..RULES {
                let elsewhere = Ipv4Net::new(Ipv4Addr::new(192, 0, 2, rule), 32)?;
                self.let_in(&group, Source::Block(elsewhere)).await?;
            }
            groups.push(group);
        }
        let last = groups.last().context("no group")?;
        self.let_in(last, Source::Group(last)).await?;
        Ok(groups)
    }

    async fn let_in(&self, group: &SecurityGroupId, source: Source<'_>) -> anyhow::Result<()> {
        let tcp_port = None;
        let rule = IngressRule { tcp_port, source };
        self.ec2.allow(group, rule).await
    }

    /// Two instances, with the sockets of a pair in them.
    pub(super) async fn pair(&self, groups: &[&SecurityGroupId]) -> anyhow::Result<Pair> {
        let (near, near_address) = self.instance(groups).await?;
        let (far, far_address) = self.instance(groups).await?;
        Pair::open(&near, near_address, &far, far_address)
    }

    /// Further instances, which do nothing.
    pub(super) async fn crowd(&self, group: &SecurityGroupId, count: usize) -> anyhow::Result<()> {
        for _ in 0..count {
            self.ec2
                .run_instance("m5.large", &self.subnet, &[group], "bench")
                .await?;
        }
        Ok(())
    }

    async fn instance(&self, groups: &[&SecurityGroupId]) -> anyhow::Result<(Netns, Ipv4Addr)> {
        let run = self
            .ec2
            .run_instance("m5.large", &self.subnet, groups, "bench");
        let id = run.await?;
        let interfaces = self.ec2.interfaces_of(&id).await?;
        let address = interfaces
            .first()
            .context("an instance without an ENI")?
            .primary;
        let netns = Netns::open(&Path::new("/run/netns").join(id.as_str()))?;
        Ok((netns, address))
    }
}
