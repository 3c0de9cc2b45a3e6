//! EC2 calls as the allocator asks for them.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use ipnet::{Ipv4Net, Ipv6Net};
use tokio::time::{Instant, sleep};
use underlay_cloud::{
    Ec2, Ec2Error,
    ec2::{Ec2Failure as CloudFailure, InterfaceStatus, Ipv4Grant},
    ec2::{NetworkInterface, NewInterface, Plug},
};
use underlay_ipam::{Ec2Failure, Holding, Place};
use underlay_types::{AttachmentId, Class, EniId};

use super::{node::NodeFacts, subnets::SubnetRegister};

/// How long an ENI may take to leave the instance.
const DETACH_DEADLINE: Duration = Duration::from_secs(60);

/// One call with all it needs.
#[derive(Debug)]
pub(super) enum Call {
    Assign {
        eni: EniId,
        grant: Ipv4Grant,
    },
    Attach {
        eni: EniId,
        place: Place,
    },
    Create(Box<NewInterface>),
    Delete {
        eni: EniId,
    },
    Detach {
        eni: EniId,
        attachment: Option<AttachmentId>,
    },
    SetDeleteOnTermination {
        eni: EniId,
        attachment: Option<AttachmentId>,
    },
    AssignIpv6Prefix {
        eni: EniId,
    },
    Unassign {
        eni: EniId,
        addresses: Vec<Ipv4Addr>,
    },
    UnassignIpv6Prefixes {
        eni: EniId,
        prefixes: Vec<Ipv6Net>,
    },
    UnassignPrefixes {
        eni: EniId,
        prefixes: Vec<Ipv4Net>,
    },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    Assigned(Holding),
    Attached(AttachmentId),
    Created(Box<NetworkInterface>),
    Done,
}

/// A call that failed, as the allocator hears of it.
struct Failed(Ec2Failure);

impl From<Ec2Error> for Failed {
    fn from(error: Ec2Error) -> Self {
        Self(failure(&error))
    }
}

/// Runs calls for one node.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) ec2: Ec2,
    pub(super) node: Arc<NodeFacts>,
    pub(super) subnets: Arc<SubnetRegister>,
}

impl Caller {
    pub(super) async fn run(&self, call: Call) -> Result<Answer, Ec2Failure> {
        self.try_run(call).await.map_err(|Failed(failure)| failure)
    }

    async fn try_run(&self, call: Call) -> Result<Answer, Failed> {
        let ec2 = &self.ec2;
        match call {
            Call::Assign { eni, grant } => {
                let assigned = ec2.assign_private_ip_addresses(&eni, grant).await?;
                return Ok(Answer::Assigned(Holding {
                    addresses: assigned.addresses,
                    prefixes: assigned.prefixes,
                    ..Holding::default()
                }));
            }
            Call::AssignIpv6Prefix { eni } => {
                return Ok(Answer::Assigned(Holding {
                    ipv6_prefixes: ec2.assign_ipv6_prefixes(&eni, 1).await?,
                    ..Holding::default()
                }));
            }
            Call::Attach { eni, place } => {
                let plug = Plug {
                    instance: self.node.identity.instance_id.clone(),
                    device_index: place.index.into(),
                    network_card: place.card.into(),
                };
                let attachment = ec2.attach_network_interface(&eni, &plug).await?;
                return Ok(Answer::Attached(attachment));
            }
            Call::Create(new) => {
                let created = self.subnets.create(*new).await.map_err(Failed)?;
                return Ok(Answer::Created(Box::new(created)));
            }
            Call::Delete { eni } => ec2.delete_network_interface(&eni).await?,
            Call::Detach { eni, attachment } => self.detach(&eni, attachment).await?,
            Call::SetDeleteOnTermination { eni, attachment } => {
                if let Some(attachment) = self.attachment(&eni, attachment).await? {
                    ec2.set_delete_on_termination(&eni, &attachment, true)
                        .await?;
                }
            }
            Call::Unassign { eni, addresses } => {
                ec2.unassign_private_ip_addresses(&eni, &addresses).await?;
            }
            Call::UnassignIpv6Prefixes { eni, prefixes } => {
                ec2.unassign_ipv6_prefixes(&eni, &prefixes).await?;
            }
            Call::UnassignPrefixes { eni, prefixes } => {
                ec2.unassign_ipv4_prefixes(&eni, &prefixes).await?;
            }
        }
        Ok(Answer::Done)
    }

    /// Detaches and waits until EC2 shows the ENI as available: before, it cannot be deleted.
    async fn detach(&self, eni: &EniId, known: Option<AttachmentId>) -> Result<(), Ec2Error> {
        if let Some(attachment) = self.attachment(eni, known).await? {
            match self.ec2.detach_network_interface(&attachment, false).await {
                Err(error) if error.class() != Class::NotFound => return Err(error),
                _ => {}
            }
        }
        let deadline = Instant::now() + DETACH_DEADLINE;
        let mut pause = Duration::from_millis(50);
        while let Some(found) = self.ec2.describe_network_interface(eni).await? {
            if found.status == InterfaceStatus::Available || Instant::now() > deadline {
                break;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
        Ok(())
    }

    async fn attachment(
        &self,
        eni: &EniId,
        known: Option<AttachmentId>,
    ) -> Result<Option<AttachmentId>, Ec2Error> {
        if known.is_some() {
            return Ok(known);
        }
        let found = self.ec2.describe_network_interface(eni).await?;
        Ok(found
            .and_then(|eni| eni.attachment)
            .map(|attachment| attachment.id))
    }
}

/// The allocator's view of a failed call.
pub(super) fn failure(error: &Ec2Error) -> Ec2Failure {
    let (code, message) = match error.failure() {
        CloudFailure::Refused(refusal) => (refusal.code.as_str(), refusal.message.clone()),
        CloudFailure::Credentials(_) => ("NoCredentials", error.to_string()),
        CloudFailure::Unreachable { .. } => ("Unreachable", error.to_string()),
        CloudFailure::NoAnswer { .. } => ("NoAnswer", error.to_string()),
        CloudFailure::Budget(_) => ("CallBudget", error.to_string()),
        _ => ("Unexpected", error.to_string()),
    };
    Ec2Failure {
        code: code.to_owned(),
        message,
        class: error.class(),
    }
}
