//! Objects of the plan as requests to the kernel.

use std::net::IpAddr;

use underlay_netlink::{
    IfIndex, Request,
    neighbour::{self, Neighbour},
    nft::{Element, Value},
    route::{self, Kind, Scope},
    rule::{self, Rule},
};
use underlay_netplan::{
    Object, Route, RuleOfBefore, Target,
    numbers::{
        ENI_MARK_MASK, NFT_ENI, NFT_POD_EXPLICIT, NFT_POD_MARK, NFT_POD_MARK_V6, NFT_POD_POLICY,
        NFT_TABLE, rule_priority,
    },
};

use underlay_types::Family;

/// The metric of a route that is asked last.
pub(super) const LAST: u32 = u32::MAX;

/// What the kernel is asked for an object.
pub(super) enum Wanted {
    /// An element of an nftables set.
    Element(Element),
    /// Nothing by netlink: the programs are asked.
    Nothing,
    /// Requests to add and to remove.
    Requests(Request, Request),
}

/// Translates an object whose device, if it has one, has the index `index`. Adding what is there
/// and removing what is not succeed.
pub(super) fn wanted(object: &Object, index: IfIndex) -> Wanted {
    match object {
        Object::Branch { .. } | Object::Tags { .. } => Wanted::Nothing,
        Object::Eni { .. } => Wanted::Element(element(NFT_ENI, key(index), Value::None)),
        Object::Neighbour { address, mac, .. } => {
            let neighbour = Neighbour::permanent(index, *address, *mac);
            let (set, delete) = (neighbour::set(&neighbour), neighbour::delete(&neighbour));
            Wanted::Requests(set, delete.or_missing())
        }
        Object::PodExplicit { .. } => {
            Wanted::Element(element(NFT_POD_EXPLICIT, key(index), Value::None))
        }
        Object::PodMark { address, mark, .. } => {
            let mut key = key(index);
            key.extend(octets(*address));
            let map = mark_map(Family::of(*address));
            Wanted::Element(element(map, key, Value::Number(*mark)))
        }
        Object::PodPolicy { chain, .. } => {
            let value = Value::Jump(chain.clone());
            Wanted::Element(element(NFT_POD_POLICY, key(index), value))
        }
        Object::Route(route) => {
            let route = route_of(route, index);
            // Replaced, since a stale route to the same address may be in the way.
            // Whoever added it, and however: somebody else's is in the way, too.
            let whoevers = route::Route {
                protocol: 0,
                scope: Scope::Other(255),
                ..route
            };
            Wanted::Requests(
                route::replace(&route),
                route::delete(&whoevers).or_missing(),
            )
        }
        Object::Rule { .. } | Object::RuleOfBefore(_) | Object::Step { .. } => rule_of(object)
            .map_or(Wanted::Nothing, |rule| {
                Wanted::Requests(
                    rule::add(&rule).or_exists(),
                    rule::delete(&rule).or_missing(),
                )
            }),
    }
}

/// The rule that an object is.
fn rule_of(object: &Object) -> Option<Rule> {
    match object {
        Object::Rule {
            family,
            mark,
            table,
        } => {
            let priority = rule_priority(*mark, *table);
            Some(Rule::by_mark(
                *family,
                priority,
                *mark,
                ENI_MARK_MASK,
                *table,
            ))
        }
        Object::RuleOfBefore(before) => {
            let RuleOfBefore {
                family,
                priority,
                mark,
                mask,
                table,
            } = *before;
            Some(Rule::by_mark(family, priority, mark, mask, table))
        }
        Object::Step {
            family,
            priority,
            mark,
            mask,
            to,
        } => {
            let step = to.map_or(rule::Step::Next, rule::Step::Goto);
            Some(Rule::on(*family, *priority, (*mark, *mask), step))
        }
        _ => None,
    }
}

fn route_of(route: &Route, index: IfIndex) -> route::Route {
    let destination = route.destination;
    match &route.target {
        Target::Device(_) => route::Route::direct(destination, index, route.table),
        Target::Router { router, .. } => {
            route::Route::via(destination, *router, index, route.table)
        }
        Target::Unreachable => route::Route {
            kind: Kind::Unreachable,
            scope: Scope::Universe,
            dev: None,
            metric: LAST,
            ..route::Route::direct(destination, index, route.table)
        },
    }
}

fn mark_map(family: Family) -> &'static str {
    match family {
        Family::V4 => NFT_POD_MARK,
        Family::V6 => NFT_POD_MARK_V6,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn key(index: IfIndex) -> Vec<u8> {
    index.0.to_ne_bytes().to_vec()
}

fn element(set: &str, key: Vec<u8>, value: Value) -> Element {
    Element {
        table: NFT_TABLE.to_owned(),
        set: set.to_owned(),
        key,
        value,
    }
}
