//! DNS and time, as an instance asks for them.

use std::{
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsFd,
    thread,
    time::Duration,
};

use simple_dns::{CLASS, Name, Packet, QCLASS, Question, RCODE, TYPE, rdata::RData};
use underlay_netlink::netns;

use crate::run::{Run, namespace};

const PATIENCE: Duration = Duration::from_secs(5);

/// Sends `message` from `from` and answers what came back.
fn ask(from: &str, to: (Ipv4Addr, u16), message: &[u8]) -> Vec<u8> {
    netns::run_in(namespace(from).as_fd(), || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(message).unwrap();
        let mut answer = vec![0; 1500];
        let length = socket.recv(&mut answer).unwrap();
        answer.truncate(length);
        answer
    })
    .unwrap()
}

fn question(name: &str, kind: TYPE) -> Vec<u8> {
    let mut query = Packet::new_query(4711);
    let name = Name::new(name).unwrap();
    let class = QCLASS::CLASS(CLASS::IN);
    query
        .questions
        .push(Question::new(name, kind.into(), class, false));
    query.build_bytes_vec().unwrap()
}

/// The response code and the answers, as text.
fn resolve(from: &str, resolver: Ipv4Addr, name: &str, kind: TYPE) -> (RCODE, Vec<String>) {
    let answer = ask(from, (resolver, 53), &question(name, kind));
    let packet = Packet::parse(&answer).unwrap();
    let text = |data: &RData<'_>| match data {
        RData::A(a) => Ipv4Addr::from(a.address).to_string(),
        RData::PTR(name) => name.0.to_string(),
        other => format!("{other:?}"),
    };
    let answers = packet.answers.iter().map(|record| text(&record.rdata));
    (packet.rcode(), answers.collect())
}

const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

#[test]
fn the_resolver_knows_the_vpcs_names_and_sends_others_upstream() {
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, peer)) = upstream.recv_from(&mut buffer) {
            let mut reply = Packet::parse(&buffer[..length]).unwrap().into_reply();
            *reply.rcode_mut() = RCODE::Refused;
            let reply = reply.build_bytes_vec().unwrap();
            upstream.send_to(&reply, peer).unwrap();
        }
    });
    let run = Run::start_with(&["--dns-upstream", &address]);
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (one, _) = run.ec2.instance(&subnet);
    let (two, ip) = run.ec2.instance(&subnet);
    let name = format!("ip-{}.ec2.internal", ip.replace('.', "-"));
    let found = |data: &str| (RCODE::NoError, vec![data.to_owned()]);
    let reverse: Vec<_> = ip.rsplit('.').collect();
    let reverse = format!("{}.in-addr.arpa", reverse.join("."));
    let cases = [
        (name.as_str(), TYPE::A, found(&ip)),
        (&format!("{two}.ec2.internal"), TYPE::A, found(&ip)),
        (&reverse, TYPE::PTR, found(&name)),
        (
            "ip-10-0-1-99.ec2.internal",
            TYPE::A,
            (RCODE::NameError, vec![]),
        ),
        ("example.com", TYPE::A, (RCODE::Refused, vec![])),
    ];
    for (name, kind, wanted) in cases {
        for resolver in [LINK_LOCAL, Ipv4Addr::new(10, 0, 0, 2)] {
            assert_eq!(resolve(&one, resolver, name, kind), wanted, "{name}");
        }
    }
}

#[test]
fn a_foreign_name_without_upstream_is_a_failure() {
    let run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (instance, _) = run.ec2.instance(&subnet);
    assert_eq!(
        resolve(&instance, LINK_LOCAL, "example.com", TYPE::A),
        (RCODE::ServerFailure, vec![])
    );
}

#[test]
fn the_time_is_the_servers() {
    let run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (instance, _) = run.ec2.instance(&subnet);
    let mut question = [0; 48];
    question[0] = 0x23;
    let seconds = || {
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
    };
    let before = seconds();
    let ntp = (Ipv4Addr::new(169, 254, 169, 123), 123);
    let answer = ask(&instance, ntp, &question);
    let after = seconds();
    let said = u32::from_be_bytes(answer[40..44].try_into().unwrap());
    let said = u64::from(said) - 2_208_988_800;
    assert!((before..=after).contains(&said), "{before} {said} {after}");
}
