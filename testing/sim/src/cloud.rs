//! EC2: the modelled VPC with one instance, its faults, and its answers as the agent's client reads
//! them.

mod faults;
mod shape;

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;

use underlay_ipam::{Ec2Failure, Grant, ObservedEni, Place};
use underlay_types::{
    AttachmentId, Class, EniId, InstanceId, PoolKey, Refusal, SecurityGroupId, SecurityGroupSet,
    SubnetId, Timestamp,
};
use underlay_vpc_model::{
    AddressOrder, Admission, Assigned, Budgets, CallFacts, Ec2Error, Eni, EniRequest, Fate,
    InstanceAttributes, LaunchInterface, LaunchInterfaceSource, LaunchRequest, Listed as _,
    MetadataOptions, Model, ModelConfig, Preset, Tags, Treatment, V4Request,
};

use crate::setting::Setting;

/// A call as the agent's client sends it.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Assign {
        eni: EniId,
        grant: Grant,
    },
    Attach {
        eni: EniId,
        place: Place,
    },
    Create {
        pool: PoolKey,
        grant: Grant,
        token: String,
    },
    Delete(EniId),
    Detach(AttachmentId),
    DescribeOne(EniId),
    /// The ENIs attached to the instance.
    DescribeAttached,
    /// The ENIs tagged for the instance.
    DescribeTagged,
    SetDeleteOnTermination {
        eni: EniId,
        attachment: AttachmentId,
    },
    Unassign {
        eni: EniId,
        addresses: Vec<Ipv4Addr>,
        prefixes: Vec<Ipv4Net>,
    },
}

/// What a call that worked answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Assigned(Assigned),
    Attached(AttachmentId),
    Created(Box<Seen>),
    Done,
    Seen(Vec<Seen>),
}

/// Why a call did not work, as the client understands it.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    Refused(Refusal),
    /// It may have been carried out.
    NoAnswer,
}

/// An ENI as an answer shows it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) observed: ObservedEni,
    pub(crate) attachment: Option<AttachmentId>,
    /// Whether nothing holds it: it can be deleted.
    pub(crate) available: bool,
}

/// EC2, as far as the node can tell.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) model: Model,
    admission: Admission,
    pub(crate) instance: InstanceId,
    pub(crate) subnet: SubnetId,
    pub(crate) primary: EniId,
    /// The primary ENI's group, then one for each explicit set.
    pub(crate) groups: Vec<SecurityGroupId>,
    /// Addresses of the subnet that were free before the node did anything.
    pub(crate) free_at_first: u32,
}

const IMAGE: &str = "ami-0dc0000000000000a";

impl Cloud {
    pub(crate) fn new(setting: &Setting, now: Timestamp) -> Self {
        let config = ModelConfig {
            address_order: AddressOrder::Random,
            timings: faults::timings(setting),
            seed: setting.seed,
            ..ModelConfig::of(Preset::Instant)
        };
        let mut admission = Admission::new(&config, Budgets::default());
        let mut model = Model::new(config);
        model.tick(now);
        let vpc = model
            .create_vpc(net(Ipv4Addr::new(10, 0, 0, 0), 16), Tags::new())
            .expect("an empty account takes a VPC");
        let cidr = net(Ipv4Addr::new(10, 0, 0, 0), setting.subnet_length);
        let subnet = model
            .create_subnet(&vpc, cidr, None, Tags::new())
            .expect("an empty VPC takes a subnet");
        let names = ["node", "set-1", "set-2"];
        let groups: Vec<SecurityGroupId> = names
            .iter()
            .map(|name| {
                let made = model.create_group(&vpc, name, "of the simulation", Tags::new());
                made.expect("a new VPC takes groups")
            })
            .collect();
        let request = EniRequest {
            groups: groups.first().cloned().into_iter().collect(),
            ..EniRequest::new(subnet.clone())
        };
        model
            .launch(&launch(request, setting.instance_type.name), now)
            .expect("an empty subnet takes an instance");
        let instance = model
            .instances()
            .next()
            .expect("it was launched")
            .id
            .clone();
        let primary = model
            .primary_eni_of(&instance)
            .expect("every instance has one")
            .id
            .clone();
        faults::switch_on(setting, &mut model, &mut admission, now);
        Self {
            free_at_first: model.available_addresses(&subnet),
            model,
            admission,
            instance,
            subnet,
            primary,
            groups,
        }
    }

    /// What becomes of a call that is sent now.
    pub(crate) fn admit(&mut self, request: &Request, now: Timestamp) -> Fate {
        let names = request.names();
        let facts = CallFacts {
            action: request.action(),
            broad: false,
            resources: 1,
            names: &names,
            divisible: request.half().is_some(),
        };
        self.admission.decide(&facts, now)
    }

    /// What a call comes to that is carried out now.
    pub(crate) fn carry_out(
        &mut self,
        request: &Request,
        treatment: &Treatment,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        self.model.tick(now);
        match treatment {
            Treatment::Cut => Err(Failure::NoAnswer),
            Treatment::Refuse(error) => Err(refused(error)),
            Treatment::Run => self.run(request, now),
            Treatment::RunAndCut => {
                // Whatever it came to, nobody hears of it.
                drop(self.run(request, now));
                Err(Failure::NoAnswer)
            }
            Treatment::RunHalf => {
                if let Some(half) = request.half() {
                    drop(self.run(&half, now));
                }
                let code = underlay_vpc_model::ErrorCode::InternalError;
                Err(refused(&Ec2Error::new(
                    code,
                    "An internal error has occurred",
                )))
            }
            Treatment::RunTwice => {
                drop(self.run(request, now));
                self.run(request, now)
            }
        }
    }

    fn run(&mut self, request: &Request, now: Timestamp) -> Result<Reply, Failure> {
        self.try_run(request, now).map_err(|error| refused(&error))
    }

    fn try_run(&mut self, request: &Request, now: Timestamp) -> Result<Reply, Ec2Error> {
        let model = &mut self.model;
        match request {
            Request::Assign { eni, grant } => {
                let assigned = model.assign(eni, &wanted(*grant), false, now)?;
                return Ok(Reply::Assigned(assigned));
            }
            Request::Attach { eni, place } => {
                let (index, card) = (place.index.into(), place.card.into());
                let attached = model.attach(eni, &self.instance, index, card, now)?;
                return Ok(Reply::Attached(attached));
            }
            Request::Create { pool, grant, token } => {
                let id = self.create(pool, *grant, token, now)?;
                let eni = self.model.require_eni(&id)?;
                let seen = shape::read(eni, &self.instance, &self.primary);
                return Ok(Reply::Created(Box::new(seen)));
            }
            Request::Delete(eni) => model.delete_eni(eni)?,
            Request::Detach(attachment) => model.detach(attachment, now)?,
            Request::DescribeOne(eni) => {
                // By filter, as `Ec2::describe_network_interface` asks: nobody is no refusal.
                let seen = model.require_described_eni(eni).ok();
                let seen = seen.map(|eni| shape::read(eni, &self.instance, &self.primary));
                return Ok(Reply::Seen(seen.into_iter().collect()));
            }
            Request::DescribeAttached => {
                let seen = self.model.described_enis_of(&self.instance);
                return Ok(Reply::Seen(self.read(seen)));
            }
            Request::DescribeTagged => {
                let ours = |eni: &&Eni| shape::is_ours(eni, &self.instance);
                let seen = Eni::after(&self.model, None).filter(ours).collect();
                return Ok(Reply::Seen(self.read(seen)));
            }
            Request::SetDeleteOnTermination { eni, attachment } => {
                model.set_delete_on_termination(eni, attachment, true)?;
            }
            Request::Unassign {
                eni,
                addresses,
                prefixes,
            } => model.unassign(eni, addresses, prefixes, now)?,
        }
        Ok(Reply::Done)
    }

    fn read(&self, enis: Vec<&Eni>) -> Vec<Seen> {
        let read = |eni| shape::read(eni, &self.instance, &self.primary);
        enis.into_iter().map(read).collect()
    }

    /// A repeated call with one token makes one ENI.
    fn create(
        &mut self,
        pool: &PoolKey,
        grant: Grant,
        token: &str,
        now: Timestamp,
    ) -> Result<EniId, Ec2Error> {
        const ACTION: &str = "CreateNetworkInterface";
        let parameters = format!("{pool} {grant}");
        if let Some([made]) = self.model.recall(ACTION, token, &parameters)? {
            return Ok(made.parse().expect("the model wrote an id"));
        }
        let request = EniRequest {
            v4: wanted(grant),
            groups: self.groups_of(pool).as_slice().to_vec(),
            tags: shape::tags(&self.instance, pool),
            ..EniRequest::new(self.subnet.clone())
        };
        let id = self.model.create_eni(&request)?;
        let made = vec![id.to_string()];
        self.model.remember(ACTION, token, &parameters, made, now);
        Ok(id)
    }

    /// The groups that ENIs of a pool carry.
    pub(crate) fn groups_of(&self, pool: &PoolKey) -> SecurityGroupSet {
        pool.explicit_set().cloned().unwrap_or_else(|| {
            let node: Vec<_> = self.groups.first().cloned().into_iter().collect();
            SecurityGroupSet::try_from(node).expect("one group is a set")
        })
    }

    /// The default pool, and from 1 those of the explicit sets.
    pub(crate) fn pool(&self, which: usize) -> PoolKey {
        match self.groups.get(which).filter(|_| which > 0) {
            None => PoolKey::default_pool(),
            Some(group) => {
                let set = SecurityGroupSet::try_from(vec![group.clone()]);
                PoolKey::exactly(set.expect("one group is a set"))
            }
        }
    }

    /// ENIs of ours that exist, as they are.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Eni> {
        let ours = |eni: &&Eni| shape::is_ours(eni, &self.instance) || eni.id == self.primary;
        self.model.enis().filter(ours)
    }

    /// Whether the device of an ENI is in the instance.
    pub(crate) fn has_device(&self, eni: &EniId) -> bool {
        let eni = self.model.eni(eni);
        eni.is_some_and(|eni| eni.is_attached() && eni.instance() == Some(&self.instance))
    }

    /// Ends every fault. Returns how often each kind struck.
    pub(crate) fn heal(&mut self, now: Timestamp) -> Vec<(String, u64)> {
        faults::switch_off(&mut self.model, &mut self.admission, now)
    }
}

// === impl Request ===

impl Request {
    pub(crate) const fn action(&self) -> &'static str {
        match self {
            Self::Assign { .. } => "AssignPrivateIpAddresses",
            Self::Attach { .. } => "AttachNetworkInterface",
            Self::Create { .. } => "CreateNetworkInterface",
            Self::Delete(_) => "DeleteNetworkInterface",
            Self::Detach(_) => "DetachNetworkInterface",
            Self::DescribeOne(_) | Self::DescribeAttached | Self::DescribeTagged => {
                "DescribeNetworkInterfaces"
            }
            Self::SetDeleteOnTermination { .. } => "ModifyNetworkInterfaceAttribute",
            Self::Unassign { .. } => "UnassignPrivateIpAddresses",
        }
    }

    /// Whether the client repeats it when it may have been carried out (`Replay::Harmless`).
    pub(crate) const fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Assign { .. } | Self::Attach { .. })
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Assign { eni, .. }
            | Self::Attach { eni, .. }
            | Self::Delete(eni)
            | Self::DescribeOne(eni)
            | Self::SetDeleteOnTermination { eni, .. }
            | Self::Unassign { eni, .. } => vec![eni.to_string()],
            Self::Create { .. }
            | Self::Detach(_)
            | Self::DescribeAttached
            | Self::DescribeTagged => Vec::new(),
        }
    }

    /// Half of what it counts or lists, as `bins/vpc` halves calls.
    fn half(&self) -> Option<Self> {
        match self {
            Self::Assign { eni, grant } if grant.places() > 1 => {
                let half = grant.places() / 2;
                let grant = match grant {
                    Grant::Addresses(_) => Grant::Addresses(half),
                    Grant::Prefixes(_) => Grant::Prefixes(half),
                    Grant::Ipv6Prefix => return None,
                };
                let eni = eni.clone();
                Some(Self::Assign { eni, grant })
            }
            Self::Unassign {
                eni,
                addresses,
                prefixes,
            } if addresses.len() + prefixes.len() > 1 => Some(Self::Unassign {
                eni: eni.clone(),
                addresses: addresses
                    .iter()
                    .take(addresses.len().div_ceil(2))
                    .copied()
                    .collect(),
                prefixes: prefixes.iter().take(prefixes.len() / 2).copied().collect(),
            }),
            _ => None,
        }
    }
}

// === impl Failure ===

impl Failure {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Refused(refusal) => refusal.class(),
            Self::NoAnswer => Class::Retry,
        }
    }

    /// How long the client waits before it tries again, if it does: doubled with each attempt.
    pub(crate) fn first_pause(&self, repeatable: bool) -> Option<Duration> {
        match self {
            Self::Refused(refusal) if refusal.is_throttle() => Some(Duration::from_millis(500)),
            Self::Refused(refusal) if refusal.class() != Class::Retry => None,
            Self::Refused(_) | Self::NoAnswer => repeatable.then_some(Duration::from_millis(100)),
        }
    }

    /// As the allocator is told.
    pub(crate) fn told(&self) -> Ec2Failure {
        let (code, message) = match self {
            Self::Refused(refusal) => (refusal.code.as_str(), refusal.message.as_str()),
            Self::NoAnswer => ("NoAnswer", "the connection was cut"),
        };
        Ec2Failure {
            code: code.to_owned(),
            message: message.to_owned(),
            class: self.class(),
        }
    }
}

fn refused(error: &Ec2Error) -> Failure {
    Failure::Refused(Refusal {
        status: error.code.status(),
        code: error.code.as_str().to_owned(),
        message: error.message.clone(),
        request_id: String::new(),
    })
}

const fn wanted(grant: Grant) -> V4Request {
    match grant {
        Grant::Addresses(count) => V4Request::Count(count as u32),
        Grant::Prefixes(count) => V4Request::PrefixCount(count as u32),
        // Nodes here have IPv4 alone.
        Grant::Ipv6Prefix => V4Request::Count(0),
    }
}

fn net(address: Ipv4Addr, length: u8) -> Ipv4Net {
    Ipv4Net::new(address, length).expect("lengths are at most 28")
}

fn launch(request: EniRequest, kind: &str) -> LaunchRequest {
    LaunchRequest {
        image: IMAGE.parse().expect("an id"),
        instance_type: kind.to_owned(),
        min_count: 1,
        max_count: 1,
        zone: None,
        zone_id: None,
        interfaces: vec![LaunchInterface {
            device_index: 0,
            network_card: 0,
            source: LaunchInterfaceSource::New(request),
            delete_on_termination: None,
            public_address: None,
        }],
        metadata: MetadataOptions::default(),
        profile: None,
        key_name: None,
        user_data: None,
        client_token: None,
        attributes: InstanceAttributes::default(),
        tags: Tags::new(),
    }
}
