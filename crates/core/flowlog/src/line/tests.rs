use proptest::prelude::*;
use underlay_types::Timestamp;

use super::*;
use crate::{Action, EniNetwork, FlowKey, TcpFlags, TrafficPath, Way};

/// An ENI with primary address 10.0.1.4 in subnet 10.0.1.0/24 of VPC 10.0.0.0/16.
pub(crate) fn facts() -> EniFacts {
    EniFacts {
        id: "eni-0123456789abcdef0".parse().unwrap(),
        account: "123456789012".parse().unwrap(),
        primary_v4: Some("10.0.1.4".parse().unwrap()),
        primary_v6: None,
        instance: Some("i-0123456789abcdef0".parse().unwrap()),
        nitro: true,
        interface_type: "interface".into(),
        network: EniNetwork {
            vpc: "vpc-0123456789abcdef0".parse().unwrap(),
            vpc_cidrs: vec!["10.0.0.0/16".parse().unwrap()],
            subnet: "subnet-0123456789abcdef0".parse().unwrap(),
            subnet_v4: Some("10.0.1.0/24".parse().unwrap()),
            region: "us-east-1".into(),
            az_id: "use1-az1".into(),
            ways: vec![Way {
                destination: "0.0.0.0/0".parse().unwrap(),
                through: Some(TrafficPath::InternetGateway),
            }],
            services: vec![("8.8.8.0/24".parse().unwrap(), "AMAZON".into())],
        },
    }
}

/// An accepted flow out of the ENI.
pub(crate) fn flow(src: &str, dst: &str, protocol: u8, src_port: u16, dst_port: u16) -> FlowKey {
    FlowKey {
        direction: Direction::Egress,
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
        src_port,
        dst_port,
        protocol,
        action: Action::Accept,
    }
}

fn record(key: FlowKey) -> FlowRecord {
    FlowRecord {
        key,
        packets: 20,
        bytes: 4249,
        first: Timestamp::from_nanos(1_418_530_010_900_000_000),
        last: Timestamp::from_secs(1_418_530_070),
        tcp_flags: TcpFlags::of_packet(0x12),
    }
}

fn window(outcome: Outcome) -> EniWindow {
    EniWindow {
        facts: facts(),
        start: Timestamp::from_secs(1_418_530_010),
        end: Timestamp::from_secs(1_418_530_070),
        outcome,
    }
}

fn lines(format: &str, records: &[FlowKey]) -> Vec<String> {
    let records = records.iter().copied().map(record).collect();
    format.parse::<Format>().unwrap().lines(
        &window(Outcome::Flows {
            records,
            skipped: 0,
        }),
        TrafficType::All,
    )
}

const PODS: &str = "${version} ${interface-id} ${flow-direction} ${srcaddr} ${dstaddr} \
    ${pkt-srcaddr} ${pkt-dstaddr} ${pkt-dst-aws-service} ${traffic-path}";

#[test]
fn the_default_line_carries_the_primary_address_on_the_enis_own_side() {
    let format = Format::default().to_string();
    let out = flow("10.0.1.77", "10.0.2.9", 6, 49761, 443);
    let back = FlowKey {
        direction: Direction::Ingress,
        action: Action::Reject,
        ..flow("10.0.2.9", "10.0.1.77", 6, 443, 49761)
    };
    assert_eq!(
        lines(&format, &[out, back]),
        [
            "2 123456789012 eni-0123456789abcdef0 10.0.1.4 10.0.2.9 49761 443 6 20 4249 \
             1418530010 1418530070 ACCEPT OK",
            "2 123456789012 eni-0123456789abcdef0 10.0.2.9 10.0.1.4 443 49761 6 20 4249 \
             1418530010 1418530070 REJECT OK",
        ]
    );
}

#[test]
fn packet_addresses_are_the_pods_own() {
    let out = flow("10.0.1.77", "10.0.2.9", 6, 49761, 443);
    let back = FlowKey {
        direction: Direction::Ingress,
        ..flow("10.0.2.9", "10.0.1.77", 6, 443, 49761)
    };
    let away = flow("10.0.1.77", "8.8.8.8", 17, 4000, 53);
    assert_eq!(
        lines(PODS, &[out, back, away]),
        [
            "5 eni-0123456789abcdef0 egress 10.0.1.4 10.0.2.9 10.0.1.77 10.0.2.9 - 1",
            "5 eni-0123456789abcdef0 ingress 10.0.2.9 10.0.1.4 10.0.2.9 10.0.1.77 - -",
            "5 eni-0123456789abcdef0 egress 10.0.1.4 8.8.8.8 10.0.1.77 8.8.8.8 AMAZON 8",
        ]
    );
}

#[test]
fn every_documented_field_has_its_value_or_a_dash() {
    let names: Vec<_> = Field::ALL
        .iter()
        .map(|field| format!("${{{field}}}"))
        .collect();
    let values = lines(
        &names.join(" "),
        &[flow("10.0.1.77", "10.0.2.9", 6, 49761, 443)],
    );
    assert_eq!(
        values,
        [
            "11 123456789012 eni-0123456789abcdef0 10.0.1.4 10.0.2.9 49761 443 6 20 4249 1418530010 \
          1418530070 ACCEPT OK vpc-0123456789abcdef0 subnet-0123456789abcdef0 \
          i-0123456789abcdef0 18 IPv4 10.0.1.77 10.0.2.9 us-east-1 use1-az1 - - - - egress 1 \
          - - - - - - - - - - - - - - - - - - - interface - - - - -"
        ]
    );
}

#[test]
fn icmp_has_ports_zero_and_an_unattached_eni_has_no_instance() {
    let mut window = window(Outcome::Flows {
        records: vec![record(flow("10.0.1.4", "10.0.2.9", 1, 0, 0))],
        skipped: 0,
    });
    window.facts.instance = None;
    let format: Format = "${srcport} ${dstport} ${protocol} ${instance-id}"
        .parse()
        .unwrap();
    assert_eq!(format.lines(&window, TrafficType::All), ["0 0 1 -"]);
}

#[test]
fn ipv6_flows_show_their_own_address_unless_the_eni_has_one() {
    let format: Format = "${srcaddr} ${pkt-srcaddr} ${type}".parse().unwrap();
    let mut window = window(Outcome::Flows {
        records: vec![record(flow("2001:db8::7", "2001:db8::9", 6, 1, 2))],
        skipped: 0,
    });
    assert_eq!(
        format.lines(&window, TrafficType::All),
        ["2001:db8::7 2001:db8::7 IPv6"]
    );
    window.facts.primary_v6 = Some("2001:db8::4".parse().unwrap());
    assert_eq!(
        format.lines(&window, TrafficType::All),
        ["2001:db8::4 2001:db8::7 IPv6"]
    );
}

#[test]
fn silence_is_a_nodata_line_and_loss_a_skipdata_line() {
    let format = Format::default();
    assert_eq!(
        format.lines(&window(Outcome::NoData), TrafficType::Reject),
        ["2 123456789012 eni-0123456789abcdef0 - - - - - - - 1418530010 1418530070 - NODATA"]
    );
    let lossy = window(Outcome::Flows {
        records: Vec::new(),
        skipped: 3,
    });
    assert_eq!(
        format.lines(&lossy, TrafficType::All),
        ["2 123456789012 eni-0123456789abcdef0 - - - - - - - 1418530010 1418530070 - SKIPDATA"]
    );
}

#[test]
fn the_traffic_type_chooses_lines() {
    let accepted = record(flow("10.0.1.4", "10.0.2.9", 6, 1, 2));
    let mut rejected = accepted;
    rejected.key.action = Action::Reject;
    let window = window(Outcome::Flows {
        records: vec![accepted, rejected],
        skipped: 0,
    });
    let format: Format = "${action}".parse().unwrap();
    assert_eq!(format.lines(&window, TrafficType::Accept), ["ACCEPT"]);
    assert_eq!(format.lines(&window, TrafficType::Reject), ["REJECT"]);
    assert_eq!(
        format.lines(&window, TrafficType::All),
        ["ACCEPT", "REJECT"]
    );
}

#[test]
fn a_line_with_another_number_of_values_is_refused() {
    let format = Format::default();
    assert_eq!(
        Line::parse(&format, "2 123456789012")
            .unwrap_err()
            .to_string(),
        "2 values in line \"2 123456789012\", but its format has 14 fields"
    );
}

proptest! {
    #[test]
    fn own_lines_are_read_back(
        src in any::<[u8; 4]>(), dst in any::<[u8; 4]>(), ports in any::<(u16, u16)>(),
        protocol in any::<u8>(), packets in any::<u64>(), bytes in any::<u64>(),
        secs in 0_u64..1 << 33, length in 0_u64..600, raw_flags in any::<u8>(),
        egress in any::<bool>(), accept in any::<bool>(),
        fields in proptest::sample::subsequence(Field::ALL, 1..=54).prop_shuffle(),
    ) {
        let key = FlowKey {
            direction: if egress { Direction::Egress } else { Direction::Ingress },
            src: src.into(), dst: dst.into(), src_port: ports.0, dst_port: ports.1, protocol,
            action: if accept { Action::Accept } else { Action::Reject },
        };
        let record = FlowRecord {
            key, packets, bytes,
            first: Timestamp::from_secs(secs), last: Timestamp::from_secs(secs + length),
            tcp_flags: TcpFlags::of_packet(raw_flags),
        };
        let header: Vec<_> = fields.iter().map(|field| field.name()).collect();
        let format = Format::from_header(&header.join(" ")).unwrap();
        let lines = format.lines(
            &window(Outcome::Flows { records: vec![record], skipped: 0 }), TrafficType::All);
        prop_assert_eq!(lines.len(), 1);
        let line = Line::parse(&format, &lines[0]).unwrap();
        for (field, expected) in [
            (Field::PktSrcAddr, key.src.to_string()), (Field::PktDstAddr, key.dst.to_string()),
            (Field::SrcPort, ports.0.to_string()), (Field::DstPort, ports.1.to_string()),
            (Field::Protocol, protocol.to_string()), (Field::Packets, packets.to_string()),
            (Field::Bytes, bytes.to_string()), (Field::Start, secs.to_string()),
            (Field::End, (secs + length).to_string()), (Field::Action, key.action.to_string()),
            (Field::TcpFlags, record.tcp_flags.bits().to_string()),
            (Field::FlowDirection, key.direction.to_string()),
        ] {
            let expected = fields.contains(&field).then_some(expected);
            prop_assert_eq!(line.value(field).map(str::to_owned), expected);
        }
    }
}
