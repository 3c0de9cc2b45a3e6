//! ENIs in plain namespaces: databases, load balancers and the like, outside any cluster.

use std::{net::Ipv4Addr, path::PathBuf};

use serde::{Deserialize, Serialize};
use underlay_types::{EniId, chain};
use underlay_vpc_model::Event;

use super::{
    admin::Refusal,
    driver::Resumed,
    endpoints::{REQUESTER, refused},
    namespaces::Namespaces,
    vpc::FullVpc,
};

/// Holds the ENIs of hosts.
const HOST: &str = "underlay-vpc-host";
/// Those whose ENIs have devices in namespaces of their own.
pub(super) const OWNERS: [&str; 2] = [REQUESTER, HOST];
const NAME_MAX: usize = 64;

/// A host to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRequest {
    /// An ENI that is attached to nothing.
    pub eni: EniId,
    /// The namespace's name under /run/netns.
    pub name: String,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its namespace.
    pub netns: PathBuf,
    /// The ENI's addresses, all configured.
    pub addresses: Vec<Ipv4Addr>,
}

/// An ENI with its device in a namespace.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) name: String,
    pub(super) addresses: Vec<Ipv4Addr>,
}

impl FullVpc {
    /// Gives an ENI to a new namespace: its device is up, with all its addresses and a default
    /// route by the subnet's router. Blocks.
    ///
    /// # Errors
    /// When the name is taken or not one, the ENI is unknown or in use, or the kernel refuses.
    /// Nothing is left behind.
    pub(super) fn host(&self, request: &HostRequest) -> Result<Host, Refusal> {
        check_name(&request.name)?;
        let placed = place(self, &request.eni, &request.name, HOST)?;
        Ok(Host {
            netns: Namespaces::path(&placed.name),
            addresses: placed.addresses,
        })
    }
}

impl FullVpc {
    /// Gives back ENIs whose devices another process did not come to make, and deletes those of
    /// endpoints: nobody was told of them. Answers the endpoints that are in place.
    pub(super) fn take_back_unplaced(&self, resumed: Resumed) -> Vec<Placed> {
        let owned = |eni: &EniId| {
            self.api.read(|model| {
                let eni = model.eni(eni)?;
                Some((
                    eni.requester.as_deref() == Some(REQUESTER),
                    eni.addresses.primary,
                ))
            })
        };
        for eni in &resumed.unplaced {
            let is_endpoint = owned(eni).is_some_and(|(is_endpoint, _)| is_endpoint);
            take_back(self, eni);
            tracing::warn!(%eni, "its host or endpoint was not ready, and is not there");
            if is_endpoint && let Err(error) = self.api.change(Event::DeleteServiceEni(eni.clone()))
            {
                tracing::error!(error = chain(&error), %eni, "the ENI stays");
            }
        }
        let endpoint = |(eni, name): (EniId, String)| {
            let (_, address) = owned(&eni).filter(|(is_endpoint, _)| *is_endpoint)?;
            Some(Placed {
                name,
                addresses: vec![address],
            })
        };
        resumed.placed.into_iter().filter_map(endpoint).collect()
    }
}

/// A plain file name: it becomes one.
fn check_name(name: &str) -> Result<(), Refusal> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let fits = (1..=NAME_MAX).contains(&name.len()) && !name.starts_with(['.', '-']);
    if fits && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "{name:?} is no name of a namespace: use 1 to 64 letters, digits, dashes, underscores and \
         dots, none of the last three first"
    )))
}

/// Gives an ENI to the new namespace `name` and configures it there.
pub(super) fn place(
    vpc: &FullVpc,
    eni: &EniId,
    name: &str,
    owner: &str,
) -> Result<Placed, Refusal> {
    let given = vpc.api.change(Event::GiveToExternal {
        eni: eni.clone(),
        owner: owner.to_owned(),
    });
    given
        .map_err(|error| Refusal::failed(&error))?
        .map_err(refused)?;
    let made = vpc.driver.lock().namespaces().create(name);
    if let Err(error) = made {
        // The name is somebody's: it is not removed.
        take_back(vpc, eni);
        return Err(Refusal::conflict(chain(&error)));
    }
    let placed = vpc.api.read(|model| {
        let held = model.eni(eni)?;
        let mut driver = vpc.driver.lock();
        let done = driver.place(model, held, name);
        let mut addresses = vec![held.addresses.primary];
        addresses.extend(&held.addresses.secondary);
        Some(done.map(|()| addresses))
    });
    match placed {
        Some(Ok(addresses)) => Ok(Placed {
            name: name.to_owned(),
            addresses,
        }),
        Some(Err(error)) => {
            give_back(vpc, eni, name);
            Err(Refusal::failed(&error))
        }
        None => {
            give_back(vpc, eni, name);
            Err(Refusal::conflict(format!("{eni} was deleted meanwhile")))
        }
    }
}

/// Undoes [`place`]. What the kernel refuses is logged and tried again.
pub(super) fn give_back(vpc: &FullVpc, eni: &EniId, name: &str) {
    vpc.driver.lock().displace(eni, name);
    take_back(vpc, eni);
}

fn take_back(vpc: &FullVpc, eni: &EniId) {
    match vpc.api.change(Event::TakeFromExternal(eni.clone())) {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(code = %error.code, %eni, "the ENI stays in use"),
        Err(error) => tracing::error!(error = chain(&error), %eni, "the ENI stays in use"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_are_plain_file_names() {
        for name in ["db", "load-balancer_1.prod"] {
            assert!(check_name(name).is_ok());
        }
        for name in ["", ".", "..", "a/b", "-x", "a b", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
