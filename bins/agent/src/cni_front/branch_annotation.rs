//! The annotation by which a controller gives a pod a branch ENI. On EKS the VPC resource controller
//! creates the ENI, associates it with the node's trunk and writes the annotation; its webhook keeps
//! others from writing it. Who may write it chooses the pod's groups, so it counts only where the
//! node's configuration says so.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Map, Value};
use underlay_cni_spec::{CniError, ErrorCode, NetworkConfig};
use underlay_types::{BranchEni, Enforcement, VlanId};

use crate::service::BranchRequest;

/// The name of the annotation: a JSON list of one object.
const ANNOTATION: &str = "vpc.amazonaws.com/pod-eni";

/// The branch ENI that the pod was given. `enforcement` is `None` where branch ENIs are not used: a pod
/// that was promised groups of its own fails then, since the node's would be others.
pub(super) fn branch(
    config: &NetworkConfig,
    enforcement: Option<Enforcement>,
) -> Result<Option<BranchRequest>, CniError> {
    let Some(text) = config.annotations.get(ANNOTATION) else {
        return Ok(None);
    };
    let wrong = |what: String| {
        let message = format!("annotation {ANNOTATION}: {what}");
        CniError::new(ErrorCode::InvalidConfig, message)
    };
    let enforcement = enforcement.ok_or_else(|| {
        wrong(
            "this node gives pods no branch ENIs: set enabled = true in [branch_enis] of its \
             agent.toml, or take the annotation away"
                .to_owned(),
        )
    })?;
    parse(text, enforcement).map(Some).map_err(wrong)
}

fn parse(text: &str, enforcement: Enforcement) -> Result<BranchRequest, String> {
    let shape = "must be a JSON list of one object";
    let list: Vec<Map<String, Value>> =
        serde_json::from_str(text).map_err(|error| format!("{shape}: {error}"))?;
    let [object] = list.as_slice() else {
        return Err(format!("{shape}, not of {}", list.len()));
    };
    let subnet = field(object, &["subnetCidr"], |text| {
        let block: Ipv4Net = text
            .parse()
            .map_err(|_unreadable| format!("{text:?} is not an IPv4 block like \"10.0.1.0/24\""))?;
        Ok(block.trunc())
    })?;
    let address = field(object, &["privateIp"], |text| {
        let address: Ipv4Addr = text
            .parse()
            .map_err(|_unreadable| format!("{text:?} is not an IPv4 address"))?;
        if is_host_of(address, subnet) {
            Ok(address)
        } else {
            Err(format!(
                "{address} is no address of a host in subnetCidr {subnet}"
            ))
        }
    })?;
    let v6 = object.get("ipv6Addr").and_then(Value::as_str);
    if let Some(v6) = v6.filter(|text| !text.is_empty()) {
        return Err(format!(
            "ipv6Addr: {v6:?}: branch ENIs carry IPv4 alone here; pods with IPv6 need ENIs of the pool"
        ));
    }
    let branch = BranchEni {
        mac: field(object, &["ifAddress"], |text| {
            text.parse()
                .map_err(|error: underlay_types::MacError| error.to_string())
        })?,
        address,
        router: Ipv4Addr::from(u32::from(subnet.network()).saturating_add(1)),
        // The controller writes the one, the AWS VPC CNI reads the other; Go takes either.
        vlan: field(object, &["vlanID", "vlanId"], vlan)?,
        enforcement,
    };
    let eni = field(object, &["eniId"], |text| {
        text.parse()
            .map_err(|error: underlay_types::ResourceIdError| error.to_string())
    })?;
    Ok(BranchRequest { eni, branch })
}

/// The fields that hold a number are numbers or texts.
fn field<T>(
    object: &Map<String, Value>,
    names: &[&str],
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    let name = names.first().copied().unwrap_or_default();
    let value = names.iter().find_map(|name| object.get(*name));
    let text = match value {
        None => return Err(format!("{name}: is missing")),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => return Err(format!("{name}: {other} is neither a text nor a number")),
    };
    parse(&text).map_err(|what| format!("{name}: {what}"))
}

fn vlan(text: &str) -> Result<VlanId, String> {
    let number: u64 = text
        .parse()
        .map_err(|_unreadable| format!("{text:?} is not a whole number"))?;
    number
        .try_into()
        .map_err(|error: underlay_types::VlanIdError| error.to_string())
}

/// A subnet keeps its first four addresses and its last for itself.
fn is_host_of(address: Ipv4Addr, subnet: Ipv4Net) -> bool {
    let first = u32::from(subnet.network()).saturating_add(4);
    (first..u32::from(subnet.broadcast())).contains(&u32::from(address))
}

#[cfg(test)]
mod tests {
    use underlay_cni_spec::Command;

    use super::*;

    const GOOD: &str = r#"{"eniId":"eni-0000000a","ifAddress":"0a:00:00:00:00:01","privateIp":"10.0.1.9","ipv6Addr":"","vlanID":7,"subnetCidr":"10.0.1.0/24","subnetV6Cidr":""}"#;

    fn read(
        annotation: &str,
        enforcement: Option<Enforcement>,
    ) -> Result<Option<BranchRequest>, String> {
        let annotations = serde_json::json!({ ANNOTATION: annotation });
        let stdin = serde_json::json!({
            "cniVersion": "1.0.0",
            "name": "n",
            "runtimeConfig": { "io.kubernetes.cri.pod-annotations": annotations },
        });
        let config = NetworkConfig::parse(Command::Add, &stdin.to_string()).unwrap();
        branch(&config, enforcement).map_err(|error| error.to_string())
    }

    fn strict(annotation: &str) -> Result<Option<BranchRequest>, String> {
        read(annotation, Some(Enforcement::Strict))
    }

    #[test]
    fn the_annotation_is_read_as_the_controller_and_the_reference_write_it() {
        let branch = BranchEni {
            mac: "0a:00:00:00:00:01".parse().unwrap(),
            address: [10, 0, 1, 9].into(),
            router: [10, 0, 1, 1].into(),
            vlan: VlanId::try_from(7_u16).unwrap(),
            enforcement: Enforcement::Strict,
        };
        let eni = "eni-0000000a".parse().unwrap();
        let wanted = Some(BranchRequest { eni, branch });
        assert_eq!(strict(&format!("[{GOOD}]")).unwrap(), wanted);
        for vlan in [r#""vlanId":7"#, r#""vlanID":"7""#, r#""vlanId":"7""#] {
            let text = format!("[{}]", GOOD.replace(r#""vlanID":7"#, vlan));
            assert_eq!(strict(&text).unwrap(), wanted, "{vlan}");
        }
    }

    #[test]
    fn a_pod_that_was_promised_a_branch_never_gets_the_nodes_groups() {
        let refused = read(&format!("[{GOOD}]"), None).unwrap_err();
        assert!(refused.starts_with(&format!("code 7: annotation {ANNOTATION}: this node")));
        for text in ["", "[]", "null", "{}", "[null]", "[7]", "nonsense"] {
            let refused = strict(text).unwrap_err();
            let named =
                format!("code 7: annotation {ANNOTATION}: must be a JSON list of one object");
            assert!(refused.starts_with(&named), "{text}: {refused}");
        }
        let two = strict(&format!("[{GOOD},{GOOD}]")).unwrap_err();
        assert!(two.ends_with("not of 2"), "{two}");
    }

    #[test]
    fn every_field_that_is_wrong_is_named() {
        for (from, to, what) in [
            ("eni-0000000a", "eni-1", "eniId: \"eni-1\" is not an id"),
            ("0a:00:00:00:00:01", "0a:00", "ifAddress: \"0a:00\" is not"),
            (
                "10.0.1.9",
                "10.0.2.9",
                "privateIp: 10.0.2.9 is no address of a host in",
            ),
            (
                "10.0.1.9",
                "10.0.1.1",
                "privateIp: 10.0.1.1 is no address of a host in",
            ),
            (
                "10.0.1.9",
                "10.0.1.255",
                "privateIp: 10.0.1.255 is no address of a host",
            ),
            (
                "10.0.1.9",
                "fd00::1",
                "privateIp: \"fd00::1\" is not an IPv4 address",
            ),
            (
                "10.0.1.0/24",
                "10.0.1.0",
                "subnetCidr: \"10.0.1.0\" is not an IPv4 block",
            ),
            (":7,", ":0,", "vlanID: must be a VLAN from 1 to 1023, not 0"),
            (
                ":7,",
                ":4095,",
                "vlanID: must be a VLAN from 1 to 1023, not 4095",
            ),
            (":7,", ":-7,", "vlanID: \"-7\" is not a whole number"),
            (":7,", ":[7],", "vlanID: [7] is neither a text nor a number"),
            ("\"vlanID\":7,", "", "vlanID: is missing"),
            ("\"eniId\"", "\"eni\"", "eniId: is missing"),
            (
                r#""ipv6Addr":"""#,
                r#""ipv6Addr":"fd00::1""#,
                "ipv6Addr: \"fd00::1\": branch",
            ),
        ] {
            let text = format!("[{}]", GOOD.replace(from, to));
            let refused = strict(&text).unwrap_err();
            let wanted = format!("code 7: annotation {ANNOTATION}: {what}");
            assert!(refused.starts_with(&wanted), "{refused}");
        }
    }
}
