//! What a test sets up in a VPC, each in one line.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Context as _;
use ipnet::{Ipv4Net, Ipv6Net};
use underlay_types::{EniId, ImageId, InstanceId, SecurityGroupId, SubnetId, VpcId};

use super::{Ec2, Element};

/// Who a rule lets in.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Whoever carries this group.
    Group(&'a SecurityGroupId),
    /// Whoever has an address in this block.
    Block(Ipv4Net),
}

/// An ingress rule.
#[derive(Debug, Clone, Copy)]
pub struct IngressRule<'a> {
    /// A TCP port; every protocol and port if absent.
    pub tcp_port: Option<u16>,
    /// From whom.
    pub source: Source<'a>,
}

/// A network interface as DescribeNetworkInterfaces shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its id.
    pub id: EniId,
    /// The instance it is attached to.
    pub instance: Option<InstanceId>,
    /// Its number at that instance.
    pub device_index: Option<u32>,
    /// Its Ethernet address.
    pub mac: String,
    /// The primary address.
    pub primary: Ipv4Addr,
    /// The other addresses, in the API's order.
    pub secondaries: Vec<Ipv4Addr>,
    /// The /28 prefixes delegated to it, in the API's order.
    pub prefixes: Vec<Ipv4Net>,
    /// Its IPv6 addresses, in the API's order.
    pub ipv6: Vec<Ipv6Addr>,
    /// The /80 prefixes delegated to it, in the API's order.
    pub ipv6_prefixes: Vec<Ipv6Net>,
    /// Its groups, in the API's order.
    pub groups: Vec<SecurityGroupId>,
    /// Its subnet.
    pub subnet: SubnetId,
}

impl Ec2 {
    /// Creates a VPC.
    ///
    /// # Errors
    /// As [`Ec2::call`]; so do all the others here.
    pub async fn create_vpc(&self, block: Ipv4Net) -> anyhow::Result<VpcId> {
        let answer = self
            .call("CreateVpc", &[("CidrBlock", &block.to_string())])
            .await?;
        parse(&answer, "vpcId")
    }

    /// Creates a subnet.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn create_subnet(
        &self,
        vpc: &VpcId,
        block: Ipv4Net,
        zone: &str,
    ) -> anyhow::Result<SubnetId> {
        let parameters = [
            ("VpcId", vpc.as_str()),
            ("CidrBlock", &block.to_string()),
            ("AvailabilityZone", zone),
        ];
        parse(&self.call("CreateSubnet", &parameters).await?, "subnetId")
    }

    /// Creates a VPC with an IPv6 block of EC2's choice, a /56, and tells it.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn create_vpc_with_ipv6(&self, block: Ipv4Net) -> anyhow::Result<(VpcId, Ipv6Net)> {
        let parameters = [
            ("CidrBlock", block.to_string()),
            ("AmazonProvidedIpv6CidrBlock", "true".to_owned()),
        ];
        let parameters = parameters
            .each_ref()
            .map(|(key, value)| (*key, value.as_str()));
        let vpc: VpcId = parse(&self.call("CreateVpc", &parameters).await?, "vpcId")?;
        let parameters = [("VpcId.1", vpc.as_str())];
        let answer = self.call("DescribeVpcs", &parameters).await?;
        Ok((vpc, parse(&answer, "ipv6CidrBlock")?))
    }

    /// Creates a subnet with a /64 of IPv6; new interfaces of it get an address.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn create_subnet_with_ipv6(
        &self,
        vpc: &VpcId,
        block: Ipv4Net,
        ipv6: Ipv6Net,
        zone: &str,
    ) -> anyhow::Result<SubnetId> {
        let parameters = [
            ("VpcId", vpc.as_str()),
            ("CidrBlock", &block.to_string()),
            ("Ipv6CidrBlock", &ipv6.to_string()),
            ("AvailabilityZone", zone),
        ];
        let subnet: SubnetId = parse(&self.call("CreateSubnet", &parameters).await?, "subnetId")?;
        let parameters = [
            ("SubnetId", subnet.as_str()),
            ("AssignIpv6AddressOnCreation.Value", "true"),
        ];
        self.call("ModifySubnetAttribute", &parameters).await?;
        Ok(subnet)
    }

    /// Creates a security group; `for_pods` tags it so that pods may choose it.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn create_group(
        &self,
        vpc: &VpcId,
        name: &str,
        for_pods: bool,
    ) -> anyhow::Result<SecurityGroupId> {
        let mut parameters = vec![
            ("VpcId", vpc.as_str()),
            ("GroupName", name),
            ("GroupDescription", name),
        ];
        if for_pods {
            parameters.extend([
                ("TagSpecification.1.ResourceType", "security-group"),
                ("TagSpecification.1.Tag.1.Key", "underlay.dev/allow-pods"),
                ("TagSpecification.1.Tag.1.Value", "true"),
            ]);
        }
        parse(
            &self.call("CreateSecurityGroup", &parameters).await?,
            "groupId",
        )
    }

    /// Adds an ingress rule.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn allow(
        &self,
        group: &SecurityGroupId,
        rule: IngressRule<'_>,
    ) -> anyhow::Result<()> {
        self.change_ingress("AuthorizeSecurityGroupIngress", group, rule)
            .await
    }

    /// Takes an ingress rule away.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn revoke(
        &self,
        group: &SecurityGroupId,
        rule: IngressRule<'_>,
    ) -> anyhow::Result<()> {
        self.change_ingress("RevokeSecurityGroupIngress", group, rule)
            .await
    }

    async fn change_ingress(
        &self,
        action: &str,
        group: &SecurityGroupId,
        rule: IngressRule<'_>,
    ) -> anyhow::Result<()> {
        let port = rule.tcp_port.map(|port| port.to_string());
        let mut parameters = vec![("GroupId", group.as_str())];
        match &port {
            None => parameters.push(("IpPermissions.1.IpProtocol", "-1")),
            Some(port) => parameters.extend([
                ("IpPermissions.1.IpProtocol", "tcp"),
                ("IpPermissions.1.FromPort", port),
                ("IpPermissions.1.ToPort", port),
            ]),
        }
        let block = match rule.source {
            Source::Group(_) => String::new(),
            Source::Block(block) => block.to_string(),
        };
        match rule.source {
            Source::Group(source) => {
                parameters.push(("IpPermissions.1.Groups.1.GroupId", source.as_str()));
            }
            Source::Block(_) => parameters.push(("IpPermissions.1.IpRanges.1.CidrIp", &block)),
        }
        self.call(action, &parameters).await?;
        Ok(())
    }

    /// Runs an instance with one interface, configured when it starts.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn run_instance(
        &self,
        instance_type: &str,
        subnet: &SubnetId,
        groups: &[&SecurityGroupId],
        name: &str,
    ) -> anyhow::Result<InstanceId> {
        let image = self.configured_image().await?;
        let keys: Vec<String> = (1..=groups.len())
            .map(|index| format!("SecurityGroupId.{index}"))
            .collect();
        let mut parameters = vec![
            ("ImageId", image.as_str()),
            ("InstanceType", instance_type),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("SubnetId", subnet.as_str()),
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.1.Tag.1.Key", "Name"),
            ("TagSpecification.1.Tag.1.Value", name),
        ];
        parameters.extend(
            keys.iter()
                .zip(groups)
                .map(|(key, id)| (key.as_str(), id.as_str())),
        );
        parse(&self.call("RunInstances", &parameters).await?, "instanceId")
    }

    /// The image whose primary interface comes up with its address.
    async fn configured_image(&self) -> anyhow::Result<ImageId> {
        let answer = self.call("DescribeImages", &[]).await?;
        let image = answer
            .items("imagesSet")
            .find(|item| item.text_of("name") == Some("underlay-dhcp-x86_64"))
            .context("no image called underlay-dhcp-x86_64")?;
        parse(image, "imageId")
    }

    /// Creates an interface.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn create_interface(
        &self,
        subnet: &SubnetId,
        groups: &[&SecurityGroupId],
        description: &str,
    ) -> anyhow::Result<Interface> {
        let keys: Vec<String> = (1..=groups.len())
            .map(|index| format!("SecurityGroupId.{index}"))
            .collect();
        let mut parameters = vec![("SubnetId", subnet.as_str()), ("Description", description)];
        parameters.extend(
            keys.iter()
                .zip(groups)
                .map(|(key, id)| (key.as_str(), id.as_str())),
        );
        let answer = self.call("CreateNetworkInterface", &parameters).await?;
        read_interface(
            answer
                .find("networkInterface")
                .context("no networkInterface")?,
        )
    }

    /// Every interface of a VPC.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn interfaces(&self, vpc: &VpcId) -> anyhow::Result<Vec<Interface>> {
        let parameters = [
            ("Filter.1.Name", "vpc-id"),
            ("Filter.1.Value.1", vpc.as_str()),
        ];
        let answer = self.call("DescribeNetworkInterfaces", &parameters).await?;
        answer
            .items("networkInterfaceSet")
            .map(read_interface)
            .collect()
    }

    /// The interfaces attached to an instance, in the order of their device numbers.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn interfaces_of(&self, instance: &InstanceId) -> anyhow::Result<Vec<Interface>> {
        let parameters = [
            ("Filter.1.Name", "attachment.instance-id"),
            ("Filter.1.Value.1", instance.as_str()),
        ];
        let answer = self.call("DescribeNetworkInterfaces", &parameters).await?;
        let mut interfaces: Vec<Interface> = answer
            .items("networkInterfaceSet")
            .map(read_interface)
            .collect::<Result<_, _>>()?;
        interfaces.sort_by_key(|interface| interface.device_index);
        Ok(interfaces)
    }

    /// Writes flow logs of a VPC in a custom format such as `${srcaddr} ${action}`.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn create_flow_log(&self, vpc: &VpcId, format: &str) -> anyhow::Result<()> {
        let parameters = [
            ("ResourceType", "VPC"),
            ("ResourceId.1", vpc.as_str()),
            ("TrafficType", "ALL"),
            ("LogDestinationType", "s3"),
            ("LogDestination", "arn:aws:s3:::underlay-flow-logs"),
            ("LogFormat", format),
            ("MaxAggregationInterval", "60"),
        ];
        let answer = self.call("CreateFlowLogs", &parameters).await?;
        anyhow::ensure!(
            answer.items("unsuccessful").next().is_none(),
            "CreateFlowLogs was not successful: {answer:?}"
        );
        Ok(())
    }
}

fn parse<T>(answer: &Element, name: &str) -> anyhow::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text = answer.text_at(name)?;
    text.parse()
        .with_context(|| format!("reading {name} {text:?}"))
}

fn read_interface(element: &Element) -> anyhow::Result<Interface> {
    let primary: Ipv4Addr = {
        let text = element
            .text_of("privateIpAddress")
            .context("no privateIpAddress")?;
        text.parse()
            .with_context(|| format!("reading the address {text:?}"))?
    };
    let attachment = element.child("attachment");
    let instance = attachment.and_then(|attachment| attachment.text_of("instanceId"));
    let device_index = attachment.and_then(|attachment| attachment.text_of("deviceIndex"));
    let addresses = element
        .items("privateIpAddressesSet")
        .map(|item| parse(item, "privateIpAddress"));
    let addresses: Vec<Ipv4Addr> = addresses.collect::<Result<_, _>>()?;
    let groups = element.items("groupSet").map(|item| parse(item, "groupId"));
    let prefixes = element.items("ipv4PrefixSet");
    let prefixes = prefixes.map(|item| parse(item, "ipv4Prefix"));
    let ipv6 = element.items("ipv6AddressesSet");
    let ipv6 = ipv6.map(|item| parse(item, "ipv6Address"));
    let ipv6_prefixes = element.items("ipv6PrefixSet");
    let ipv6_prefixes = ipv6_prefixes.map(|item| parse(item, "ipv6Prefix"));
    Ok(Interface {
        id: parse(element, "networkInterfaceId")?,
        instance: instance
            .map(str::parse)
            .transpose()
            .context("reading instanceId")?,
        device_index: device_index
            .map(str::parse)
            .transpose()
            .context("reading deviceIndex")?,
        mac: element.text_of("macAddress").unwrap_or_default().to_owned(),
        primary,
        secondaries: addresses
            .into_iter()
            .filter(|address| *address != primary)
            .collect(),
        prefixes: prefixes.collect::<Result<_, _>>()?,
        ipv6: ipv6.collect::<Result<_, _>>()?,
        ipv6_prefixes: ipv6_prefixes.collect::<Result<_, _>>()?,
        groups: groups.collect::<Result<_, _>>()?,
        subnet: parse(element, "subnetId")?,
    })
}
