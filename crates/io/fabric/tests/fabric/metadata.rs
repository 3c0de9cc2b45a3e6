//! Link-local services.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    time::Duration,
};

use underlay_fabric::FabricLimits;
use underlay_netlink::{
    address::{self, Address},
    link,
    link::{Veth, VethEnd},
    netns,
    route::{self, Route},
    sysctl,
};
use underlay_types::EniId;

use crate::{
    traffic::Outcome,
    world::{Instance, OPEN, World, ip},
};

const IMDS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// For what is expected to succeed, on a busy machine too.
const CONNECT: Duration = Duration::from_secs(5);
/// For answers, some of which must not come.
const PATIENCE: Duration = Duration::from_millis(500);

fn listen(world: &World) -> TcpListener {
    netns::run_in(world.fabric.services_netns(), || {
        TcpListener::bind((IMDS, 80)).unwrap()
    })
    .unwrap()
}

/// Connects, has the server answer with `ttl`, and says what came and who the server thinks asked.
fn ask(
    world: &World,
    listener: &TcpListener,
    client: impl FnOnce() -> std::io::Result<TcpStream> + Send,
    ttl: u32,
) -> (Outcome, Option<(EniId, IpAddr)>) {
    // The kernel completes the connection before it is accepted: who does not get through fails
    // here, and nobody waits for him.
    let mut client = client().unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    client.write_all(b"PUT").unwrap();
    server.read_exact(&mut [0; 3]).unwrap();
    server.set_ttl(ttl).unwrap();
    server.write_all(b"token").unwrap();
    let caller = world.fabric.caller(peer.ip()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    match client.read_exact(&mut [0; 5]) {
        Ok(()) => (Outcome::Answered, caller),
        Err(_) => (Outcome::Silence, caller),
    }
}

fn dial(instance: &Instance) -> std::io::Result<TcpStream> {
    instance.run(|| TcpStream::connect_timeout(&SocketAddr::from((IMDS, 80)), CONNECT))
}

#[test]
fn a_service_knows_its_caller_by_the_port_and_groups_and_logs_do_not_see_it() {
    let mut world = World::new();
    // No group allows anything.
    let one = world.instance("one", "10.0.1.10", &[]);
    let two = world.instance("two", "10.0.2.10", &[]);
    let listener = listen(&world);
    world.fabric.close_window().unwrap();
    for (name, eni, address) in [("one", &one, "10.0.1.10"), ("two", &two, "10.0.2.10")] {
        let answer = ask(&world, &listener, || dial(world.at(name)), 1);
        assert_eq!(
            answer,
            (Outcome::Answered, Some((eni.clone(), ip(address))))
        );
    }
    assert_eq!(world.fabric.close_window().unwrap().records, []);
    assert_eq!(world.fabric.caller(ip("100.64.200.1")).unwrap(), None);
    world.fabric.remove_ports(&[one]).unwrap();
    assert_eq!(world.fabric.caller(ip("100.64.0.1")).unwrap(), None);
}

#[test]
fn an_answer_with_one_hop_reaches_the_instance_and_dies_before_its_pods() {
    let mut world = World::new();
    let one = world.instance("one", "10.0.1.10", &[OPEN]);
    world.update("one", |port| port.addresses.push(ip("10.0.1.20")));
    let pod = pod_of(&world);
    let listener = listen(&world);
    let dial_from_pod = || {
        netns::run_in(pod.as_fd(), || {
            TcpStream::connect_timeout(&SocketAddr::from((IMDS, 80)), CONNECT)
        })
        .unwrap()
    };
    let caller = Some((one, ip("10.0.1.20")));
    assert_eq!(
        ask(&world, &listener, dial_from_pod, 2),
        (Outcome::Answered, caller.clone())
    );
    assert_eq!(
        ask(&world, &listener, dial_from_pod, 1),
        (Outcome::Silence, caller)
    );
}

#[test]
fn an_eni_with_any_number_of_source_addresses_leaves_the_services_to_others() {
    let mut world = World::new();
    world.instance("many", "10.0.1.10", &[]);
    let early = world.instance("early", "10.0.1.11", &[]);
    let late = world.instance("late", "10.0.1.12", &[]);
    world.update("many", |port| port.source_dest_check = false);
    let limits = FabricLimits {
        link_local_packets: u32::MAX,
        ..FabricLimits::default()
    };
    world.fabric.set_limits(&limits).unwrap();
    let listener = listen(&world);
    let asks = |name, eni: &EniId, address| {
        let answer = ask(&world, &listener, || dial(world.at(name)), 1);
        let caller = Some((eni.clone(), ip(address)));
        assert_eq!(answer, (Outcome::Answered, caller), "{name}");
    };
    asks("early", &early, "10.0.1.11");
    // Every address of 10.128/9 is the instance's own, so that its sockets may send from any.
    let path = format!("--net={}", world.at("many").path().display());
    let own = std::process::Command::new("nsenter")
        .args([&path, "ip", "route", "add", "local", "10.128.0.0/9"])
        .args(["dev", "lo"])
        .status()
        .unwrap();
    assert!(own.success());
    // As many as the tables hold, and more.
    let first = u32::from(Ipv4Addr::new(10, 128, 0, 1));
    world.at("many").run(|| {
        for address in first..first + 70_000 {
            let socket = UdpSocket::bind((Ipv4Addr::from(address), 0)).unwrap();
            socket.send_to(b"?", (IMDS, 9)).unwrap();
        }
    });
    assert!(world.counter("delivered-to-service") > 70_000);
    asks("early", &early, "10.0.1.11");
    asks("late", &late, "10.0.1.12");
}

/// A namespace behind the instance, with the address 10.0.1.20.
fn pod_of(world: &World) -> std::os::fd::OwnedFd {
    let pod = netns::create().unwrap();
    let instance = world.at("one");
    let mut socket = instance.socket();
    let far = VethEnd {
        netns: Some(pod.as_fd()),
        ..VethEnd::named("eth0")
    };
    let near = VethEnd::named("pod");
    socket
        .run(&[link::add_veth(&Veth {
            near,
            near_up: true,
            far,
        })])
        .unwrap();
    let dev = link::by_name(&mut socket, "pod").unwrap().index;
    let own = "10.0.1.20/32".parse().unwrap();
    socket
        .run(&[route::add(&Route::direct(own, dev, route::MAIN))])
        .unwrap();
    instance.run(|| {
        sysctl::write("ipv4/ip_forward", "1").unwrap();
        sysctl::write("ipv4/conf/pod/proxy_arp", "1").unwrap();
        sysctl::write("ipv4/neigh/pod/proxy_delay", "0").unwrap();
    });
    let mut inside = underlay_netlink::Socket::open_in(pod.as_fd()).unwrap();
    let dev = link::by_name(&mut inside, "eth0").unwrap().index;
    let gateway = ip("169.254.1.1");
    let default = Route::via("0.0.0.0/0".parse().unwrap(), gateway, dev, route::MAIN);
    inside
        .run(&[
            link::set_up(dev, true),
            address::add(&Address::new(dev, own)),
            route::add(&default),
        ])
        .unwrap();
    pod
}
