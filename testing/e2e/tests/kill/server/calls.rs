//! Calls of the EC2 API that touch the kernel, each with the one that takes it back.

use anyhow::Context as _;
use ipnet::Ipv4Net;
use underlay_testkit::{Ec2, Element, IngressRule, LocalVpc, Source};
use underlay_types::{EniId, SecurityGroupId, SubnetId};

/// Where an instance is launched and terminated again.
pub(super) const LAUNCHED: &str = "10.0.1.50";
/// What is assigned to the interface of `two`, which has it configured all the while.
pub(super) const ASSIGNED: &str = "10.0.1.77";
/// The port that is opened to `other`.
pub(super) const OPENED: u16 = 81;

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Assign,
    Attach,
    Authorize,
    Detach,
    Launch,
    Revoke,
    Terminate,
    Unassign,
}

/// What the calls are about.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) subnet: SubnetId,
    /// The instances `one` and `two` carry it.
    pub(super) group: SecurityGroupId,
    /// Three instances that stay.
    pub(super) one: String,
    pub(super) two: String,
    pub(super) other: String,
    /// An interface that is free in the beginning.
    pub(super) spare: EniId,
}

impl Call {
    /// Whether, after this call, `one` reaches [`LAUNCHED`] and [`ASSIGNED`], and `other` comes to
    /// [`OPENED`].
    pub(super) const fn answers(self) -> [bool; 3] {
        match self {
            Self::Launch => [true, false, false],
            Self::Assign => [false, true, false],
            Self::Authorize => [false, false, true],
            _ => [false; 3],
        }
    }

    /// The call that makes everything as it was before this one.
    pub(super) const fn inverse(self) -> Self {
        match self {
            Self::Assign => Self::Unassign,
            Self::Attach => Self::Detach,
            Self::Authorize => Self::Revoke,
            Self::Detach => Self::Attach,
            Self::Launch => Self::Terminate,
            Self::Revoke => Self::Authorize,
            Self::Terminate => Self::Launch,
            Self::Unassign => Self::Assign,
        }
    }
}

impl Site {
    /// A VPC with three instances, one of them in a group of its own.
    pub(super) async fn build(vpc: &LocalVpc) -> anyhow::Result<Self> {
        let ec2 = vpc.ec2();
        let network = ec2.create_vpc("10.0.0.0/16".parse()?).await?;
        let block = "10.0.1.0/24".parse()?;
        let subnet = ec2.create_subnet(&network, block, "us-east-1a").await?;
        let group = ec2.create_group(&network, "two", false).await?;
        let own = ec2.create_group(&network, "other", false).await?;
        let among_themselves = IngressRule {
            tcp_port: Some(9),
            source: Source::Group(&group),
        };
        ec2.allow(&group, among_themselves).await?;
        // By the router: neighbours that were not there would be asked for in vain for a while.
        let block = "10.0.2.0/24".parse()?;
        let far = ec2.create_subnet(&network, block, "us-east-1a").await?;
        let one = launch(ec2, &far, &group, "10.0.2.10").await?;
        let two = launch(ec2, &subnet, &group, "10.0.1.11").await?;
        let other = launch(ec2, &subnet, &own, "10.0.1.12").await?;
        let spare = [
            ("SubnetId", subnet.as_str()),
            ("PrivateIpAddress", "10.0.1.60"),
            ("SecurityGroupId.1", group.as_str()),
        ];
        let spare = ec2.call("CreateNetworkInterface", &spare).await?;
        let spare = spare.text_at("networkInterfaceId")?.parse()?;
        Ok(Self {
            subnet,
            group,
            one,
            two,
            other,
            spare,
        })
    }

    /// Makes a call.
    pub(super) async fn call(&self, ec2: &Ec2, call: Call) -> anyhow::Result<()> {
        match call {
            Call::Assign | Call::Unassign => self.assign(ec2, call).await,
            Call::Attach => {
                let place = [
                    ("NetworkInterfaceId", self.spare.as_str()),
                    ("InstanceId", &self.two),
                    ("DeviceIndex", "1"),
                ];
                ec2.call("AttachNetworkInterface", &place).await.map(drop)
            }
            Call::Authorize => ec2.allow(&self.group, rule()).await,
            Call::Detach => {
                let spare = interface(ec2, "10.0.1.60").await?;
                let attachment = [("AttachmentId", spare.text_at("attachmentId")?)];
                let attachment = attachment.each_ref().map(|(name, id)| (*name, id.as_str()));
                ec2.call("DetachNetworkInterface", &attachment)
                    .await
                    .map(drop)
            }
            Call::Launch => launch(ec2, &self.subnet, &self.group, LAUNCHED)
                .await
                .map(drop),
            Call::Revoke => ec2.revoke(&self.group, rule()).await,
            Call::Terminate => {
                let instance = interface(ec2, LAUNCHED).await?.text_at("instanceId")?;
                let wanted = [("InstanceId.1", instance.as_str())];
                ec2.call("TerminateInstances", &wanted).await.map(drop)
            }
        }
    }

    async fn assign(&self, ec2: &Ec2, call: Call) -> anyhow::Result<()> {
        let two = interface(ec2, "10.0.1.11").await?;
        let eni = two.text_at("networkInterfaceId")?;
        let wanted = [
            ("NetworkInterfaceId", eni.as_str()),
            ("PrivateIpAddress.1", ASSIGNED),
        ];
        let action = match call {
            Call::Assign => "AssignPrivateIpAddresses",
            _ => "UnassignPrivateIpAddresses",
        };
        ec2.call(action, &wanted).await.map(drop)
    }
}

/// Who may come to [`OPENED`].
fn rule() -> IngressRule<'static> {
    IngressRule {
        tcp_port: Some(OPENED),
        source: Source::Block(Ipv4Net::new_assert([10, 0, 1, 12].into(), 32)),
    }
}

/// Launches an instance; its id.
async fn launch(
    ec2: &Ec2,
    subnet: &SubnetId,
    group: &SecurityGroupId,
    address: &str,
) -> anyhow::Result<String> {
    let wanted = [
        ("ImageId", "ami-0dc0000000000000a"),
        ("InstanceType", "m5.large"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("SubnetId", subnet.as_str()),
        ("SecurityGroupId.1", group.as_str()),
        ("PrivateIpAddress", address),
    ];
    ec2.call("RunInstances", &wanted)
        .await?
        .text_at("instanceId")
}

/// The interface that has an address.
pub(super) async fn interface(ec2: &Ec2, address: &str) -> anyhow::Result<Element> {
    let wanted = [
        ("Filter.1.Name", "addresses.private-ip-address"),
        ("Filter.1.Value.1", address),
    ];
    let answer = ec2.call("DescribeNetworkInterfaces", &wanted).await?;
    let mut found = answer.items("networkInterfaceSet");
    let found = found.next().cloned();
    found.with_context(|| format!("no interface has {address}"))
}
