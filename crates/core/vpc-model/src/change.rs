//! What a call did to the world, for whoever builds devices, compiles rules and writes flow logs.

use std::net::Ipv4Addr;

use underlay_types::{
    EgressOnlyInternetGatewayId, EniId, InstanceId, InternetGatewayId, NatGatewayId, NetworkAclId,
    PrefixListId, RouteTableId, SecurityGroupId, SubnetId, VpcId, VpcPeeringConnectionId,
};

/// One effect of a call. A list of them is in the order in which they have to be carried out.
///
/// A launch is `InstanceStarted` followed by one `EniAttached` per interface, lowest device index
/// first. A termination is one `EniDetached` per interface, `EniDeleted` for those that go with
/// the instance, then `InstanceTerminated`. The object of a `*Changed` is read from the model;
/// when it is no longer there, it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A branch interface's frames come and go on the device of a trunk now, with a VLAN id.
    BranchAttached {
        /// The interface.
        branch: EniId,
        /// The interface that carries it; its device is in an instance.
        trunk: EniId,
        /// The VLAN id.
        vlan: u16,
    },
    /// A branch interface has no device any more. A trunk that leaves its instance loses its
    /// branches first.
    BranchDetached {
        /// The interface.
        branch: EniId,
        /// The interface that carried it.
        trunk: EniId,
    },
    /// An egress-only internet gateway was created or deleted.
    EgressOnlyInternetGatewayChanged(EgressOnlyInternetGatewayId),
    /// An interface was created; it is attached to nothing yet.
    EniCreated(EniId),
    /// An interface's device has to be in its instance now.
    EniAttached {
        /// The interface.
        eni: EniId,
        /// The instance it is attached to.
        instance: InstanceId,
        /// Its device index on its network card.
        device_index: u32,
    },
    /// An interface's addresses, groups, attributes, or attachment to something outside changed.
    EniChanged(EniId),
    /// An interface's device has to leave its instance now.
    EniDetached {
        /// The interface.
        eni: EniId,
        /// The instance it was attached to.
        instance: InstanceId,
    },
    /// An interface is gone, and its addresses are free.
    EniDeleted(EniId),
    /// Flow logs were created or deleted.
    FlowLogsChanged,
    /// A group's rules changed, or it was created or deleted.
    GroupChanged(SecurityGroupId),
    /// An instance exists now; its interfaces follow.
    InstanceStarted(InstanceId),
    /// An instance is stopped; the devices of its interfaces went before it.
    InstanceStopped(InstanceId),
    /// An instance is gone; its interfaces went before it.
    InstanceTerminated(InstanceId),
    /// A prefix list's entries changed, or it was created or deleted.
    PrefixListChanged(PrefixListId),
    /// An internet gateway was created, attached, detached or deleted.
    InternetGatewayChanged(InternetGatewayId),
    /// A NAT gateway was created, or its state or addresses changed.
    NatGatewayChanged(NatGatewayId),
    /// A network ACL's entries or associations changed, or it was created or deleted.
    NetworkAclChanged(NetworkAclId),
    /// A peering connection was created, or its state changed.
    PeeringChanged(VpcPeeringConnectionId),
    /// A public address stands for a private one now, for another one, or for none any more.
    PublicAddressChanged(Ipv4Addr),
    /// A route table's routes or associations changed, or it was created or deleted.
    RouteTableChanged(RouteTableId),
    /// A subnet was created, changed or deleted.
    SubnetChanged(SubnetId),
    /// A VPC was created, changed or deleted.
    VpcChanged(VpcId),
}
