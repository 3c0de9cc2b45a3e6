//! The life of a port's device.

use underlay_fabric::FabricError;
use underlay_netlink::{link, netns};

use crate::{
    traffic::{Outcome, serve, udp},
    world::{OPEN, World, ip},
};

#[test]
fn a_device_arrives_down_with_its_mac_and_the_eni_id_as_further_name() {
    let mut world = World::new();
    world.instance("one", "10.0.1.10", &[OPEN]);
    let mut port = world.at("one").port.clone();
    port.eni = crate::world::eni(900);
    port.mac = underlay_types::Mac::local(900);
    port.addresses = vec![ip("10.0.1.50")];
    let path = world.at("one").path();
    // The name is taken by the first ENI: the next free one is used.
    assert_eq!(
        world.fabric.add_port(port.clone(), &path, 0).unwrap(),
        "eth1"
    );
    let link = link::by_mac(&mut world.at("one").socket(), port.mac).unwrap();
    assert_eq!(
        (link.name.as_str(), link.altnames.clone(), link.mtu, link.up),
        ("eth1", vec![port.eni.to_string()], 9001, false)
    );
    let again = world.fabric.add_port(port.clone(), &path, 0);
    assert!(matches!(again, Err(FabricError::AlreadyPort(_))));
    world.fabric.remove_ports(&[port.eni.clone()]).unwrap();
    assert!(
        link::by_mac(&mut world.at("one").socket(), port.mac)
            .unwrap_err()
            .is_missing()
    );
    assert!(matches!(
        world.fabric.update_port(port),
        Err(FabricError::UnknownPort(_))
    ));
}

#[test]
fn a_port_that_cannot_be_made_leaves_nothing() {
    let mut world = World::new();
    world.instance("one", "10.0.1.10", &[OPEN]);
    let mut port = world.at("one").port.clone();
    port.eni = crate::world::eni(900);
    let missing = std::path::Path::new("/run/netns/there-is-no-such-namespace");
    let error = world.fabric.add_port(port.clone(), missing, 0).unwrap_err();
    assert!(matches!(error, FabricError::Target { .. }), "{error:?}");
    port.subnet = "subnet-0000000c".parse().unwrap();
    let path = world.at("one").path();
    let error = world.fabric.add_port(port, &path, 0).unwrap_err();
    assert!(
        matches!(error, FabricError::UnknownSubnet { .. }),
        "{error:?}"
    );
    assert_eq!(world.fabric.lost_ports().unwrap(), []);
}

#[test]
fn a_removed_port_is_unreachable_and_its_device_is_gone() {
    let mut world = World::new();
    let one = world.instance("one", "10.0.1.10", &[OPEN]);
    world.instance("two", "10.0.1.11", &[OPEN]);
    serve(world.at("one"), 7);
    assert_eq!(
        udp(world.at("two"), (ip("10.0.1.10"), 7)),
        Outcome::Answered
    );
    world.fabric.remove_ports(&[one]).unwrap();
    assert_eq!(udp(world.at("two"), (ip("10.0.1.10"), 7)), Outcome::Silence);
    let links = link::dump(&mut world.at("one").socket()).unwrap();
    let names: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["lo"]);
}

#[test]
fn a_device_that_died_with_a_pods_namespace_comes_back_in_the_instance() {
    let mut world = World::new();
    let one = world.instance("one", "10.0.1.10", &[OPEN]);
    world.instance("two", "10.0.1.11", &[OPEN]);
    serve(world.at("one"), 7);
    let pod = netns::create().unwrap();
    let mut socket = world.at("one").socket();
    let dev = link::by_name(&mut socket, "eth0").unwrap().index;
    socket
        .run(&[link::move_to(dev, std::os::fd::AsFd::as_fd(&pod))])
        .unwrap();
    assert_eq!(world.fabric.lost_ports().unwrap(), [], "moved is not lost");
    drop(pod);
    // A namespace is taken apart in the background.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while world.fabric.lost_ports().unwrap().is_empty() {
        assert!(
            std::time::Instant::now() < deadline,
            "the pod's namespace stays"
        );
        std::thread::yield_now();
    }
    assert_eq!(
        world.fabric.lost_ports().unwrap(),
        std::slice::from_ref(&one)
    );
    assert_eq!(world.fabric.restore_port(&one).unwrap(), "eth0");
    assert_eq!(world.fabric.lost_ports().unwrap(), []);
    let mut socket = world.at("one").socket();
    let link = link::by_name(&mut socket, "eth0").unwrap();
    assert_eq!((link.mac, link.up), (Some(world.at("one").port.mac), false));
    world.at("one").configure(ip("10.0.1.10"));
    assert_eq!(
        udp(world.at("two"), (ip("10.0.1.10"), 7)),
        Outcome::Answered
    );
}

#[test]
fn the_fabric_takes_its_namespaces_and_devices_with_it() {
    let mut world = World::new();
    world.instance("one", "10.0.1.10", &[OPEN]);
    let prefix = format!("{world_name:?}", world_name = world.fabric);
    let name = prefix.split('"').nth(1).unwrap().to_owned();
    assert!(netns::open_named(&name).is_ok());
    world.destroy("one");
    drop(world);
    assert!(netns::open_named(&name).unwrap_err().is_missing());
}
