//! What stands in the node's kernel, in the words of the plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use underlay_netlink::{
    Family, IfIndex, KernelError,
    link::{self, Link},
    neighbour,
    nft::{Element, Value},
    route::{self, Kind},
    rule,
};
use underlay_netplan::{
    Object, Route, RuleOfBefore, Target,
    devices::Device,
    numbers::{
        ENI_MARK_MASK, MAIN_TABLE, NFT_ENI, NFT_POD_EXPLICIT, NFT_POD_MARK, NFT_POD_MARK_V6,
        NFT_POD_POLICY, NFT_TABLE, POD_GROUP, RETIRED_GROUP, is_own_table, is_rule_of_before,
        is_step, rule_priority,
    },
};

use super::workers::Context;

/// Everything of ours that stands in the node's kernel.
pub(super) struct Observed {
    /// Objects, with `#index` for devices that are gone.
    pub(super) objects: BTreeSet<Object>,
    /// Devices of pods that are not retired.
    pub(super) pod_devices: BTreeMap<String, Link>,
    /// All devices.
    pub(super) devices: Vec<Device>,
}

impl Observed {
    /// Reads the kernel.
    pub(super) fn read(context: &mut Context) -> Result<Self, KernelError> {
        // Elements before devices: an element whose device is not found was orphaned for sure.
        let sets = [
            NFT_ENI,
            NFT_POD_MARK,
            NFT_POD_MARK_V6,
            NFT_POD_EXPLICIT,
            NFT_POD_POLICY,
        ];
        let mut elements = Vec::new();
        for set in sets {
            match context.nft.elements(NFT_TABLE, set) {
                Ok(found) => elements.extend(found),
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        let (mut routes, mut rules, mut neighbours) = (Vec::new(), Vec::new(), Vec::new());
        for family in [Family::V4, Family::V6] {
            routes.extend(route::dump(&mut context.socket, family)?);
            rules.extend(rule::dump(&mut context.socket, family)?);
            neighbours.extend(neighbour::dump(&mut context.socket, family)?);
        }
        let links = Links::read(context)?;
        let of_elements = elements.iter().filter_map(|element| links.element(element));
        let of_routes = routes.iter().filter_map(|route| links.route(route));
        let of_rules = rules.iter().filter_map(rule_object);
        let of_neighbours = neighbours.iter().filter_map(|found| links.neighbour(found));
        let of_programs = context.objects_of_programs(&links.others())?;
        Ok(Self {
            objects: of_elements
                .chain(of_routes)
                .chain(of_rules)
                .chain(of_neighbours)
                .chain(of_programs)
                .collect(),
            pod_devices: links.pods(),
            devices: links.0.into_values().map(device).collect(),
        })
    }
}

fn device(link: Link) -> Device {
    Device {
        index: link.index.0,
        name: link.name,
        mac: link.mac,
        mtu: link.mtu,
        group: link.group,
        up: link.up,
    }
}

/// The devices by index.
struct Links(BTreeMap<IfIndex, Link>);

impl Links {
    fn read(context: &mut Context) -> Result<Self, KernelError> {
        let links = link::dump(&mut context.socket)?;
        Ok(Self(
            links.into_iter().map(|link| (link.index, link)).collect(),
        ))
    }

    fn name(&self, index: IfIndex) -> String {
        self.0
            .get(&index)
            .map_or_else(|| index.to_string(), |link| link.name.clone())
    }

    fn is_ours(&self, index: IfIndex) -> bool {
        let link = self.0.get(&index);
        link.is_some_and(|link| link.group == POD_GROUP || link.group == RETIRED_GROUP)
    }

    /// Devices that are not pods'.
    fn others(&self) -> Vec<(IfIndex, String)> {
        let others = self.0.iter().filter(|(index, _)| !self.is_ours(**index));
        others
            .map(|(index, link)| (*index, link.name.clone()))
            .collect()
    }

    fn pods(&self) -> BTreeMap<String, Link> {
        let pods = self.0.values().filter(|link| link.group == POD_GROUP);
        pods.map(|link| (link.name.clone(), link.clone())).collect()
    }

    fn element(&self, element: &Element) -> Option<Object> {
        let (index, rest) = element.key.split_at_checked(4)?;
        let device = self.name(IfIndex(u32::from_ne_bytes(index.try_into().ok()?)));
        match (element.set.as_str(), &element.value) {
            (NFT_ENI, _) => Some(Object::Eni { device }),
            (NFT_POD_EXPLICIT, _) => Some(Object::PodExplicit { device }),
            (NFT_POD_MARK | NFT_POD_MARK_V6, Value::Number(mark)) => {
                let address = address_of(rest)?;
                Some(Object::PodMark {
                    device,
                    address,
                    mark: *mark,
                })
            }
            (NFT_POD_POLICY, Value::Jump(chain)) => Some(Object::PodPolicy {
                device,
                chain: chain.clone(),
            }),
            _ => None,
        }
    }

    fn route(&self, route: &route::Route) -> Option<Object> {
        let is_in_own_table = is_own_table(route.table);
        let of_pod = route.table == MAIN_TABLE && route.dev.is_some_and(|dev| self.is_ours(dev));
        // The kernel gives every device a route of its link by itself.
        if !is_in_own_table && !of_pod || is_link_local(route.destination.addr()) {
            return None;
        }
        let target = match (route.kind, route.dev, route.gateway) {
            (Kind::Unicast, Some(dev), None) => Target::Device(self.name(dev)),
            (Kind::Unicast, Some(dev), Some(router)) => Target::Router {
                device: self.name(dev),
                router,
            },
            (Kind::Unreachable, ..) => Target::Unreachable,
            _ => return None,
        };
        Some(Object::Route(Route {
            table: route.table,
            destination: route.destination,
            target,
        }))
    }

    fn neighbour(&self, found: &neighbour::Neighbour) -> Option<Object> {
        match (found.address, found.mac) {
            (address, Some(mac)) if found.permanent && self.is_ours(found.dev) => {
                Some(Object::Neighbour {
                    device: self.name(found.dev),
                    address,
                    mac,
                })
            }
            _ => None,
        }
    }
}

/// Whether an address is one that devices have for their own link, of IPv6.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// An address of either family, by the number of its bytes.
fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes))))
        .ok()
}

fn rule_object(rule: &rule::Rule) -> Option<Object> {
    if let Some(step) = rule.step {
        let (mark, mask) = rule.mark.unwrap_or_default();
        return is_step(rule.priority).then_some(Object::Step {
            family: rule.family,
            priority: rule.priority,
            mark,
            mask,
            to: match step {
                rule::Step::Goto(to) => Some(to),
                rule::Step::Next => None,
            },
        });
    }
    let (mark, mask) = rule.mark?;
    if is_rule_of_before(rule.priority, (mark, mask), rule.table) {
        return Some(Object::RuleOfBefore(RuleOfBefore {
            family: rule.family,
            priority: rule.priority,
            mark,
            mask,
            table: rule.table,
        }));
    }
    let is_ours = is_own_table(rule.table) && rule.priority == rule_priority(mark, rule.table);
    (is_ours && mask == ENI_MARK_MASK).then_some(Object::Rule {
        family: rule.family,
        mark,
        table: rule.table,
    })
}
