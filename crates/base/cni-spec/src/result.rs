//! The result of ADD, in the shape of each version.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};
use underlay_types::Mac;

use crate::{CniError, CniVersion, config::invalid};

/// An interface that ADD made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its Ethernet address.
    pub mac: Mac,
    /// The path of the network namespace it lies in; absent on the node.
    pub sandbox: Option<String>,
    /// Its MTU in bytes; on the wire since 1.1.0.
    pub mtu: u32,
}

/// An address that ADD gave to an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpConfig {
    /// The address and its prefix length.
    pub address: IpNet,
    /// The next hop of the address's subnet.
    pub gateway: Option<IpAddr>,
    /// Index of the interface in [`AddResult::interfaces`].
    pub interface: usize,
}

/// A route that ADD made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub dst: IpNet,
    /// The next hop.
    pub gw: Option<IpAddr>,
}

/// What ADD made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddResult {
    /// Interfaces on the node and in the pod.
    pub interfaces: Vec<Interface>,
    /// The pod's addresses.
    pub ips: Vec<IpConfig>,
    /// The pod's routes.
    pub routes: Vec<Route>,
}

/// The result of the plugins before this one in a chain (ADD), or of the ADD itself (CHECK).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousResult(Map<String, Value>);

impl AddResult {
    /// The answer as JSON in the shape of `version`. What plugins before this one in a chain made
    /// is passed on unchanged, ours comes after it.
    #[must_use]
    pub fn to_json(&self, version: CniVersion, previous: Option<&PreviousResult>) -> String {
        let mut answer = previous.map_or_else(Map::new, |previous| previous.0.clone());
        answer.insert("cniVersion".into(), version.as_str().into());
        let interfaces = self.interfaces.iter().map(|i| interface(i, version));
        let first = append(&mut answer, "interfaces", interfaces);
        let ips = self.ips.iter().map(|ip| ip_config(ip, first, version));
        append(&mut answer, "ips", ips);
        append(&mut answer, "routes", self.routes.iter().map(route));
        answer.entry("dns").or_insert_with(|| json!({}));
        Value::Object(answer).to_string()
    }
}

impl AddResult {
    /// What of this result `previous` does not have, a line each. Other plugins of the chain may
    /// have added to it and changed Ethernet addresses and MTUs; names, addresses and routes stay.
    #[must_use]
    pub fn missing_in(&self, previous: &PreviousResult) -> Vec<String> {
        let interfaces = self
            .interfaces
            .iter()
            .map(|i| ("interface", i.name.clone()));
        let interfaces = interfaces.filter(|(_, name)| !previous.has("interfaces", "name", name));
        let ips = self
            .ips
            .iter()
            .map(|ip| ("address", ip.address.to_string()));
        let ips = ips.filter(|(_, address)| !previous.has("ips", "address", address));
        let routes = self.routes.iter().map(|r| ("route", r.dst.to_string()));
        let routes = routes.filter(|(_, dst)| !previous.has("routes", "dst", dst));
        let missing = interfaces.chain(ips).chain(routes);
        missing
            .map(|(what, which)| format!("prevResult has no {what} {which}"))
            .collect()
    }
}

impl PreviousResult {
    /// Whether the list `list` has an object whose `field` is `text`.
    fn has(&self, list: &str, field: &str, text: &str) -> bool {
        let list = self.0.get(list).and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|one| one[field] == text))
    }

    /// Reads `prevResult`; the lists that ours is appended to must be lists.
    pub(crate) fn from_config(value: Option<Value>) -> Result<Option<Self>, CniError> {
        let mut result = match value {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(result)) => result,
            Some(_) => return Err(invalid("prevResult", "must be an object")),
        };
        for key in ["interfaces", "ips", "routes"] {
            match result.get(key) {
                None | Some(Value::Array(_)) => {}
                Some(Value::Null) => {
                    result.remove(key);
                }
                Some(_) => return Err(invalid(&format!("prevResult.{key}"), "must be an array")),
            }
        }
        Ok(Some(Self(result)))
    }
}

/// Appends `items` to the list `key` of `answer`; returns the index of the first of them.
fn append(answer: &mut Map<String, Value>, key: &str, items: impl Iterator<Item = Value>) -> usize {
    let list = answer
        .entry(key)
        .or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(list) = list else { return 0 };
    let first = list.len();
    list.extend(items);
    first
}

fn interface(interface: &Interface, version: CniVersion) -> Value {
    let mut object = Map::new();
    object.insert("name".into(), interface.name.as_str().into());
    object.insert("mac".into(), interface.mac.to_string().into());
    if let Some(sandbox) = &interface.sandbox {
        object.insert("sandbox".into(), sandbox.as_str().into());
    }
    if version >= CniVersion::V1_1_0 {
        object.insert("mtu".into(), interface.mtu.into());
    }
    Value::Object(object)
}

fn ip_config(ip: &IpConfig, first_interface: usize, version: CniVersion) -> Value {
    let mut object = Map::new();
    if version < CniVersion::V1_0_0 {
        let family = if ip.address.addr().is_ipv4() {
            "4"
        } else {
            "6"
        };
        object.insert("version".into(), family.into());
    }
    object.insert("address".into(), ip.address.to_string().into());
    if let Some(gateway) = ip.gateway {
        object.insert("gateway".into(), gateway.to_string().into());
    }
    object.insert("interface".into(), (first_interface + ip.interface).into());
    Value::Object(object)
}

fn route(route: &Route) -> Value {
    match route.gw {
        Some(gw) => json!({"dst": route.dst.to_string(), "gw": gw.to_string()}),
        None => json!({"dst": route.dst.to_string()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> AddResult {
        AddResult {
            interfaces: vec![
                Interface {
                    name: "ul0123456789ab".into(),
                    mac: Mac([2, 0, 0, 0, 0, 1]),
                    sandbox: None,
                    mtu: 9001,
                },
                Interface {
                    name: "eth0".into(),
                    mac: Mac([2, 0, 0, 0, 0, 2]),
                    sandbox: Some("/run/netns/p".into()),
                    mtu: 9001,
                },
            ],
            ips: vec![IpConfig {
                address: "10.0.1.7/32".parse().unwrap(),
                gateway: Some("169.254.1.1".parse().unwrap()),
                interface: 1,
            }],
            routes: vec![Route {
                dst: "0.0.0.0/0".parse().unwrap(),
                gw: Some("169.254.1.1".parse().unwrap()),
            }],
        }
    }

    #[test]
    fn each_version_has_its_shape() {
        let before_1_0 = |version| {
            format!(
                r#"{{"cniVersion":"{version}","dns":{{}},"interfaces":[{{"mac":"02:00:00:00:00:01","name":"ul0123456789ab"}},{{"mac":"02:00:00:00:00:02","name":"eth0","sandbox":"/run/netns/p"}}],"ips":[{{"address":"10.0.1.7/32","gateway":"169.254.1.1","interface":1,"version":"4"}}],"routes":[{{"dst":"0.0.0.0/0","gw":"169.254.1.1"}}]}}"#
            )
        };
        assert_eq!(
            result().to_json(CniVersion::V0_3_1, None),
            before_1_0("0.3.1")
        );
        assert_eq!(
            result().to_json(CniVersion::V0_4_0, None),
            before_1_0("0.4.0")
        );
        assert_eq!(
            result().to_json(CniVersion::V1_0_0, None),
            r#"{"cniVersion":"1.0.0","dns":{},"interfaces":[{"mac":"02:00:00:00:00:01","name":"ul0123456789ab"},{"mac":"02:00:00:00:00:02","name":"eth0","sandbox":"/run/netns/p"}],"ips":[{"address":"10.0.1.7/32","gateway":"169.254.1.1","interface":1}],"routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"}]}"#
        );
        assert_eq!(
            result().to_json(CniVersion::V1_1_0, None),
            r#"{"cniVersion":"1.1.0","dns":{},"interfaces":[{"mac":"02:00:00:00:00:01","mtu":9001,"name":"ul0123456789ab"},{"mac":"02:00:00:00:00:02","mtu":9001,"name":"eth0","sandbox":"/run/netns/p"}],"ips":[{"address":"10.0.1.7/32","gateway":"169.254.1.1","interface":1}],"routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"}]}"#
        );
    }

    #[test]
    fn what_came_before_in_a_chain_is_passed_on_and_indexes_move() {
        let previous = json!({
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "lo", "vendor": 1}],
            "ips": [{"address": "127.0.0.1/8", "interface": 0}],
            "dns": {"nameservers": ["10.0.0.2"]},
            "vendor": true,
        });
        let previous = PreviousResult::from_config(Some(previous))
            .unwrap()
            .unwrap();
        let answer = result().to_json(CniVersion::V1_0_0, Some(&previous));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["interfaces"][0], json!({"name": "lo", "vendor": 1}));
        assert_eq!(answer["interfaces"][2]["name"], "eth0");
        assert_eq!(
            answer["ips"][0],
            json!({"address": "127.0.0.1/8", "interface": 0})
        );
        assert_eq!(answer["ips"][1]["interface"], 2);
        assert_eq!(answer["dns"], json!({"nameservers": ["10.0.0.2"]}));
        assert_eq!(answer["vendor"], true);
    }

    #[test]
    fn what_a_result_lacks_is_named_and_what_others_changed_is_not() {
        let read = |text: &str| {
            let value = serde_json::from_str(text).unwrap();
            PreviousResult::from_config(Some(value)).unwrap().unwrap()
        };
        let answer = result().to_json(CniVersion::V1_1_0, None);
        assert_eq!(result().missing_in(&read(&answer)), [""; 0]);
        let tuned = answer.replace("02:00:00:00:00:02", "02:00:00:00:00:99");
        assert_eq!(result().missing_in(&read(&tuned)), [""; 0]);
        let other = answer
            .replace("10.0.1.7", "10.0.1.8")
            .replace("eth0", "eth1");
        assert_eq!(
            result().missing_in(&read(&other)),
            [
                "prevResult has no interface eth0",
                "prevResult has no address 10.0.1.7/32"
            ]
        );
        assert_eq!(result().missing_in(&read("{}")).len(), 4);
    }

    #[test]
    fn lists_must_be_lists_and_null_is_an_empty_one() {
        let null = PreviousResult::from_config(Some(json!({"interfaces": null}))).unwrap();
        let answer = result().to_json(CniVersion::V1_0_0, null.as_ref());
        assert!(answer.contains(r#""interface":1"#));
        let error = PreviousResult::from_config(Some(json!({"ips": 4}))).unwrap_err();
        assert_eq!(error.msg, "prevResult.ips: must be an array");
    }
}
