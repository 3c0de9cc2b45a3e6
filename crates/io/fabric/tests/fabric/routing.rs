//! Route tables.

use underlay_fabric::{Route, RouteTarget};

use crate::{
    traffic::{Outcome, serve, tcp, udp},
    world::{OPEN, World, block, ip},
};

fn world() -> World {
    let mut world = World::new();
    world.instance("client", "10.0.1.10", &[OPEN]);
    world.instance("server", "10.0.2.10", &[OPEN]);
    serve(world.at("server"), 7);
    world
}

#[test]
fn a_blackhole_that_is_more_specific_wins_until_it_goes() {
    let mut world = world();
    let to = (ip("10.0.2.10"), 7);
    assert_eq!(udp(world.at("client"), to), Outcome::Answered);
    world.routes(&[Route::new(block("10.0.2.0/24"), RouteTarget::Blackhole)]);
    assert_eq!(udp(world.at("client"), to), Outcome::Silence);
    assert_eq!(world.counter("drop-blackhole"), 1);
    world.routes(&[]);
    assert_eq!(udp(world.at("client"), to), Outcome::Answered);
}

#[test]
fn a_destination_without_route_is_dropped() {
    let world = world();
    assert_eq!(
        udp(world.at("client"), (ip("192.0.2.1"), 7)),
        Outcome::Silence
    );
    assert_eq!(world.counter("drop-no-route"), 1);
}

#[test]
fn a_route_to_an_eni_needs_its_destination_check_off() {
    let mut world = world();
    let eni = world.at("server").port.eni.clone();
    let outside = "198.51.100.7";
    world.routes(&[Route::new(block("198.51.100.0/24"), RouteTarget::Eni(eni))]);
    world.at("server").add_address(outside);
    assert_eq!(tcp(world.at("client"), (ip(outside), 7)), Outcome::Silence);
    assert!(world.counter("drop-dest-check") > 0);
    world.update("server", |port| port.source_dest_check = false);
    assert_eq!(tcp(world.at("client"), (ip(outside), 7)), Outcome::Answered);
}

#[test]
fn an_address_that_moves_to_another_eni_is_followed() {
    let mut world = world();
    world.instance("second", "10.0.2.11", &[OPEN]);
    serve(world.at("second"), 7);
    world.at("server").add_address("10.0.2.50");
    world.at("second").add_address("10.0.2.50");
    world.update("server", |port| port.addresses.push(ip("10.0.2.50")));
    let ask = |world: &World| tcp(world.at("client"), (ip("10.0.2.50"), 7));
    assert_eq!(ask(&world), Outcome::Answered);
    // Told of the new owner first and of the old one's loss later, the fabric ends up right.
    world.update("second", |port| port.addresses.push(ip("10.0.2.50")));
    world.update("server", |port| port.addresses.truncate(1));
    assert_eq!(ask(&world), Outcome::Answered);
    world.update("second", |port| port.addresses.truncate(1));
    assert_eq!(ask(&world), Outcome::Silence);
}
