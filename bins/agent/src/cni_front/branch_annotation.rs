//! The annotation by which a controller gives a pod a branch ENI. On EKS the VPC resource controller
//! creates the ENI, associates it with the node's trunk and writes the annotation; its webhook keeps
//! others from writing it. Who may write it chooses the pod's groups, so it counts only where the
//! node's configuration says so.

use underlay_cni_spec::{CniError, ErrorCode, NetworkConfig, POD_ENI, PodEni};
use underlay_types::{BranchEni, Enforcement, Families};

use crate::service::BranchRequest;

/// How this node's pods have branch ENIs.
#[derive(Debug, Clone, Copy)]
pub(super) struct BranchUse {
    pub(super) enforcement: Enforcement,
    /// The families that pods get addresses of.
    pub(super) families: Families,
}

/// The branch ENI that the pod was given. `in_use` is `None` where branch ENIs are not used: a pod
/// that was promised groups of its own fails then, since the node's would be others.
pub(super) fn branch(
    config: &NetworkConfig,
    in_use: Option<BranchUse>,
) -> Result<Option<BranchRequest>, CniError> {
    let Some(text) = config.annotations.get(POD_ENI) else {
        return Ok(None);
    };
    let wrong = |what: String| {
        let message = format!("annotation {POD_ENI}: {what}");
        CniError::new(ErrorCode::InvalidConfig, message)
    };
    let in_use = in_use.ok_or_else(|| {
        wrong(
            "this node gives pods no branch ENIs: set enabled = true in [branch_enis] of its \
             agent.toml, or take the annotation away"
                .to_owned(),
        )
    })?;
    let found = PodEni::parse(text, in_use.families);
    let found = found.map_err(|error| wrong(error.to_string()))?;
    let branch = BranchEni {
        mac: found.mac,
        ipv4: found.ipv4,
        ipv6: found.ipv6,
        vlan: found.vlan,
        enforcement: in_use.enforcement,
    };
    let eni = found.eni;
    Ok(Some(BranchRequest { eni, branch }))
}

#[cfg(test)]
mod tests {
    use underlay_cni_spec::Command;
    use underlay_types::{BranchIpv4, VlanId};

    use super::*;

    const GOOD: &str = r#"{"eniId":"eni-0000000a","ifAddress":"0a:00:00:00:00:01","privateIp":"10.0.1.9","ipv6Addr":"","vlanID":7,"subnetCidr":"10.0.1.0/24","subnetV6Cidr":""}"#;

    const STRICT: BranchUse = BranchUse {
        enforcement: Enforcement::Strict,
        families: Families::V4,
    };

    fn read(annotation: &str, in_use: Option<BranchUse>) -> Result<Option<BranchRequest>, String> {
        let annotations = serde_json::json!({ POD_ENI: annotation });
        let stdin = serde_json::json!({
            "cniVersion": "1.0.0",
            "name": "n",
            "runtimeConfig": { "io.kubernetes.cri.pod-annotations": annotations },
        });
        let config = NetworkConfig::parse(Command::Add, &stdin.to_string()).unwrap();
        branch(&config, in_use).map_err(|error| error.to_string())
    }

    fn strict(annotation: &str) -> Result<Option<BranchRequest>, String> {
        read(annotation, Some(STRICT))
    }

    #[test]
    fn the_annotation_is_read_as_the_controller_and_the_reference_write_it() {
        let branch = BranchEni {
            mac: "0a:00:00:00:00:01".parse().unwrap(),
            ipv4: Some(BranchIpv4 {
                address: [10, 0, 1, 9].into(),
                router: [10, 0, 1, 1].into(),
            }),
            ipv6: None,
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
        assert!(refused.starts_with(&format!("code 7: annotation {POD_ENI}: this node")));
        for text in ["", "[]", "null", "{}", "[null]", "[7]", "nonsense"] {
            let refused = strict(text).unwrap_err();
            let named = format!("code 7: annotation {POD_ENI}: must be a JSON list of one object");
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
            (":7,", ":0,", "vlanID: must be a VLAN from 1 to 4094, not 0"),
            (
                ":7,",
                ":4095,",
                "vlanID: must be a VLAN from 1 to 4094, not 4095",
            ),
            (":7,", ":-7,", "vlanID: \"-7\" is not a whole number"),
            (":7,", ":[7],", "vlanID: [7] is neither a text nor a number"),
            ("\"vlanID\":7,", "", "vlanID: is missing"),
            ("\"eniId\"", "\"eni\"", "eniId: is missing"),
            (
                "10.0.1.9",
                "",
                "privateIp: is missing, and pods of this node have IPv4",
            ),
        ] {
            let text = format!("[{}]", GOOD.replace(from, to));
            let refused = strict(&text).unwrap_err();
            let wanted = format!("code 7: annotation {POD_ENI}: {what}");
            assert!(refused.starts_with(&wanted), "{refused}");
        }
    }

    /// Of a dual-stack subnet.
    fn dual() -> String {
        let text = GOOD.replace(r#""ipv6Addr":"""#, r#""ipv6Addr":"2600:1::9""#);
        text.replace(r#""subnetV6Cidr":"""#, r#""subnetV6Cidr":"2600:1::/64""#)
    }

    #[test]
    fn a_pod_gets_those_of_its_addresses_that_pods_of_the_node_have() {
        let of = |families, object: &str| {
            let in_use = BranchUse { families, ..STRICT };
            let read = read(&format!("[{object}]"), Some(in_use))?;
            let addresses = read.unwrap().branch.addresses().unwrap();
            Ok::<_, String>(addresses.to_string())
        };
        let dual = dual();
        assert_eq!(of(Families::V4, &dual).unwrap(), "10.0.1.9");
        assert_eq!(of(Families::V6, &dual).unwrap(), "2600:1::9");
        assert_eq!(of(Families::Dual, &dual).unwrap(), "10.0.1.9, 2600:1::9");
        assert_eq!(of(Families::Dual, GOOD).unwrap(), "10.0.1.9");
        let v6_alone = dual.replace("10.0.1.9", "");
        assert_eq!(of(Families::Dual, &v6_alone).unwrap(), "2600:1::9");
        let refused = of(Families::V6, GOOD).unwrap_err();
        assert!(refused.contains("ipv6Addr: is missing"), "{refused}");
        let neither = GOOD.replace("10.0.1.9", "");
        let refused = of(Families::Dual, &neither).unwrap_err();
        assert!(refused.contains("both are missing"), "{refused}");
    }

    #[test]
    fn every_field_of_ipv6_that_is_wrong_is_named() {
        for (from, to, what) in [
            (
                "2600:1::9",
                "2600:2::9",
                "ipv6Addr: 2600:2::9 is no address of a host in subnetV6Cidr 2600:1::/64",
            ),
            (
                "2600:1::9",
                "2600:1::3",
                "ipv6Addr: 2600:1::3 is no address of a host",
            ),
            (
                "2600:1::9",
                "10.0.1.9",
                "ipv6Addr: \"10.0.1.9\" is not an IPv6 address",
            ),
            (
                "2600:1::/64",
                "2600:1::",
                "subnetV6Cidr: \"2600:1::\" is not an IPv6 block",
            ),
            ("2600:1::/64", "", "subnetV6Cidr: \"\" is not an IPv6 block"),
        ] {
            let in_use = BranchUse {
                families: Families::Dual,
                ..STRICT
            };
            let text = format!("[{}]", dual().replace(from, to));
            let refused = read(&text, Some(in_use)).unwrap_err();
            let wanted = format!("code 7: annotation {POD_ENI}: {what}");
            assert!(refused.starts_with(&wanted), "{refused}");
        }
    }
}
