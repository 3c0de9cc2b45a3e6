//! Actions on network ACLs.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_types::{NetworkAclAssociationId, NetworkAclId, VpcId};
use underlay_vpc_model::{
    AclAction, AclDirection, AclTraffic, Ec2Error, ErrorCode, Model, NetworkAcl, NetworkAclEntry,
    PortRange,
};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::FilterTable,
    keys::Keys,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<NetworkAcl> = FilterTable {
    fields: &[
        ("association.association-id", |_, acl| {
            let held = acl.associations.iter();
            held.map(|each| each.id.to_string()).collect()
        }),
        ("association.network-acl-id", |_, acl| {
            let held = acl.associations.iter();
            held.map(|_| acl.id.to_string()).collect()
        }),
        ("association.subnet-id", |_, acl| {
            let held = acl.associations.iter();
            held.map(|each| each.subnet.to_string()).collect()
        }),
        ("default", |_, acl| vec![acl.is_default.to_string()]),
        ("entry.cidr", |_, acl| {
            entries(acl, |each| match each.cidr {
                IpNet::V4(block) => Some(block.to_string()),
                IpNet::V6(_) => None,
            })
        }),
        ("entry.egress", |_, acl| {
            entries(acl, |each| Some(is_egress(each).to_string()))
        }),
        ("entry.icmp.code", |_, acl| {
            entries(acl, |each| Some(icmp(each)?.1.to_string()))
        }),
        ("entry.icmp.type", |_, acl| {
            entries(acl, |each| Some(icmp(each)?.0.to_string()))
        }),
        ("entry.ipv6-cidr", |_, acl| {
            entries(acl, |each| match each.cidr {
                IpNet::V4(_) => None,
                IpNet::V6(block) => Some(block.to_string()),
            })
        }),
        ("entry.port-range.from", |_, acl| {
            entries(acl, |each| Some(ports(each)?.from.to_string()))
        }),
        ("entry.port-range.to", |_, acl| {
            entries(acl, |each| Some(ports(each)?.to.to_string()))
        }),
        ("entry.protocol", |_, acl| {
            entries(acl, |each| {
                Some(match each.traffic {
                    AclTraffic::Icmp { .. } => "icmp".to_owned(),
                    AclTraffic::Tcp(_) => "tcp".to_owned(),
                    AclTraffic::Udp(_) => "udp".to_owned(),
                    _ => protocol(each),
                })
            })
        }),
        ("entry.rule-action", |_, acl| {
            entries(acl, |each| Some(each.action.as_str().to_owned()))
        }),
        ("entry.rule-number", |_, acl| {
            entries(acl, |each| Some(each.number.to_string()))
        }),
        ("network-acl-id", |_, acl| vec![acl.id.to_string()]),
        ("owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        ("vpc-id", |_, acl| vec![acl.vpc.to_string()]),
    ],
    tags: Some(|acl| &acl.tags),
};

/// DescribeNetworkAcls.
pub(super) static DESCRIBE: Describe<NetworkAcl> = Describe {
    action: "DescribeNetworkAcls",
    ids: "NetworkAclId",
    set: "networkAclSet",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_network_acl(id).map(drop),
    write,
};

fn entries(acl: &NetworkAcl, value: impl Fn(&NetworkAclEntry) -> Option<String>) -> Vec<String> {
    acl.entries.iter().filter_map(value).collect()
}

fn is_egress(entry: &NetworkAclEntry) -> bool {
    entry.direction == AclDirection::Egress
}

fn protocol(entry: &NetworkAclEntry) -> String {
    let number = entry.traffic.protocol();
    number.map_or_else(|| "-1".to_owned(), |number| number.to_string())
}

/// Type and code, -1 for any.
fn icmp(entry: &NetworkAclEntry) -> Option<(i16, i16)> {
    match entry.traffic {
        AclTraffic::Icmp { kind, code } | AclTraffic::Icmpv6 { kind, code } => {
            Some((kind.map_or(-1, i16::from), code.map_or(-1, i16::from)))
        }
        _ => None,
    }
}

const fn ports(entry: &NetworkAclEntry) -> Option<PortRange> {
    match entry.traffic {
        AclTraffic::Tcp(range) | AclTraffic::Udp(range) => Some(range),
        _ => None,
    }
}

fn write(xml: &mut Xml, model: &Model, acl: &NetworkAcl) {
    xml.leaf("networkAclId", &acl.id);
    xml.leaf("vpcId", &acl.vpc);
    xml.leaf("ownerId", &model.config().account);
    xml.leaf("default", acl.is_default);
    xml.items("entrySet", &acl.entries, |xml, entry| {
        xml.leaf("ruleNumber", entry.number);
        xml.leaf("protocol", protocol(entry));
        xml.leaf("ruleAction", entry.action.as_str());
        xml.leaf("egress", is_egress(entry));
        match entry.cidr {
            IpNet::V4(block) => xml.leaf("cidrBlock", block),
            IpNet::V6(block) => xml.leaf("ipv6CidrBlock", block),
        }
        if let Some((kind, code)) = icmp(entry) {
            xml.tree("icmpTypeCode", |xml| {
                xml.leaf("type", kind);
                xml.leaf("code", code);
            });
        }
        if let Some(range) = ports(entry) {
            xml.tree("portRange", |xml| {
                xml.leaf("from", range.from);
                xml.leaf("to", range.to);
            });
        }
    });
    xml.items("associationSet", &acl.associations, |xml, each| {
        xml.leaf("networkAclAssociationId", &each.id);
        xml.leaf("networkAclId", &acl.id);
        xml.leaf("subnetId", &each.subnet);
    });
    write_tags(xml, &acl.tags);
}

/// CreateNetworkAcl.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let vpc: VpcId = params.id("VpcId")?;
    let [tags] = take_specifications(params, ["network-acl"])?;
    Ok(Call::new(move |model, context| {
        let made = context.once(model, |model| {
            let made = model.create_network_acl(&vpc, tags);
            made.map(|id| vec![id.to_string()])
        })?;
        let mut xml = Xml::default();
        for text in &made {
            let acl = model.require_network_acl(&super::ids::parse_id(text)?)?;
            xml.tree("networkAcl", |xml| write(xml, model, acl));
        }
        let token = context.token.as_ref().map(|(token, _)| token);
        xml.optional("clientToken", token);
        Ok(xml)
    }))
}

/// DeleteNetworkAcl.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: NetworkAclId = params.id("NetworkAclId")?;
    Ok(Call::new(move |model, _| {
        model.delete_network_acl(&id)?;
        Ok(done())
    }))
}

/// ReplaceNetworkAclAssociation.
pub(super) fn replace_association(params: &mut Params) -> Result<Call, Ec2Error> {
    let association: NetworkAclAssociationId = params.id("AssociationId")?;
    let id: NetworkAclId = params.id("NetworkAclId")?;
    Ok(Call::new(move |model, _| {
        let made = model.replace_network_acl_association(&association, &id)?;
        let mut xml = Xml::default();
        xml.leaf("newAssociationId", made);
        Ok(xml)
    }))
}

/// CreateNetworkAclEntry.
pub(super) fn create_entry(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: NetworkAclId = params.id("NetworkAclId")?;
    let entry = take_entry(params)?;
    Ok(Call::new(move |model, _| {
        model.create_network_acl_entry(&id, entry)?;
        Ok(done())
    }))
}

/// ReplaceNetworkAclEntry.
pub(super) fn replace_entry(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: NetworkAclId = params.id("NetworkAclId")?;
    let entry = take_entry(params)?;
    Ok(Call::new(move |model, _| {
        model.replace_network_acl_entry(&id, entry)?;
        Ok(done())
    }))
}

/// DeleteNetworkAclEntry.
pub(super) fn delete_entry(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: NetworkAclId = params.id("NetworkAclId")?;
    let number: u16 = params.required_parsed("RuleNumber")?;
    let direction = take_direction(params)?;
    Ok(Call::new(move |model, _| {
        model.delete_network_acl_entry(&id, number, direction)?;
        Ok(done())
    }))
}

fn take_direction(params: &mut Params) -> Result<AclDirection, Ec2Error> {
    match params.flag("Egress")? {
        Some(true) => Ok(AclDirection::Egress),
        Some(false) => Ok(AclDirection::Ingress),
        None => Err(params.missing("Egress")),
    }
}

fn take_entry(params: &mut Params) -> Result<NetworkAclEntry, Ec2Error> {
    let number: u16 = params.required_parsed("RuleNumber")?;
    let direction = take_direction(params)?;
    let action = match params.required("RuleAction")?.as_str() {
        "allow" => AclAction::Allow,
        "deny" => AclAction::Deny,
        other => return Err(params.invalid("RuleAction", other)),
    };
    let v4: Option<Ipv4Net> = params.parsed("CidrBlock")?;
    let v6: Option<Ipv6Net> = params.parsed("Ipv6CidrBlock")?;
    let cidr = match (v4, v6) {
        (Some(block), None) => IpNet::V4(block.trunc()),
        (None, Some(block)) => IpNet::V6(block.trunc()),
        (None, None) => return Err(params.missing("CidrBlock or Ipv6CidrBlock")),
        (Some(_), Some(_)) => {
            let text = "Only one of CidrBlock and Ipv6CidrBlock can be specified.";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
    };
    let traffic = take_traffic(params, cidr)?;
    Ok(NetworkAclEntry {
        number,
        direction,
        action,
        traffic,
        cidr,
    })
}

/// Ports count for TCP and UDP only, types and codes for ICMP only; other protocols ignore them.
fn take_traffic(params: &mut Params, cidr: IpNet) -> Result<AclTraffic, Ec2Error> {
    let protocol = params.required("Protocol")?;
    let icmp = params.structure("Icmp", |p| {
        let kind: Option<i32> = p.parsed("Type")?;
        Ok((kind, p.parsed::<i32>("Code")?))
    })?;
    let range = params.structure("PortRange", |p| {
        let from: Option<i32> = p.parsed("From")?;
        Ok((from, p.parsed::<i32>("To")?))
    })?;
    let of_icmp = |params: &Params| match icmp {
        (Some(kind), Some(code)) => Ok((byte(params, kind)?, byte(params, code)?)),
        _ => Err(params.missing("Icmp.Type and Icmp.Code")),
    };
    match (protocol.as_str(), cidr) {
        ("-1" | "all", _) => Ok(AclTraffic::All),
        ("1" | "icmp", _) => {
            let (kind, code) = of_icmp(params)?;
            Ok(AclTraffic::Icmp { kind, code })
        }
        ("58" | "icmpv6", IpNet::V6(_)) => {
            let (kind, code) = of_icmp(params)?;
            Ok(AclTraffic::Icmpv6 { kind, code })
        }
        ("58" | "icmpv6", IpNet::V4(_)) => Ok(AclTraffic::Icmpv6 {
            kind: None,
            code: None,
        }),
        ("6" | "tcp", _) => take_ports(params, range).map(AclTraffic::Tcp),
        ("17" | "udp", _) => take_ports(params, range).map(AclTraffic::Udp),
        (text, _) => match text.parse() {
            Ok(number) => Ok(AclTraffic::Protocol(number)),
            Err(_) => Err(params.invalid("Protocol", text)),
        },
    }
}

/// -1 is any.
fn byte(params: &Params, value: i32) -> Result<Option<u8>, Ec2Error> {
    match (value, u8::try_from(value)) {
        (-1, _) => Ok(None),
        (_, Ok(value)) => Ok(Some(value)),
        (_, Err(_)) => Err(params.invalid("Icmp", value)),
    }
}

fn take_ports(params: &Params, range: (Option<i32>, Option<i32>)) -> Result<PortRange, Ec2Error> {
    let (Some(from), Some(to)) = range else {
        return Err(params.missing("PortRange.From and PortRange.To"));
    };
    match (u16::try_from(from), u16::try_from(to)) {
        (Ok(from), Ok(to)) if from <= to => Ok(PortRange { from, to }),
        _ => Err(params.invalid("PortRange", format!("{from} to {to}"))),
    }
}
