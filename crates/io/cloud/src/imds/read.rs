//! From the service's many small texts to the types of this module.

use std::{collections::BTreeMap, fmt::Display, net::Ipv4Addr, str::FromStr};

use ipnet::Ipv4Net;
use serde::Deserialize;
use underlay_types::{EniId, InstanceId, Mac, SecurityGroupId, SubnetId};

use super::{ImdsError, InstanceIdentity, InstanceInterface, client::Client};

const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";
const PRIMARY_MAC: &str = "/latest/meta-data/mac";
const MACS: &str = "/latest/meta-data/network/interfaces/macs/";
const VPC_BLOCKS: &str = "vpc-ipv4-cidr-blocks";

/// The parts of the identity document that are read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    account_id: String,
    availability_zone: String,
    instance_id: InstanceId,
    instance_type: String,
    region: String,
}

pub(super) async fn identity(client: &Client) -> Result<InstanceIdentity, ImdsError> {
    let document = document(&client.get(DOCUMENT).await?)?;
    let primary_mac = read(PRIMARY_MAC, &client.get(PRIMARY_MAC).await?)?;
    Ok(InstanceIdentity {
        instance_id: document.instance_id,
        instance_type: document.instance_type,
        region: document.region,
        zone: document.availability_zone,
        account: document.account_id,
        primary_mac,
    })
}

pub(super) async fn interfaces(
    client: &Client,
) -> Result<BTreeMap<Mac, InstanceInterface>, ImdsError> {
    let mut interfaces = BTreeMap::new();
    for entry in client.get(MACS).await?.lines() {
        let mac: Mac = read(MACS, entry.trim_end_matches('/'))?;
        if let Some(interface) = interface(client, mac).await? {
            interfaces.insert(mac, interface);
        }
    }
    Ok(interfaces)
}

pub(super) async fn vpc_blocks(client: &Client, mac: Mac) -> Result<Vec<Ipv4Net>, ImdsError> {
    // Every ENI has the path: one without it is an error, and not a VPC without blocks.
    let path = format!("{MACS}{mac}/{VPC_BLOCKS}");
    let text = client.get(&path).await?;
    let blocks: Vec<_> = lines(&path, &text).collect::<Result<_, _>>()?;
    if blocks.is_empty() {
        return Err(ImdsError::unreadable(&path, &text, "no block"));
    }
    Ok(blocks)
}

/// `None` where the ENI is gone, which shows as a path that every ENI has and this one lost.
async fn interface(client: &Client, mac: Mac) -> Result<Option<InstanceInterface>, ImdsError> {
    let of = Fields { client, mac };
    let Some(interface_id) = of.one("interface-id").await? else {
        return Ok(None);
    };
    let Some(device_number) = of.one("device-number").await? else {
        return Ok(None);
    };
    let Some(subnet_id) = of.one("subnet-id").await? else {
        return Ok(None);
    };
    let Some(subnet_cidr) = of.one("subnet-ipv4-cidr-block").await? else {
        return Ok(None);
    };
    Ok(Some(InstanceInterface {
        interface_id,
        device_number,
        network_card: of.one("network-card").await?.unwrap_or(0),
        subnet_id,
        subnet_cidr,
        vpc_cidrs: of.many(VPC_BLOCKS).await?,
        addresses: of.many("local-ipv4s").await?,
        group_ids: of.many("security-group-ids").await?,
    }))
}

/// The fields of one ENI.
struct Fields<'a> {
    client: &'a Client,
    mac: Mac,
}

impl Fields<'_> {
    async fn one<T: FromStr<Err: Display>>(&self, field: &str) -> Result<Option<T>, ImdsError> {
        let path = format!("{MACS}{}/{field}", self.mac);
        let text = self.client.get_optional(&path).await?;
        text.map(|text| read(&path, &text)).transpose()
    }

    /// One value a line; none where the path is absent.
    async fn many<T: FromStr<Err: Display>>(&self, field: &str) -> Result<Vec<T>, ImdsError> {
        let path = format!("{MACS}{}/{field}", self.mac);
        let text = self.client.get_optional(&path).await?.unwrap_or_default();
        lines(&path, &text).collect()
    }
}

/// One value a line.
fn lines<T: FromStr<Err: Display>>(
    path: &str,
    text: &str,
) -> impl Iterator<Item = Result<T, ImdsError>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(move |line| read(path, line))
}

fn read<T: FromStr<Err: Display>>(path: &str, text: &str) -> Result<T, ImdsError> {
    text.trim()
        .parse()
        .map_err(|error: T::Err| ImdsError::unreadable(path, text, error))
}

fn document(text: &str) -> Result<Document, ImdsError> {
    serde_json::from_str(text).map_err(|error| ImdsError::unreadable(DOCUMENT, text, error))
}

/// Reads any text as the answer to each path.
pub(crate) fn any(text: &str) {
    fn each<T: FromStr<Err: Display>>(text: &str) {
        drop(read::<T>("any", text));
        lines::<T>("any", text).for_each(drop);
    }
    drop(document(text));
    each::<EniId>(text);
    each::<Ipv4Addr>(text);
    each::<Ipv4Net>(text);
    each::<Mac>(text);
    each::<SecurityGroupId>(text);
    each::<SubnetId>(text);
    each::<u8>(text);
}
