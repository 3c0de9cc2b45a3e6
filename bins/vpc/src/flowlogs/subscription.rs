//! What the model's flow logs want, in the words of the records.

use ipnet::IpNet;
use underlay_flowlog::{
    Destination, DestinationError, EniFacts, EniNetwork, Format, FormatError, Partitioning,
    TrafficType,
};
use underlay_types::{EniId, FlowLogId, SubnetId, VpcId};
use underlay_vpc_model::{Eni, FlowLog, FlowLogResource, Model, TrafficType as ModelTraffic};

/// One flow log: whose traffic it wants, how written, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The flow log.
    pub flow_log: FlowLogId,
    /// Whose traffic.
    pub scope: Scope,
    /// Which verdicts.
    pub traffic: TrafficType,
    /// How a line is written.
    pub format: Format,
    /// Where lines go.
    pub destination: Destination,
    /// How objects are laid out there.
    pub partitioning: Partitioning,
}

/// Whose traffic a flow log records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One ENI's.
    Eni(EniId),
    /// That of every ENI of a subnet.
    Subnet(SubnetId),
    /// That of every ENI of a VPC.
    Vpc(VpcId),
}

/// Why a flow log of the model cannot be delivered.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// Its destination is not one.
    #[error("flow log {flow_log} has no usable destination")]
    Destination {
        /// The flow log.
        flow_log: FlowLogId,
        /// What is wrong with it.
        #[source]
        source: DestinationError,
    },
    /// Its format is not one.
    #[error("flow log {flow_log} has no usable format")]
    Format {
        /// The flow log.
        flow_log: FlowLogId,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
}

impl Subscription {
    /// Whether the flow log records this ENI's traffic.
    #[must_use]
    pub fn covers(&self, eni: &EniFacts) -> bool {
        match &self.scope {
            Scope::Eni(id) => *id == eni.id,
            Scope::Subnet(id) => *id == eni.network.subnet,
            Scope::Vpc(id) => *id == eni.network.vpc,
        }
    }

    fn of(log: &FlowLog) -> Result<Self, SubscriptionError> {
        let flow_log = || log.id.clone();
        let format = Format::from_header(&log.fields.join(" ")).map_err(|source| {
            SubscriptionError::Format {
                flow_log: flow_log(),
                source,
            }
        })?;
        let destination = log.destination.as_deref().unwrap_or_default();
        let destination = destination
            .parse()
            .map_err(|source| SubscriptionError::Destination {
                flow_log: flow_log(),
                source,
            })?;
        Ok(Self {
            flow_log: flow_log(),
            scope: match &log.resource {
                FlowLogResource::Eni(id) => Scope::Eni(id.clone()),
                FlowLogResource::Subnet(id) => Scope::Subnet(id.clone()),
                FlowLogResource::Vpc(id) => Scope::Vpc(id.clone()),
            },
            traffic: match log.traffic {
                ModelTraffic::Accept => TrafficType::Accept,
                ModelTraffic::All => TrafficType::All,
                ModelTraffic::Reject => TrafficType::Reject,
            },
            format,
            destination,
            partitioning: Partitioning::default(),
        })
    }
}

/// What of a model matters when a window closes. Taken under the model's lock; used without it.
#[derive(Debug)]
pub struct LogState {
    /// The attached ENIs, which say so when they see no traffic.
    pub enis: Vec<EniFacts>,
    /// The flow logs.
    pub subscriptions: Vec<Subscription>,
    /// Flow logs that cannot be delivered.
    pub unusable: Vec<SubscriptionError>,
}

impl LogState {
    /// The state of a model.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let attached = model.enis().filter(|eni| eni.attachment.is_some());
        let mut state = Self {
            enis: attached.filter_map(|eni| eni_facts(model, eni)).collect(),
            subscriptions: Vec::new(),
            unusable: Vec::new(),
        };
        for log in model.flow_logs() {
            match Subscription::of(log) {
                Ok(subscription) => state.subscriptions.push(subscription),
                Err(error) => state.unusable.push(error),
            }
        }
        state
    }
}

/// What records of an ENI say about it; `None` if its subnet or VPC is gone.
#[must_use]
pub fn eni_facts(model: &Model, eni: &Eni) -> Option<EniFacts> {
    let subnet = model.subnet(&eni.subnet)?;
    let vpc = model.vpc(&eni.vpc)?;
    Some(EniFacts {
        id: eni.id.clone(),
        account: model.config().account.clone(),
        primary_v4: Some(eni.addresses.primary),
        primary_v6: None,
        instance: eni.instance().cloned(),
        interface_type: eni.interface_type.as_str().to_owned(),
        network: EniNetwork {
            vpc: eni.vpc.clone(),
            vpc_cidrs: vpc
                .cidrs
                .iter()
                .map(|block| IpNet::V4(block.cidr))
                .collect(),
            subnet: eni.subnet.clone(),
            subnet_v4: Some(subnet.cidr),
            region: model.config().region.clone(),
            az_id: eni.zone.id.clone(),
        },
    })
}
