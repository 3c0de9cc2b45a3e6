//! The actions, one method each.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use underlay_types::{AttachmentId, EniId, SecurityGroupId, SubnetId, VpcId};

use super::{
    Assigned, Ec2, Ec2Error, GroupQuery, InstanceTypeLimits, InterfaceQuery, Ipv4Grant,
    NetworkInterface, NewInterface, Plug, SecurityGroup, SecurityGroupRule, Subnet, parse,
    request::{Replay, Request},
};

/// What EC2 allows to be described at once without ids.
const PAGE_SIZE: u32 = 1000;
/// Values of one filter that EC2 accepts.
pub(super) const FILTER_VALUES_MAX: usize = 200;

/// Changes to ENIs.
impl Ec2 {
    /// Creates an ENI with its addresses and tags. Idempotent by `client_token`.
    ///
    /// # Errors
    /// `Conflict` with [`super::Refusal::is_subnet_exhausted`] when the subnet is full; nothing is
    /// created then.
    pub async fn create_network_interface(
        &self,
        new: &NewInterface,
    ) -> Result<NetworkInterface, Ec2Error> {
        let mut request = Request::new("CreateNetworkInterface", &new.subnet, Replay::Harmless)
            .with("SubnetId", &new.subnet)
            .with("Description", &new.description)
            .with("ClientToken", &new.client_token)
            .with_list("SecurityGroupId", &new.groups);
        request = with_grant(request, new.ipv4);
        if new.ipv6_prefixes > 0 {
            request = request.with("Ipv6PrefixCount", new.ipv6_prefixes);
        }
        request = request.with_tags("network-interface", &new.tags);
        self.send(&request, |reply| {
            parse::network_interface(reply.child("networkInterface")?)
        })
        .await
    }

    /// Plugs an ENI into an instance. Returns before the device appears there.
    ///
    /// # Errors
    /// `Conflict` when the instance has no slot or the device index is taken.
    pub async fn attach_network_interface(
        &self,
        eni: &EniId,
        plug: &Plug,
    ) -> Result<AttachmentId, Ec2Error> {
        let object = format!("{eni} at {} index {}", plug.instance, plug.device_index);
        let request = Request::new("AttachNetworkInterface", object, Replay::Harmful)
            .with("NetworkInterfaceId", eni)
            .with("InstanceId", &plug.instance)
            .with("DeviceIndex", plug.device_index)
            .with("NetworkCardIndex", plug.network_card);
        self.send(&request, |reply| reply.parse_child("attachmentId"))
            .await
    }

    /// Says whether an attached ENI goes when its instance does (the default after attaching: no).
    ///
    /// # Errors
    /// `NotFound` when the ENI or the attachment is gone.
    pub async fn set_delete_on_termination(
        &self,
        eni: &EniId,
        attachment: &AttachmentId,
        delete: bool,
    ) -> Result<(), Ec2Error> {
        let request = Request::new("ModifyNetworkInterfaceAttribute", eni, Replay::Harmless)
            .with("NetworkInterfaceId", eni)
            .with("Attachment.AttachmentId", attachment)
            .with("Attachment.DeleteOnTermination", delete);
        self.send(&request, parse::done).await
    }

    /// Replaces the groups of an ENI.
    ///
    /// # Errors
    /// `NotFound` when the ENI or a group does not exist; nothing changes then.
    pub async fn set_security_groups(
        &self,
        eni: &EniId,
        groups: &[SecurityGroupId],
    ) -> Result<(), Ec2Error> {
        let request = Request::new("ModifyNetworkInterfaceAttribute", eni, Replay::Harmless)
            .with("NetworkInterfaceId", eni)
            .with_list("SecurityGroupId", groups);
        self.send(&request, parse::done).await
    }

    /// Unplugs an ENI. Returns before it is `available`.
    ///
    /// # Errors
    /// `NotFound` for an unknown attachment; `Conflict` for a primary or foreign one.
    pub async fn detach_network_interface(
        &self,
        attachment: &AttachmentId,
        force: bool,
    ) -> Result<(), Ec2Error> {
        let request = Request::new("DetachNetworkInterface", attachment, Replay::Harmless)
            .with("AttachmentId", attachment)
            .with("Force", force);
        self.send(&request, parse::done).await
    }

    /// Deletes an ENI that is `available`.
    ///
    /// # Errors
    /// `NotFound` when it is gone already; `Conflict` while it is in use.
    pub async fn delete_network_interface(&self, eni: &EniId) -> Result<(), Ec2Error> {
        let request = Request::new("DeleteNetworkInterface", eni, Replay::Harmless)
            .with("NetworkInterfaceId", eni);
        self.send(&request, parse::done).await
    }

    /// Assigns secondary addresses or prefixes that EC2 chooses and returns them: all or none.
    ///
    /// # Errors
    /// `Conflict` when the subnet or the ENI is full, or no whole prefix is free. When [`Ec2Error::may_have_been_applied`],
    /// describe the ENI before another try: this action is not idempotent.
    pub async fn assign_private_ip_addresses(
        &self,
        eni: &EniId,
        grant: Ipv4Grant,
    ) -> Result<Assigned, Ec2Error> {
        let request = Request::new("AssignPrivateIpAddresses", eni, Replay::Harmful)
            .with("NetworkInterfaceId", eni);
        self.send(&with_grant(request, grant), parse::assigned)
            .await
    }

    /// Takes secondary addresses away from an ENI.
    ///
    /// # Errors
    /// `Invalid` when one is not a secondary address of this ENI; nothing changes then.
    pub async fn unassign_private_ip_addresses(
        &self,
        eni: &EniId,
        addresses: &[Ipv4Addr],
    ) -> Result<(), Ec2Error> {
        let request = Request::new("UnassignPrivateIpAddresses", eni, Replay::Harmless)
            .with("NetworkInterfaceId", eni)
            .with_list("PrivateIpAddress", addresses);
        self.send(&request, parse::done).await
    }

    /// Takes prefixes away from an ENI.
    ///
    /// # Errors
    /// `Invalid` when one is not a prefix of this ENI; nothing changes then.
    pub async fn unassign_ipv4_prefixes(
        &self,
        eni: &EniId,
        prefixes: &[Ipv4Net],
    ) -> Result<(), Ec2Error> {
        let request = Request::new("UnassignPrivateIpAddresses", eni, Replay::Harmless)
            .with("NetworkInterfaceId", eni)
            .with_list("Ipv4Prefix", prefixes);
        self.send(&request, parse::done).await
    }
}

/// IPv6 prefixes of ENIs.
impl Ec2 {
    /// Assigns /80 prefixes that EC2 chooses and returns them: all or none.
    ///
    /// # Errors
    /// As [`Self::assign_private_ip_addresses`]; `Invalid` when the subnet has no IPv6 block.
    pub async fn assign_ipv6_prefixes(
        &self,
        eni: &EniId,
        count: u32,
    ) -> Result<Vec<Ipv6Net>, Ec2Error> {
        let request = Request::new("AssignIpv6Addresses", eni, Replay::Harmful)
            .with("NetworkInterfaceId", eni)
            .with("Ipv6PrefixCount", count);
        self.send(&request, |reply| {
            reply.child("assignedIpv6PrefixSet")?;
            let prefixes = reply.items("assignedIpv6PrefixSet");
            prefixes.map(|item| item.read()).collect()
        })
        .await
    }

    /// Takes /80 prefixes away from an ENI.
    ///
    /// # Errors
    /// `Invalid` when one is not a prefix of this ENI; nothing changes then.
    pub async fn unassign_ipv6_prefixes(
        &self,
        eni: &EniId,
        prefixes: &[Ipv6Net],
    ) -> Result<(), Ec2Error> {
        let request = Request::new("UnassignIpv6Addresses", eni, Replay::Harmless)
            .with("NetworkInterfaceId", eni)
            .with_list("Ipv6Prefix", prefixes);
        self.send(&request, parse::done).await
    }
}

/// Looking at things. Every list is complete: pages are followed.
impl Ec2 {
    /// The ENIs that `query` selects, in EC2's order.
    ///
    /// # Errors
    /// `NotFound` when the query names an ENI that does not exist.
    pub async fn describe_network_interfaces(
        &self,
        query: &InterfaceQuery,
    ) -> Result<Vec<NetworkInterface>, Ec2Error> {
        let request = Request::new("DescribeNetworkInterfaces", "ENIs", Replay::Harmless)
            .with_list("NetworkInterfaceId", &query.ids)
            .with_filters(&query.filters);
        let request = paged_unless(!query.ids.is_empty(), request);
        self.send_pages(request, "networkInterfaceSet", parse::network_interface)
            .await
    }

    /// What instances of this type can carry.
    ///
    /// # Errors
    /// `Invalid` (`InvalidInstanceType`) for an unknown type.
    pub async fn describe_instance_type(
        &self,
        instance_type: &str,
    ) -> Result<InstanceTypeLimits, Ec2Error> {
        let request = Request::new("DescribeInstanceTypes", instance_type, Replay::Harmless)
            .with("InstanceType.1", instance_type);
        self.send(&request, parse::one_instance_type).await
    }

    /// These subnets.
    ///
    /// # Errors
    /// `NotFound` when one does not exist.
    pub async fn describe_subnets(&self, ids: &[SubnetId]) -> Result<Vec<Subnet>, Ec2Error> {
        let request =
            Request::new("DescribeSubnets", "subnets", Replay::Harmless).with_list("SubnetId", ids);
        let request = paged_unless(!ids.is_empty(), request);
        self.send_pages(request, "subnetSet", parse::subnet).await
    }

    /// All subnets of a VPC in one availability zone.
    ///
    /// # Errors
    /// As every call.
    pub async fn describe_subnets_of(
        &self,
        vpc: &VpcId,
        zone: &str,
    ) -> Result<Vec<Subnet>, Ec2Error> {
        let object = format!("subnets of {vpc} in {zone}");
        let request = Request::new("DescribeSubnets", object, Replay::Harmless)
            .with("Filter.1.Name", "vpc-id")
            .with("Filter.1.Value.1", vpc)
            .with("Filter.2.Name", "availability-zone")
            .with("Filter.2.Value.1", zone);
        let request = paged_unless(false, request);
        self.send_pages(request, "subnetSet", parse::subnet).await
    }

    /// The security groups that `query` selects.
    ///
    /// # Errors
    /// `NotFound` when the query names a group that does not exist.
    pub async fn describe_security_groups(
        &self,
        query: &GroupQuery,
    ) -> Result<Vec<SecurityGroup>, Ec2Error> {
        let request = Request::new(
            "DescribeSecurityGroups",
            "security groups",
            Replay::Harmless,
        )
        .with_list("GroupId", &query.ids)
        .with_filters(&query.filters);
        let request = paged_unless(!query.ids.is_empty(), request);
        self.send_pages(request, "securityGroupInfo", parse::security_group)
            .await
    }

    /// All rules of these groups. A group that does not exist has none.
    ///
    /// # Errors
    /// As every call.
    pub async fn describe_security_group_rules(
        &self,
        groups: &[SecurityGroupId],
    ) -> Result<Vec<SecurityGroupRule>, Ec2Error> {
        let mut rules = Vec::new();
        for groups in groups.chunks(FILTER_VALUES_MAX) {
            let request = Request::new("DescribeSecurityGroupRules", "rules", Replay::Harmless)
                .with("Filter.1.Name", "group-id")
                .with_list("Filter.1.Value", groups)
                .with("MaxResults", PAGE_SIZE);
            let set = "securityGroupRuleSet";
            rules.extend(
                self.send_pages(request, set, parse::security_group_rule)
                    .await?,
            );
        }
        Ok(rules)
    }
}

fn with_grant(request: Request, grant: Ipv4Grant) -> Request {
    match grant {
        Ipv4Grant::Addresses(0) | Ipv4Grant::Prefixes(0) => request,
        Ipv4Grant::Addresses(count) => request.with("SecondaryPrivateIpAddressCount", count),
        Ipv4Grant::Prefixes(count) => request.with("Ipv4PrefixCount", count),
    }
}

/// EC2 refuses a page size next to ids.
fn paged_unless(has_ids: bool, request: Request) -> Request {
    if has_ids {
        request
    } else {
        request.with("MaxResults", PAGE_SIZE)
    }
}
