use super::*;
use simple_dns::Question;

fn question(name: &str, kind: QTYPE) -> Vec<u8> {
    let mut query = Packet::new_query(7);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).unwrap();
    let class = QCLASS::CLASS(CLASS::IN);
    query
        .questions
        .push(Question::new(name, kind, class, false));
    query.build_bytes_vec().unwrap()
}

/// Id, response code, and the data of the answers.
fn said(reaction: &Reaction) -> (u16, RCODE, Vec<RData<'static>>) {
    let (Reaction::Answer(bytes) | Reaction::Forward { failure: bytes }) = reaction else {
        panic!("{reaction:?}")
    };
    let packet = Packet::parse(bytes).unwrap();
    assert!(packet.has_flags(PacketFlag::RESPONSE));
    let (id, code) = (packet.id(), packet.rcode());
    let data = packet.answers.into_iter().map(|record| {
        assert_eq!((record.class, record.ttl), (CLASS::IN, TTL));
        record.rdata.into_owned()
    });
    (id, code, data.collect())
}

#[test]
fn an_address_is_answered_to_who_asks_for_its_family() {
    let addresses: Vec<IpAddr> = vec!["10.0.1.4".parse().unwrap(), "fd00::4".parse().unwrap()];
    let (v4, v6) = (
        RData::A(A {
            address: 0x0a00_0104,
        }),
        RData::AAAA(AAAA::from("fd00::4".parse::<std::net::Ipv6Addr>().unwrap())),
    );
    let cases = [
        (TYPE::A.into(), vec![v4.clone()]),
        (TYPE::AAAA.into(), vec![v6.clone()]),
        (QTYPE::ANY, vec![v4, v6]),
        (TYPE::TXT.into(), vec![]),
    ];
    for (kind, data) in cases {
        let reaction = react(&question("a.ec2.internal", kind), |name| {
            assert_eq!(name, "a.ec2.internal");
            Resolution::Addresses(addresses.clone())
        });
        assert_eq!(said(&reaction), (7, RCODE::NoError, data), "{kind:?}");
    }
}

#[test]
fn each_resolution_has_its_reaction() {
    let ask = |resolution| react(&question("x", TYPE::PTR.into()), |_| resolution);
    let pointer = RData::PTR(PTR(Name::new("ip-10-0-1-4.ec2.internal").unwrap()));
    assert_eq!(
        said(&ask(Resolution::Name("ip-10-0-1-4.ec2.internal".into()))),
        (7, RCODE::NoError, vec![pointer])
    );
    assert_eq!(
        said(&ask(Resolution::NoSuchName)),
        (7, RCODE::NameError, vec![])
    );
    let forward = ask(Resolution::Elsewhere);
    assert!(matches!(forward, Reaction::Forward { .. }));
    assert_eq!(said(&forward), (7, RCODE::ServerFailure, vec![]));
    assert_eq!(ask(Resolution::Off), Reaction::Silence);
}

#[test]
fn what_is_no_question_is_refused_or_left_alone() {
    let nobody = |_: &str| -> Resolution { panic!("nothing to resolve") };
    let whole = question("a.b", TYPE::A.into());
    for length in 0..whole.len() {
        let reaction = react(&whole[..length], nobody);
        if length < 3 {
            assert_eq!(reaction, Reaction::Silence, "{length}");
        } else {
            assert_eq!(said(&reaction), (7, RCODE::FormatError, vec![]), "{length}");
        }
    }
    let answer = Packet::new_reply(7).build_bytes_vec().unwrap();
    assert_eq!(react(&answer, nobody), Reaction::Silence);
    let none = Packet::new_query(7).build_bytes_vec().unwrap();
    assert_eq!(said(&react(&none, nobody)), (7, RCODE::FormatError, vec![]));
}
