//! What the model's flow logs want, in the words of the records.

use ipnet::IpNet;
use underlay_flowlog::{
    Destination, DestinationError, EniFacts, EniNetwork, FileFormat, Format, FormatError, LogGroup,
    LogGroupError, Partitioning, TrafficPath, TrafficType, Way,
};
use underlay_types::{EniId, FlowLogId, InstanceId, SubnetId, VpcId};
use underlay_vpc_model::{
    Eni, FlowLog, FlowLogDestination, FlowLogResource, Hypervisor, InstanceType, Model,
    PrefixListOwner, RouteTarget, TrafficType as ModelTraffic,
};

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
    pub target: Target,
    /// Which windows it takes of ENIs that are not on a Nitro-based instance.
    pub aggregation: Aggregation,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Objects in a bucket.
    Bucket {
        /// The bucket and the prefix in it.
        destination: Destination,
        /// How objects are written.
        file_format: FileFormat,
        /// How they are laid out.
        partitioning: Partitioning,
    },
    /// Events in a log group.
    LogGroup(LogGroup),
}

/// The length of a window, as CreateFlowLogs names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// 60 seconds: what ENIs of Nitro-based instances always have.
    Minute,
    /// 600 seconds.
    TenMinutes,
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
    /// Its log group is not one.
    #[error("flow log {flow_log} has no usable log group")]
    LogGroup {
        /// The flow log.
        flow_log: FlowLogId,
        /// What is wrong with it.
        #[source]
        source: LogGroupError,
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

    /// Whether the flow log takes this ENI's windows of this length.
    #[must_use]
    pub fn takes(&self, windows: Aggregation, eni: &EniFacts) -> bool {
        let own = if eni.nitro {
            Aggregation::Minute
        } else {
            self.aggregation
        };
        own == windows && self.covers(eni)
    }

    fn of(log: &FlowLog) -> Result<Self, SubscriptionError> {
        let format = Format::from_header(&log.fields.join(" ")).map_err(|source| {
            SubscriptionError::Format {
                flow_log: log.id.clone(),
                source,
            }
        })?;
        Ok(Self {
            flow_log: log.id.clone(),
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
            target: Target::of(log)?,
            aggregation: if log.aggregation_secs == 60 {
                Aggregation::Minute
            } else {
                Aggregation::TenMinutes
            },
        })
    }
}

impl Target {
    fn of(log: &FlowLog) -> Result<Self, SubscriptionError> {
        let flow_log = || log.id.clone();
        match &log.destination {
            FlowLogDestination::CloudWatchLogs { group, .. } => {
                let group = group
                    .parse()
                    .map_err(|source| SubscriptionError::LogGroup {
                        flow_log: flow_log(),
                        source,
                    })?;
                Ok(Self::LogGroup(group))
            }
            FlowLogDestination::S3 { arn, options } => {
                let destination = arn
                    .parse()
                    .map_err(|source| SubscriptionError::Destination {
                        flow_log: flow_log(),
                        source,
                    })?;
                Ok(Self::Bucket {
                    destination,
                    file_format: if options.parquet {
                        FileFormat::Parquet
                    } else {
                        FileFormat::Text
                    },
                    partitioning: Partitioning {
                        hive_compatible: options.hive_compatible,
                        per_hour: options.per_hour,
                    },
                })
            }
        }
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
        nitro: eni.instance().is_some_and(|id| is_nitro(model, id)),
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
            ways: ways(model, &eni.subnet),
            services: services(model),
        },
    })
}

/// The blocks that records name a service for: those of the AWS-managed prefix lists that the
/// documentation has a name for, and the pool of public addresses, which is EC2's.
fn services(model: &Model) -> Vec<(IpNet, String)> {
    let lists = model
        .prefix_lists()
        .filter(|list| list.owner == PrefixListOwner::Aws);
    let of_lists = lists.flat_map(|list| {
        let name = match list.name.rsplit('.').next() {
            Some("dynamodb") => Some("DYNAMODB"),
            Some("origin-facing") => Some("CLOUDFRONT_ORIGIN_FACING"),
            Some("s3") => Some("S3"),
            _ => None,
        };
        let named = name.map(|name| list.entries().iter().map(move |entry| (entry.cidr, name)));
        named.into_iter().flatten()
    });
    std::iter::once((IpNet::V4(model.config().public_pool), "EC2"))
        .chain(of_lists)
        .map(|(block, name)| (block, name.to_owned()))
        .collect()
}

fn is_nitro(model: &Model, instance: &InstanceId) -> bool {
    model
        .instance(instance)
        .and_then(|instance| InstanceType::named(&instance.instance_type))
        .is_some_and(|kind| kind.hypervisor != Hypervisor::Xen)
}

/// The routes of a subnet, but for `local`.
fn ways(model: &Model, subnet: &SubnetId) -> Vec<Way> {
    let routes = model
        .route_table_of(subnet)
        .map_or_else(Default::default, |table| table.routes.as_slice());
    routes
        .iter()
        .filter(|route| route.target != RouteTarget::Local)
        .flat_map(|route| {
            let through = through(&route.target);
            let blocks = model.blocks_of(&route.destination);
            blocks.into_iter().map(move |destination| Way {
                destination,
                through,
            })
        })
        .collect()
}

/// What a route's packets pass.
const fn through(target: &RouteTarget) -> Option<TrafficPath> {
    match target {
        RouteTarget::EgressOnlyInternetGateway(_) | RouteTarget::InternetGateway(_) => {
            Some(TrafficPath::InternetGateway)
        }
        RouteTarget::Eni(_) | RouteTarget::Local | RouteTarget::NatGateway(_) => {
            Some(TrafficPath::SameVpc)
        }
        RouteTarget::Peering(_) => Some(TrafficPath::RegionPeering),
    }
}
