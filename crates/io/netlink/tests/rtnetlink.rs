//! The client against a real kernel, in namespaces of the test's own.
#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::{
    net::IpAddr,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use underlay_netlink::{
    Errno, Family, IfIndex, Socket,
    address::{self, Address},
    link::{self, Veth, VethEnd},
    neighbour::{self, Neighbour},
    netns,
    route::{self, Route},
    rule::{self, Rule},
    sysctl,
};
use underlay_types::{Class, Mac};

fn mac(serial: u64) -> Mac {
    Mac::local(serial)
}

/// Two namespaces joined by a veth: sockets in both, and the indices of the ends.
struct Pair {
    near: Socket,
    far: Socket,
    near_index: IfIndex,
    far_index: IfIndex,
}

fn pair() -> Pair {
    let (near, far) = (netns::create().unwrap(), netns::create().unwrap());
    let (mut near, far_socket) = (
        Socket::open_in(near.as_fd()).unwrap(),
        Socket::open_in(far.as_fd()).unwrap(),
    );
    let mut far_socket = far_socket;
    let near_end = VethEnd {
        mac: Some(mac(1)),
        mtu: Some(9001),
        group: 7,
        ..VethEnd::named("near0")
    };
    let far_end = VethEnd {
        mac: Some(mac(2)),
        mtu: Some(9001),
        netns: Some(far.as_fd()),
        ..VethEnd::named("eth0")
    };
    near.run(&[link::add_veth(&Veth {
        near: near_end,
        near_up: true,
        far: far_end,
    })])
    .unwrap();
    let near_index = link::by_name(&mut near, "near0").unwrap().index;
    let far_index = link::by_name(&mut far_socket, "eth0").unwrap().index;
    far_socket.run(&[link::set_up(far_index, true)]).unwrap();
    Pair {
        near,
        far: far_socket,
        near_index,
        far_index,
    }
}

#[test]
fn a_veth_is_born_as_asked_in_both_namespaces() {
    let mut pair = pair();
    let deadline = Instant::now() + Duration::from_secs(10);
    let near = loop {
        let near = link::by_mac(&mut pair.near, mac(1)).unwrap();
        if near.running || Instant::now() > deadline {
            break near;
        }
        std::thread::yield_now();
    };
    assert_eq!(
        (
            near.name.as_str(),
            near.mtu,
            near.group,
            near.up,
            near.running
        ),
        ("near0", 9001, 7, true, true)
    );
    assert_eq!(
        (near.kind.as_deref(), near.peer),
        (Some("veth"), Some(pair.far_index))
    );
    assert!(near.peer_is_elsewhere);
    let far = link::by_index(&mut pair.far, pair.far_index).unwrap();
    assert_eq!(
        (far.name.as_str(), far.mac, far.mtu, far.group),
        ("eth0", Some(mac(2)), 9001, 0)
    );
}

#[test]
fn links_change_name_address_mtu_and_namespace() {
    let mut pair = pair();
    let index = pair.near_index;
    let long = "eni-0123456789abcdef0";
    pair.near
        .run(&[
            link::set_up(index, false),
            link::rename(index, "ens6"),
            link::set_mac(index, mac(9)),
            link::set_mtu(index, 1500),
            link::set_group(index, 0),
            link::add_altname(index, long),
        ])
        .unwrap();
    let link = link::by_name(&mut pair.near, long).unwrap();
    assert_eq!(
        (
            link.name.as_str(),
            link.mac,
            link.mtu,
            link.group,
            link.up,
            link.altnames
        ),
        ("ens6", Some(mac(9)), 1500, 0, false, vec![long.to_owned()])
    );
    pair.near.run(&[link::delete_altname(index, long)]).unwrap();
    let third = netns::create().unwrap();
    pair.near
        .run(&[link::move_to(index, third.as_fd())])
        .unwrap();
    let gone = link::by_index(&mut pair.near, index).unwrap_err();
    assert_eq!((gone.errno, gone.class()), (Errno::NODEV, Class::NotFound));
    let mut there = Socket::open_in(third.as_fd()).unwrap();
    assert_eq!(link::by_name(&mut there, "ens6").unwrap().mac, Some(mac(9)));
}

#[test]
fn addresses_routes_rules_and_neighbours_read_back_as_written() {
    let mut pair = pair();
    let dev = pair.near_index;
    let gateway: IpAddr = "10.0.0.1".parse().unwrap();
    let own = Address::new(dev, "10.0.0.9/24".parse().unwrap());
    let pod = Route::direct("10.0.0.77/32".parse().unwrap(), dev, route::MAIN);
    let default = Route::via("0.0.0.0/0".parse().unwrap(), gateway, dev, 4242);
    let six = Route::direct("fd00::7/128".parse().unwrap(), dev, 4242);
    let six = Route {
        scope: route::Scope::Universe,
        metric: 1024,
        ..six
    };
    let mark = Rule::by_mark(Family::V4, 1000, 0x10_0000, 0xff0_0000, 4242);
    let neighbour = Neighbour::permanent(dev, "10.0.0.77".parse().unwrap(), mac(5));
    let socket = &mut pair.near;
    socket
        .run(&[
            address::add(&own),
            route::add(&pod),
            route::add(&default),
            route::add(&six),
            rule::add(&mark),
            neighbour::set(&neighbour),
        ])
        .unwrap();
    assert!(address::dump(socket).unwrap().contains(&own));
    let routes = route::dump(socket, Family::V4).unwrap();
    assert!(
        routes.contains(&pod) && routes.contains(&default),
        "{routes:?}"
    );
    assert!(route::dump(socket, Family::V6).unwrap().contains(&six));
    assert!(rule::dump(socket, Family::V4).unwrap().contains(&mark));
    assert!(
        neighbour::dump(socket, Family::V4)
            .unwrap()
            .contains(&neighbour)
    );

    let removals = [
        neighbour::delete(&neighbour),
        rule::delete(&mark),
        route::delete(&six),
        route::delete(&default),
        route::delete(&pod),
        address::delete(&own),
    ];
    socket.run(&removals).unwrap();
    for (answer, removal) in socket.run_each(&removals).into_iter().zip(&removals) {
        assert!(answer.unwrap_err().is_missing(), "{removal:?}");
    }
    socket
        .run(&removals.map(underlay_netlink::Request::or_missing))
        .unwrap();
}

#[test]
fn a_refused_request_carries_the_kernels_words_and_the_rest_still_runs() {
    let mut pair = pair();
    let dev = pair.near_index;
    let bad = Route::via(
        "10.9.0.0/16".parse().unwrap(),
        "10.0.0.1".parse().unwrap(),
        dev,
        254,
    )
    .without_onlink();
    let good = Route::direct("10.8.0.0/16".parse().unwrap(), dev, 254);
    let answers = pair
        .near
        .run_each(&[route::add(&bad), route::add(&good), route::add(&good)]);
    let refused = answers[0].clone().unwrap_err();
    assert_eq!(
        (refused.op, refused.errno),
        ("add route", Errno::NETUNREACH)
    );
    assert_eq!(refused.message, "Nexthop has invalid gateway");
    assert_eq!(answers[1], Ok(()));
    assert_eq!(answers[2].clone().unwrap_err().class(), Class::Conflict);
    pair.near
        .run(&[route::add(&good).or_exists(), route::replace(&good)])
        .unwrap();
}

#[test]
fn a_group_of_links_is_deleted_at_once() {
    let here = netns::create().unwrap();
    let mut socket = Socket::open_in(here.as_fd()).unwrap();
    let names: Vec<_> = (0..100)
        .map(|n| (format!("a{n}"), format!("b{n}")))
        .collect();
    let requests: Vec<_> = names
        .iter()
        .map(|(a, b)| {
            let near = VethEnd {
                group: 77,
                ..VethEnd::named(a)
            };
            link::add_veth(&Veth {
                near,
                near_up: false,
                far: VethEnd::named(b),
            })
        })
        .collect();
    socket.run(&requests).unwrap();
    assert_eq!(link::dump(&mut socket).unwrap().len(), 201);
    socket.run(&[link::delete_group(77)]).unwrap();
    assert_eq!(link::dump(&mut socket).unwrap().len(), 1);
    let again = socket.run(&[link::delete_group(77)]).unwrap_err();
    assert!(again.is_missing(), "{again}");
}

#[test]
fn namespaces_have_names_cookies_and_settings_of_their_own() {
    let name = format!("nl-test-{}", std::process::id());
    let netns = netns::create_named(&name).unwrap();
    assert_eq!(
        netns::bind(netns.as_fd(), &name).unwrap_err().class(),
        Class::Conflict
    );
    let reopened = netns::open_named(&name).unwrap();
    assert!(netns::is_same(netns.as_fd(), reopened.as_fd()));
    assert!(!netns::is_same(
        netns.as_fd(),
        netns::current().unwrap().as_fd()
    ));
    let cookie = netns::cookie(netns.as_fd()).unwrap();
    assert_ne!(
        cookie,
        netns::cookie(netns::current().unwrap().as_fd()).unwrap()
    );
    netns::run_in(netns.as_fd(), || {
        sysctl::write("ipv4/conf/lo/rp_filter", "2").unwrap();
        assert_eq!(sysctl::read("ipv4/conf/lo/rp_filter").unwrap(), "2");
    })
    .unwrap();
    netns::remove_named(&name).unwrap();
    netns::remove_named(&name).unwrap();
    assert_eq!(
        netns::open_named(&name).unwrap_err().class(),
        Class::NotFound
    );
}

#[test]
fn a_file_that_is_no_namespace_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = netns::open(file.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("(the file is not a network namespace)"),
        "{error}"
    );
    assert!(!netns::is_netns(
        std::fs::File::open("/dev/null").unwrap().as_fd()
    ));
    assert!(!netns::is_netns(
        std::fs::File::open("/proc/self/ns/mnt").unwrap().as_fd()
    ));
}
