//! Taking back what a call did when it cannot be carried out.

use underlay_vpc_model::Change;

/// What has to be carried out, with the model as it was, to take `changes` back. `None` when
/// something is gone: what is half taken apart cannot be put together again.
pub(super) fn inverse(changes: &[Change]) -> Option<Vec<Change>> {
    changes.iter().rev().map(inverse_of).collect()
}

fn inverse_of(change: &Change) -> Option<Change> {
    match change {
        Change::EniCreated(eni) => Some(Change::EniDeleted(eni.clone())),
        Change::EniAttached { eni, instance, .. } => Some(Change::EniDetached {
            eni: eni.clone(),
            instance: instance.clone(),
        }),
        Change::InstanceStarted(instance) => Some(Change::InstanceTerminated(instance.clone())),
        Change::EniDeleted(_)
        | Change::EniDetached { .. }
        | Change::InstanceStopped(_)
        | Change::InstanceTerminated(_) => None,
        Change::BranchAttached { branch, trunk, .. } => Some(Change::BranchDetached {
            branch: branch.clone(),
            trunk: trunk.clone(),
        }),
        Change::BranchDetached { .. } => None,
        // Whoever carries it out looks at the model.
        Change::EgressOnlyInternetGatewayChanged(_)
        | Change::EniChanged(_)
        | Change::FlowLogsChanged
        | Change::GroupChanged(_)
        | Change::PrefixListChanged(_)
        | Change::InternetGatewayChanged(_)
        | Change::NatGatewayChanged(_)
        | Change::NetworkAclChanged(_)
        | Change::PeeringChanged(_)
        | Change::PublicAddressChanged(_)
        | Change::RouteTableChanged(_)
        | Change::SubnetChanged(_)
        | Change::VpcChanged(_) => Some(change.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_is_taken_back_from_its_end_and_a_removal_is_not() {
        let (eni, instance): (underlay_types::EniId, underlay_types::InstanceId) = (
            "eni-00000001".parse().unwrap(),
            "i-00000001".parse().unwrap(),
        );
        let attached = Change::EniAttached {
            eni: eni.clone(),
            instance: instance.clone(),
            device_index: 0,
        };
        let detached = Change::EniDetached {
            eni: eni.clone(),
            instance: instance.clone(),
        };
        let launch = [
            Change::EniCreated(eni.clone()),
            Change::InstanceStarted(instance.clone()),
            attached.clone(),
        ];
        let back = vec![
            detached.clone(),
            Change::InstanceTerminated(instance),
            Change::EniDeleted(eni),
        ];
        assert_eq!(inverse(&launch), Some(back));
        assert_eq!(inverse(&[attached, detached]), None);
    }
}
