//! Internet and NAT gateways, and the world outside.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket, sockopt,
    sockopt::Timeout,
};
use underlay_fabric::{
    Action, Direction, FabricLimits, PortConfig, Route, RouteTarget, Subnet, TrackingAllowance,
    TrackingTimeouts,
};
use underlay_netlink::{netns, sysctl};
use underlay_types::{EniId, Mac, RouteTableId, VpcId};

use crate::{
    traffic::{Outcome, bulk, connect, say, serve, tcp, udp},
    world::{B, Instance, OPEN, World, block, eni, ip},
};

pub(crate) const SOMEBODY: &str = "203.0.113.9";
const PATIENCE: Duration = Duration::from_millis(500);

fn vpc() -> VpcId {
    "vpc-00000001".parse().unwrap()
}

fn v4(text: &str) -> std::net::Ipv4Addr {
    text.parse().unwrap()
}

fn to_internet(target: RouteTarget) -> Route {
    let mut route = Route::new(block("0.0.0.0/0"), target);
    route.mtu = underlay_fabric::INTERNET_MTU;
    route
}

fn outside<T: Send>(world: &World, work: impl FnOnce() -> T + Send) -> T {
    netns::run_in(world.fabric.outside_netns(), work).unwrap()
}

/// Who listens outside on any address answers with the address that it sees, over UDP and TCP.
fn tell_peers(world: &World, port: u16) {
    let (udp, tcp) = outside(world, || {
        let any = SocketAddr::from(([0, 0, 0, 0], port));
        (
            UdpSocket::bind((SOMEBODY, port)).unwrap(),
            TcpListener::bind(any).unwrap(),
        )
    });
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((_, from)) = udp.recv_from(&mut buffer) {
            udp.send_to(from.to_string().as_bytes(), from).ok();
        }
    });
    thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let from = stream.peer_addr().unwrap().to_string();
            thread::spawn(move || {
                let mut buffer = vec![0; 1 << 17];
                let Ok(length) = stream.read(&mut buffer) else {
                    return;
                };
                if &buffer[..length] == b"who?" {
                    stream.write_all(from.as_bytes()).ok();
                    return;
                }
                stream.write_all(&buffer[..length]).ok();
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..length]).ok();
                }
            });
        }
    });
}

/// As whom somebody outside sees a datagram of the instance; `None` when nothing comes back.
fn seen_as(instance: &Instance, from: u16) -> Option<SocketAddr> {
    let socket = instance.run(|| UdpSocket::bind(("0.0.0.0", from)).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect((SOMEBODY, 7)).unwrap();
    socket.send(b"who?").unwrap();
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer).ok()?;
    Some(
        std::str::from_utf8(&answer[..length])
            .unwrap()
            .parse()
            .unwrap(),
    )
}

/// Connects from outside, and says a word to the echo there.
fn from_outside(world: &World, to: (IpAddr, u16)) -> Outcome {
    let dialled = outside(world, || {
        TcpStream::connect_timeout(&SocketAddr::from(to), PATIENCE)
    });
    match dialled {
        Ok(mut stream) => {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            say(&mut stream)
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => Outcome::Silence,
        Err(error) => Outcome::Refused(error.kind()),
    }
}

fn with_internet() -> World {
    let mut world = World::new();
    world.routes(&[to_internet(RouteTarget::Internet)]);
    let pool = block("198.18.0.0/15");
    world.fabric.route_from_outside(pool).unwrap();
    world.instance("one", "10.0.1.10", &[OPEN]);
    serve(world.at("one"), 7);
    tell_peers(&world, 7);
    world
}

fn give(world: &mut World, public: &str, private: &str) {
    let owner = vpc();
    world
        .fabric
        .set_public_address(v4(public), Some((&owner, v4(private))))
        .unwrap();
}

#[test]
fn a_public_address_stands_for_a_private_one_in_both_directions() {
    let mut world = with_internet();
    assert_eq!(seen_as(world.at("one"), 4000), None);
    assert_eq!(world.counter("drop-no-public-address"), 1);
    give(&mut world, "198.18.0.10", "10.0.1.10");
    let seen = seen_as(world.at("one"), 4000);
    assert_eq!(seen, Some("198.18.0.10:4000".parse().unwrap()));
    assert_eq!(tcp(world.at("one"), (ip(SOMEBODY), 7)), Outcome::Answered);
    bulk(world.at("one"), (ip(SOMEBODY), 7), 4);
    assert_eq!(
        from_outside(&world, (ip("198.18.0.10"), 7)),
        Outcome::Answered
    );
    // It moves to another private address, and then to nobody.
    world.update("one", |port| port.addresses.push(ip("10.0.1.20")));
    give(&mut world, "198.18.0.10", "10.0.1.20");
    assert_eq!(seen_as(world.at("one"), 4001), None);
    world
        .fabric
        .set_public_address(v4("198.18.0.10"), None)
        .unwrap();
    assert_eq!(
        from_outside(&world, (ip("198.18.0.10"), 7)),
        Outcome::Silence
    );
}

#[test]
fn what_comes_from_outside_obeys_the_groups_and_errors_find_their_flow() {
    let mut world = with_internet();
    world.rules(
        "sg-000000bb",
        vec![],
        vec![crate::world::allow(
            underlay_fabric::Protocol::Any,
            crate::world::anywhere(),
        )],
    );
    world.update("one", |port| {
        port.groups = vec![crate::world::group("sg-000000bb")];
    });
    give(&mut world, "198.18.0.10", "10.0.1.10");
    assert_eq!(
        from_outside(&world, (ip("198.18.0.10"), 7)),
        Outcome::Silence
    );
    // Nobody listens there: the answer is ICMP about a datagram of the public address.
    assert_eq!(
        udp(world.at("one"), (ip(SOMEBODY), 9)),
        Outcome::Refused(ErrorKind::ConnectionRefused)
    );
}

#[test]
fn two_public_addresses_meet_without_leaving_the_region() {
    let mut world = with_internet();
    world.instance("two", "10.0.2.20", &[OPEN]);
    give(&mut world, "198.18.0.10", "10.0.1.10");
    give(&mut world, "198.18.0.20", "10.0.2.20");
    assert_eq!(
        tcp(world.at("two"), (ip("198.18.0.10"), 7)),
        Outcome::Answered
    );
    assert_eq!(world.counter("delivered-to-outside"), 0);
}

/// Instances in 10.0.1.0/24 whose way out is a NAT gateway 10.0.2.100 in 10.0.2.0/24.
fn with_nat() -> (World, EniId) {
    behind_nat(World::new())
}

/// The same in a world that is empty yet.
pub(crate) fn behind_nat(mut world: World) -> (World, EniId) {
    let public: RouteTableId = "rtb-00000002".parse().unwrap();
    let subnet = Subnet {
        vpc: vpc(),
        blocks: vec![block("10.0.2.0/24")],
        route_table: public.clone(),
        acl: None,
        resolver: None,
    };
    world
        .fabric
        .set_subnet(&B.parse().unwrap(), subnet)
        .unwrap();
    let local = Route::new(block("10.0.0.0/16"), RouteTarget::Local);
    let routes = [local, to_internet(RouteTarget::Internet)];
    world.fabric.set_routes(&public, &routes).unwrap();
    let nat = eni(900);
    let config = PortConfig {
        eni: nat.clone(),
        mac: Mac::local(900),
        subnet: B.parse().unwrap(),
        addresses: vec![ip("10.0.2.100")],
        prefixes: Vec::new(),
        source_dest_check: false,
        groups: Vec::new(),
        timeouts: TrackingTimeouts::default(),
        allowance: TrackingAllowance::default(),
    };
    world.fabric.add_nat_gateway(config).unwrap();
    world.routes(&[to_internet(RouteTarget::Nat(nat.clone()))]);
    world
        .fabric
        .route_from_outside(block("198.18.0.0/15"))
        .unwrap();
    give(&mut world, "198.18.0.100", "10.0.2.100");
    tell_peers(&world, 7);
    world.instance("one", "10.0.1.10", &[OPEN]);
    world.instance("two", "10.0.1.11", &[OPEN]);
    (world, nat)
}

#[test]
fn flows_of_many_leave_by_the_gateways_address_from_ports_of_their_own() {
    let (world, _) = with_nat();
    let (one, two) = (
        seen_as(world.at("one"), 4000).unwrap(),
        seen_as(world.at("two"), 4000).unwrap(),
    );
    for seen in [one, two] {
        assert_eq!(seen.ip(), ip("198.18.0.100"));
        assert!(seen.port() >= 1024, "{seen}");
    }
    assert_ne!(one, two);
    assert_eq!(
        seen_as(world.at("one"), 4000),
        Some(one),
        "a flow keeps its port"
    );
    assert_eq!(tcp(world.at("one"), (ip(SOMEBODY), 7)), Outcome::Answered);
    bulk(world.at("two"), (ip(SOMEBODY), 7), 4);
    assert!(ping(world.at("one"), 32));
    assert_eq!(
        udp(world.at("one"), (ip(SOMEBODY), 9)),
        Outcome::Refused(ErrorKind::ConnectionRefused),
        "an error about a translated datagram comes back to who sent it"
    );
}

#[test]
fn nobody_outside_begins_a_flow_through_nat() {
    let (world, _) = with_nat();
    serve(world.at("one"), 7);
    assert_eq!(
        from_outside(&world, (ip("198.18.0.100"), 7)),
        Outcome::Silence
    );
    assert!(world.counter("drop-nat-no-flow") > 0);
}

#[test]
fn a_connection_that_was_idle_for_too_long_is_reset_and_another_opens() {
    let (mut world, _) = with_nat();
    let mut stream = connect(world.at("one"), (ip(SOMEBODY), 7)).unwrap();
    assert_eq!(say(&mut stream), Outcome::Answered);
    let short = FabricLimits {
        nat_idle: Duration::ZERO,
        ..FabricLimits::default()
    };
    world.fabric.set_limits(&short).unwrap();
    assert_eq!(
        say(&mut stream),
        Outcome::Refused(ErrorKind::ConnectionReset)
    );
    assert_eq!(world.counter("nat-resets"), 1);
    world.fabric.set_limits(&FabricLimits::default()).unwrap();
    assert_eq!(tcp(world.at("one"), (ip(SOMEBODY), 7)), Outcome::Answered);
}

#[test]
fn a_gateway_takes_fragments_of_udp_only() {
    let (world, _) = with_nat();
    // More than the device takes at once, so that the sender's own stack cuts it.
    let sent = world.at("one").run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect((SOMEBODY, 7)).unwrap();
        socket.send(&[7; 12_000]).unwrap();
        socket.recv(&mut [0; 64]).is_ok()
    });
    assert!(sent);
    assert_eq!(world.counter("drop-fragment"), 0);
    assert!(!ping(world.at("one"), 12_000));
    assert_eq!(world.counter("drop-fragment"), 2);
}

/// Whether somebody outside answers an ICMP echo with so many bytes.
fn ping(instance: &Instance, size: usize) -> bool {
    instance.run(|| {
        sysctl::write("ipv4/ping_group_range", "0 0").unwrap();
        let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
        let socket = socket(family, kind, Some(ipproto::ICMP)).unwrap();
        let to: SocketAddr = (ip(SOMEBODY), 0).into();
        sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).unwrap();
        let mut echo = vec![0; 8 + size];
        echo[0] = 8;
        sendto(&socket, &echo, SendFlags::empty(), &to).unwrap();
        recv(&socket, &mut echo[..], RecvFlags::empty()).is_ok()
    })
}

#[test]
fn the_gateways_interface_has_records_of_both_sides() {
    let (mut world, nat) = with_nat();
    world.fabric.close_window().unwrap();
    let seen = seen_as(world.at("one"), 4000).unwrap();
    let records = world.fabric.close_window().unwrap().records;
    let of_nat = records.iter().filter(|record| record.eni == nat);
    let lines: Vec<_> = of_nat
        .map(|record| {
            assert_eq!((record.action, record.packets), (Action::Accept, 1));
            let ends = [
                SocketAddr::from((record.source, record.source_port)),
                SocketAddr::from((record.destination, record.destination_port)),
            ];
            (record.direction, ends.map(|end| end.to_string()))
        })
        .collect();
    let line = |direction, from: &str, to: &str| (direction, [from.to_owned(), to.to_owned()]);
    let own = format!("10.0.2.100:{}", seen.port());
    let mut wanted = vec![
        line(Direction::Ingress, "10.0.1.10:4000", "203.0.113.9:7"),
        line(Direction::Egress, &own, "203.0.113.9:7"),
        line(Direction::Ingress, "203.0.113.9:7", &own),
        line(Direction::Egress, "203.0.113.9:7", "10.0.1.10:4000"),
    ];
    wanted.sort();
    let mut lines = lines;
    lines.sort();
    assert_eq!(lines, wanted);
}
