//! EC2: the modelled VPC with one instance, its faults, and its answers as the agent's client reads
//! them.

mod faults;
mod request;
mod shape;

pub(crate) use self::{
    request::{NewEni, Request},
    shape::holding,
};

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;

use underlay_ipam::{Ec2Failure, Grant, Holding, ObservedEni, Site, Subnet, SubnetRule, Subnets};
use underlay_types::{
    AttachmentId, Class, EniId, InstanceId, PoolKey, Refusal, SecurityGroupId, SecurityGroupSet,
    SubnetId, Timestamp, VpcId,
};
use underlay_vpc_model::{
    AddressOrder, Admission, Budgets, CallFacts, Ec2Error, Eni, EniRequest, Fate,
    InstanceAttributes, LaunchInterface, LaunchInterfaceSource, LaunchRequest, Listed as _,
    MetadataOptions, Model, ModelConfig, Preset, SubnetRequest, Tags, Treatment, V4Request,
    V6Request,
};

use crate::setting::Setting;

/// What a call that worked answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Assigned(Holding),
    Attached(AttachmentId),
    Created(Box<Seen>),
    Done,
    Seen(Vec<Seen>),
    Subnets(Vec<Subnet>),
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
    pub(crate) vpc: VpcId,
    /// The node's own first; with others, the last is full.
    pub(crate) subnets: Vec<SubnetId>,
    pub(crate) primary: EniId,
    /// The primary ENI's group, then one for each explicit set.
    pub(crate) groups: Vec<SecurityGroupId>,
    /// Whose addresses fill the last subnet.
    pub(crate) born: Option<EniId>,
    /// Addresses of the subnets that were free before the node did anything.
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
        let (vpc, subnets) = networks(&mut model, setting, now);
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
            ..EniRequest::new(subnets[0].clone())
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
        let born = fill_last(&mut model, &subnets);
        faults::switch_on(setting, &mut model, &mut admission, now);
        let free = subnets
            .iter()
            .map(|subnet| model.available_addresses(subnet));
        Self {
            free_at_first: free.sum(),
            model,
            admission,
            instance,
            vpc,
            subnets,
            born,
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
                return Ok(Reply::Assigned(assign(model, eni, *grant, now)?));
            }
            Request::Attach { eni, place } => {
                let (index, card) = (place.index.into(), place.card.into());
                let attached = model.attach(eni, &self.instance, index, card, now)?;
                return Ok(Reply::Attached(attached));
            }
            Request::Create(new) => {
                let id = self.create(new, now)?;
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
            Request::DescribeSubnets => return Ok(Reply::Subnets(self.read_subnets())),
            Request::SetDeleteOnTermination { eni, attachment } => {
                model.set_delete_on_termination(eni, attachment, true)?;
            }
            Request::Unassign {
                eni,
                addresses,
                prefixes,
            } => model.unassign(eni, addresses, prefixes, now)?,
            Request::UnassignIpv6 { eni, prefixes } => {
                model.unassign_v6(eni, &[], prefixes, now)?;
            }
        }
        Ok(Reply::Done)
    }

    fn read(&self, enis: Vec<&Eni>) -> Vec<Seen> {
        let read = |eni| shape::read(eni, &self.instance, &self.primary);
        enis.into_iter().map(read).collect()
    }

    fn read_subnets(&self) -> Vec<Subnet> {
        let subnets = self.subnets.iter().filter_map(|id| self.model.subnet(id));
        let read = |subnet: &underlay_vpc_model::Subnet| Subnet {
            id: subnet.id.clone(),
            block: subnet.cidr,
            ipv6: true,
            free: self.model.available_addresses(&subnet.id),
            tags: BTreeMap::new(),
        };
        subnets.map(read).collect()
    }

    /// Free addresses of each subnet.
    pub(crate) fn free(&self) -> impl Iterator<Item = u32> {
        let subnets = self.subnets.iter();
        subnets.map(|subnet| self.model.available_addresses(subnet))
    }

    /// The choice of subnets that an agent here makes.
    pub(crate) fn choice(&self) -> Subnets {
        let rule = if self.subnets.len() > 1 {
            SubnetRule::Ids(self.subnets.iter().cloned().collect())
        } else {
            SubnetRule::Node
        };
        let node = self.subnets[0].clone();
        let own = self.model.subnet(&node).expect("it was created");
        let (block, zone) = (own.cidr, own.zone.name.clone());
        let site = Site {
            vpc: self.vpc.clone(),
            zone,
            subnet: node,
        };
        Subnets::new(rule, site, block, true)
    }

    /// A repeated call with one token makes one ENI.
    fn create(&mut self, new: &NewEni, now: Timestamp) -> Result<EniId, Ec2Error> {
        const ACTION: &str = "CreateNetworkInterface";
        let NewEni {
            pool,
            subnet,
            grant,
            ipv6_prefix,
            token,
        } = new;
        let parameters = format!("{pool} {subnet} {grant} {ipv6_prefix}");
        if let Some([made]) = self.model.recall(ACTION, token, &parameters)? {
            return Ok(made.parse().expect("the model wrote an id"));
        }
        let request = EniRequest {
            v4: wanted(*grant),
            v6: ipv6_prefix.then_some(V6Request::PrefixCount(1)),
            groups: self.groups_of(pool).as_slice().to_vec(),
            tags: shape::tags(&self.instance, pool),
            ..EniRequest::new(subnet.clone())
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
        Grant::Addresses(0) => V4Request::Nothing,
        Grant::Addresses(count) => V4Request::Count(count as u32),
        Grant::Prefixes(count) => V4Request::PrefixCount(count as u32),
        Grant::Ipv6Prefix => V4Request::Nothing,
    }
}

fn assign(
    model: &mut Model,
    eni: &EniId,
    grant: Grant,
    now: Timestamp,
) -> Result<Holding, Ec2Error> {
    if grant == Grant::Ipv6Prefix {
        let assigned = model.assign_v6(eni, &V6Request::PrefixCount(1), now)?;
        return Ok(Holding {
            ipv6_prefixes: assigned.prefixes,
            ..Holding::default()
        });
    }
    let assigned = model.assign(eni, &wanted(grant), false, now)?;
    Ok(Holding {
        addresses: assigned.addresses,
        prefixes: assigned.prefixes,
        ..Holding::default()
    })
}

/// The VPC and the node's subnet, and the others in its zone.
fn networks(model: &mut Model, setting: &Setting, now: Timestamp) -> (VpcId, Vec<SubnetId>) {
    let block = net(Ipv4Addr::new(10, 0, 0, 0), 16);
    let vpc = model
        .create_dual_stack_vpc(block, Tags::new(), now)
        .expect("an empty account takes a VPC");
    let own = model.vpc(&vpc).and_then(|vpc| vpc.v6_blocks().next());
    let blocks = own.into_iter().flat_map(|own| own.subnets(64)).flatten();
    let subnets = (0..setting.subnets).zip(blocks).map(|(number, v6)| {
        let request = SubnetRequest {
            vpc: vpc.clone(),
            cidr: net(Ipv4Addr::new(10, 0, number * 16, 0), setting.subnet_length),
            v6: Some(v6),
            zone: None,
            tags: Tags::new(),
        };
        let made = model.create_subnet_with(request, now);
        made.expect("an empty VPC takes subnets")
    });
    let subnets = subnets.collect();
    (vpc, subnets)
}

/// Somebody has all of the last subnet, where there are several.
fn fill_last(model: &mut Model, subnets: &[SubnetId]) -> Option<EniId> {
    let full = subnets.last().filter(|_| subnets.len() > 1)?;
    let all = model.available_addresses(full);
    let request = EniRequest {
        v4: V4Request::Count(all.saturating_sub(1)),
        ..EniRequest::new(full.clone())
    };
    let made = model.create_eni(&request);
    Some(made.expect("an empty subnet takes one"))
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
