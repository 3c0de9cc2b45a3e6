//! Security group rules on the wire.

use ipnet::{Ipv4Net, Ipv6Net};
use underlay_types::{PrefixListId, SecurityGroupId};
use underlay_vpc_model::{
    Ec2Error, ErrorCode, Model, PortRange, Rule, RuleDirection, RulePeer, RuleSpec, RuleTraffic,
    SecurityGroup,
};

use super::{params::Params, tags::write_tags, xml::Xml};

/// What traffic a rule allows, as EC2 writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireTraffic {
    /// `-1`, `tcp`, `udp`, `icmp`, `icmpv6` or a number.
    pub(super) protocol: String,
    /// The lowest port, the ICMP type, or -1.
    pub(super) from: i64,
    /// The highest port, the ICMP code, or -1.
    pub(super) to: i64,
}

impl WireTraffic {
    /// As EC2 writes it.
    pub(super) fn of(traffic: RuleTraffic) -> Self {
        let wire = |protocol: &str, from: i64, to: i64| Self {
            protocol: protocol.to_owned(),
            from,
            to,
        };
        let any = |number: Option<u8>| number.map_or(-1, i64::from);
        match traffic {
            RuleTraffic::All => wire("-1", -1, -1),
            RuleTraffic::Icmp { kind, code } => wire("icmp", any(kind), any(code)),
            RuleTraffic::Icmpv6 { kind, code } => wire("icmpv6", any(kind), any(code)),
            RuleTraffic::Protocol(number) => wire(&number.to_string(), -1, -1),
            RuleTraffic::Tcp(ports) => wire("tcp", ports.from.into(), ports.to.into()),
            RuleTraffic::Udp(ports) => wire("udp", ports.from.into(), ports.to.into()),
        }
    }
}

/// Takes the rules of `IpPermissions.N`, or of the flat parameters.
///
/// # Errors
/// `InvalidParameterValue` for protocols, ports and blocks that are none;
/// `InvalidPermission.Malformed`; those of the parameters.
pub(super) fn take_specs(params: &mut Params) -> Result<Vec<RuleSpec>, Ec2Error> {
    let listed = params.structures("IpPermissions", take_permission)?;
    let mut specs: Vec<_> = listed.into_iter().flatten().collect();
    if let Some(cidr) = params.parsed::<Ipv4Net>("CidrIp")? {
        let peer = RulePeer::Ipv4(cidr);
        specs.push(RuleSpec {
            traffic: take_traffic(params)?,
            peer,
            description: None,
        });
    }
    Ok(specs)
}

fn take_permission(params: &mut Params) -> Result<Vec<RuleSpec>, Ec2Error> {
    let traffic = take_traffic(params)?;
    let described = |p: &mut Params, peer| {
        Ok(RuleSpec {
            traffic,
            peer,
            description: take_description(p)?,
        })
    };
    let mut specs = params.structures("IpRanges", |p| {
        let block: Ipv4Net = p.required_parsed("CidrIp")?;
        described(p, RulePeer::Ipv4(block))
    })?;
    specs.extend(params.structures("Ipv6Ranges", |p| {
        let block: Ipv6Net = p.required_parsed("CidrIpv6")?;
        described(p, RulePeer::Ipv6(block))
    })?);
    specs.extend(params.structures("Groups", |p| {
        let group: SecurityGroupId = p.id("GroupId")?;
        // The account's own is the only one there is, and the rest follows from the id.
        for known in ["UserId", "VpcId", "VpcPeeringConnectionId", "PeeringStatus"] {
            p.text(known);
        }
        described(p, RulePeer::Group(group))
    })?);
    specs.extend(params.structures("PrefixListIds", |p| {
        let list: PrefixListId = p.id("PrefixListId")?;
        described(p, RulePeer::PrefixList(list))
    })?);
    if specs.is_empty() {
        let text = "A permission must name at least one IP range, group or prefix list";
        return Err(Ec2Error::new(ErrorCode::InvalidPermissionMalformed, text));
    }
    Ok(specs)
}

/// Takes the description of a rule: up to 255 letters, digits, spaces and
/// `._-:/()#,@[]+=&;{}!$*`.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn take_description(params: &mut Params) -> Result<Option<String>, Ec2Error> {
    let Some(text) = params.text("Description").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    if text.chars().count() > 255 {
        Err(params.invalid("Description", "of more than 255 characters"))
    } else if text.chars().all(allowed) {
        Ok(Some(text))
    } else {
        let text = "Invalid rule description. Valid descriptions are strings less than 256 \
                    characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*";
        Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
    }
}

/// Takes protocol and ports, or ICMP type and code.
///
/// # Errors
/// `InvalidParameterValue` for what is none; `MissingParameter`.
pub(super) fn take_traffic(params: &mut Params) -> Result<RuleTraffic, Ec2Error> {
    let protocol = params.required("IpProtocol")?;
    let from: Option<i64> = params.parsed("FromPort")?;
    let to: Option<i64> = params.parsed("ToPort")?;
    let number = match protocol.to_ascii_lowercase().as_str() {
        "-1" | "all" => return Ok(RuleTraffic::All),
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "icmpv6" => 58,
        text => text
            .parse::<u8>()
            .map_err(|_unparsable| params.invalid("IpProtocol", &protocol))?,
    };
    match number {
        1 if from.is_none() || to.is_none() => {
            let text =
                "Invalid value 'Must specify both from and to ports with ICMP.' for portRange.";
            Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
        }
        1 => icmp(params, from, to).map(|(kind, code)| RuleTraffic::Icmp { kind, code }),
        58 => icmp(params, from, to).map(|(kind, code)| RuleTraffic::Icmpv6 { kind, code }),
        6 => ports(from, to).map(RuleTraffic::Tcp),
        17 => ports(from, to).map(RuleTraffic::Udp),
        other => Ok(RuleTraffic::Protocol(other)),
    }
}

/// A type and a code. -1 stands for any; of any type there is no one code.
fn icmp(
    params: &Params,
    kind: Option<i64>,
    code: Option<i64>,
) -> Result<(Option<u8>, Option<u8>), Ec2Error> {
    let part = |name, number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(number) => u8::try_from(number)
            .map(Some)
            .map_err(|_too_large| params.invalid(name, number)),
    };
    match (part("FromPort", kind)?, part("ToPort", code)?) {
        (None, Some(code)) => Err(params.invalid("ToPort", code)),
        both => Ok(both),
    }
}

fn ports(from: Option<i64>, to: Option<i64>) -> Result<PortRange, Ec2Error> {
    let (from, to) = match (from, to) {
        (Some(-1), Some(-1)) => (0, 65_535),
        (Some(from), Some(to)) => (from, to),
        _ => {
            let text =
                "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
    };
    match (u16::try_from(from), u16::try_from(to)) {
        (Ok(from), Ok(to)) if from <= to => Ok(PortRange { from, to }),
        _ => {
            let text = format!(
                "Invalid value '{from}-{to}' for portRange: 0 to 65535 in ascending order."
            );
            Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
        }
    }
}

/// Writes a rule as DescribeSecurityGroupRules does.
pub(super) fn write_rule(xml: &mut Xml, model: &Model, group: &SecurityGroup, rule: &Rule) {
    let wire = WireTraffic::of(rule.traffic);
    let config = model.config();
    xml.leaf("securityGroupRuleId", &rule.id);
    xml.leaf("groupId", &group.id);
    xml.leaf("groupOwnerId", &config.account);
    xml.leaf("isEgress", rule.direction == RuleDirection::Egress);
    xml.leaf("ipProtocol", wire.protocol);
    xml.leaf("fromPort", wire.from);
    xml.leaf("toPort", wire.to);
    match &rule.peer {
        RulePeer::Ipv4(block) => xml.leaf("cidrIpv4", block),
        RulePeer::Ipv6(block) => xml.leaf("cidrIpv6", block),
        RulePeer::Group(id) => xml.tree("referencedGroupInfo", |xml| {
            write_peer_group(xml, model, group, id, true);
        }),
        RulePeer::PrefixList(id) => xml.leaf("prefixListId", id),
    }
    xml.optional("description", rule.description.as_ref());
    let (region, account) = (&config.region, &config.account);
    let arn = format!(
        "arn:aws:ec2:{region}:{account}:security-group-rule/{}",
        rule.id
    );
    xml.leaf("securityGroupRuleArn", arn);
    write_tags(xml, &rule.tags);
}

/// Writes a group's rules of one direction: those of the same traffic together, as EC2 does.
pub(super) fn write_permissions(
    xml: &mut Xml,
    model: &Model,
    name: &str,
    group: &SecurityGroup,
    direction: RuleDirection,
) {
    let rules: Vec<_> = group.rules_of(direction).collect();
    write_grouped(xml, model, name, group, &rules);
}

/// Writes some rules of a group: those of the same traffic together.
pub(super) fn write_grouped(
    xml: &mut Xml,
    model: &Model,
    name: &str,
    group: &SecurityGroup,
    rules: &[&Rule],
) {
    let mut permissions: Vec<(RuleTraffic, Vec<&Rule>)> = Vec::new();
    for rule in rules {
        match permissions
            .iter_mut()
            .find(|(traffic, _)| *traffic == rule.traffic)
        {
            Some((_, rules)) => rules.push(rule),
            None => permissions.push((rule.traffic, vec![rule])),
        }
    }
    xml.items(name, permissions, |xml, (traffic, rules)| {
        let wire = WireTraffic::of(traffic);
        xml.leaf("ipProtocol", wire.protocol);
        if traffic.protocol().is_some() {
            xml.leaf("fromPort", wire.from);
            xml.leaf("toPort", wire.to);
        }
        write_peers(xml, model, group, &rules);
    });
}

fn write_peers(xml: &mut Xml, model: &Model, group: &SecurityGroup, rules: &[&Rule]) {
    let groups = rules
        .iter()
        .filter(|rule| matches!(rule.peer, RulePeer::Group(_)));
    xml.items("groups", groups, |xml, rule| {
        if let RulePeer::Group(id) = &rule.peer {
            write_peer_group(xml, model, group, id, false);
        }
        xml.optional("description", rule.description.as_ref());
    });
    let v4 = rules
        .iter()
        .filter(|rule| matches!(rule.peer, RulePeer::Ipv4(_)));
    xml.items("ipRanges", v4, |xml, rule| {
        xml.leaf("cidrIp", peer_text(rule));
        xml.optional("description", rule.description.as_ref());
    });
    let v6 = rules
        .iter()
        .filter(|rule| matches!(rule.peer, RulePeer::Ipv6(_)));
    xml.items("ipv6Ranges", v6, |xml, rule| {
        xml.leaf("cidrIpv6", peer_text(rule));
        xml.optional("description", rule.description.as_ref());
    });
    let lists = rules
        .iter()
        .filter(|rule| matches!(rule.peer, RulePeer::PrefixList(_)));
    xml.items("prefixListIds", lists, |xml, rule| {
        xml.leaf("prefixListId", peer_text(rule));
        xml.optional("description", rule.description.as_ref());
    });
}

/// Writes a group that a rule names. The VPC of one in a peered VPC is always shown; that of one
/// that is gone is not known any more.
fn write_peer_group(
    xml: &mut Xml,
    model: &Model,
    group: &SecurityGroup,
    id: &SecurityGroupId,
    with_vpc: bool,
) {
    xml.leaf("groupId", id);
    xml.leaf("userId", &model.config().account);
    let vpc = model.group(id).map(|peer| &peer.vpc);
    let across = vpc.filter(|vpc| *vpc != &group.vpc);
    xml.optional("vpcId", if with_vpc { vpc } else { across });
    let Some(across) = across else { return };
    let joined = model
        .peerings()
        .filter(|each| each.peer_of(&group.vpc) == Some(across));
    if let Some(peering) = joined.max_by_key(|each| each.is_active()) {
        xml.leaf("vpcPeeringConnectionId", &peering.id);
        xml.leaf("peeringStatus", peering.state.as_str());
    }
}

fn peer_text(rule: &Rule) -> String {
    match &rule.peer {
        RulePeer::Ipv4(block) => block.to_string(),
        RulePeer::Ipv6(block) => block.to_string(),
        RulePeer::Group(id) => id.to_string(),
        RulePeer::PrefixList(id) => id.to_string(),
    }
}
