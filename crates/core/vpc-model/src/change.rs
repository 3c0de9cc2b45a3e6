//! What a call did to the world, for whoever builds devices, compiles rules and writes flow logs.

use underlay_types::{
    EniId, InstanceId, PrefixListId, RouteTableId, SecurityGroupId, SubnetId, VpcId,
};

/// One effect of a call. A list of them is in the order in which they have to be carried out.
///
/// A launch is `InstanceStarted` followed by one `EniAttached` per interface, lowest device index
/// first. A termination is one `EniDetached` per interface, `EniDeleted` for those that go with
/// the instance, then `InstanceTerminated`. The object of a `*Changed` is read from the model;
/// when it is no longer there, it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
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
    /// An instance is gone; its interfaces went before it.
    InstanceTerminated(InstanceId),
    /// A prefix list's entries changed, or it was created or deleted.
    PrefixListChanged(PrefixListId),
    /// A route table's routes or associations changed, or it was created or deleted.
    RouteTableChanged(RouteTableId),
    /// A subnet was created, changed or deleted.
    SubnetChanged(SubnetId),
    /// A VPC was created, changed or deleted.
    VpcChanged(VpcId),
}
