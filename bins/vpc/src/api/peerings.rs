//! Actions on VPC peering connections.

use underlay_types::{VpcId, VpcPeeringConnectionId};
use underlay_vpc_model::{
    Ec2Error, ErrorCode, Model, PeeringSide, PeeringState, VpcPeeringConnection,
};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::FilterTable,
    instant::iso8601,
    keys::Keys,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<VpcPeeringConnection> = FilterTable {
    fields: &[
        ("accepter-vpc-info.cidr-block", |model, peering| {
            blocks(model, &peering.accepter)
        }),
        ("accepter-vpc-info.owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        ("accepter-vpc-info.vpc-id", |_, peering| {
            vec![peering.accepter.vpc.to_string()]
        }),
        ("expiration-time", |_, peering| {
            vec![iso8601(peering.expires)]
        }),
        ("requester-vpc-info.cidr-block", |model, peering| {
            blocks(model, &peering.requester)
        }),
        ("requester-vpc-info.owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        ("requester-vpc-info.vpc-id", |_, peering| {
            vec![peering.requester.vpc.to_string()]
        }),
        ("status-code", |_, peering| {
            vec![peering.state.as_str().to_owned()]
        }),
        ("status-message", |model, peering| {
            vec![message(model, peering.state)]
        }),
        ("vpc-peering-connection-id", |_, peering| {
            vec![peering.id.to_string()]
        }),
    ],
    tags: Some(|peering| &peering.tags),
};

/// DescribeVpcPeeringConnections.
pub(super) static DESCRIBE: Describe<VpcPeeringConnection> = Describe {
    action: "DescribeVpcPeeringConnections",
    ids: "VpcPeeringConnectionId",
    set: "vpcPeeringConnectionSet",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_peering(id).map(drop),
    write,
};

fn blocks(model: &Model, side: &PeeringSide) -> Vec<String> {
    let vpc = model.vpc(&side.vpc).into_iter();
    vpc.flat_map(|vpc| vpc.v4_blocks())
        .map(|block| block.to_string())
        .collect()
}

fn message(model: &Model, state: PeeringState) -> String {
    let account = &model.config().account;
    match state {
        PeeringState::Active => "Active".to_owned(),
        PeeringState::Deleted => format!("Deleted by {account}"),
        PeeringState::Expired => "Expired".to_owned(),
        PeeringState::Failed => {
            "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range".to_owned()
        }
        PeeringState::PendingAcceptance => format!("Pending Acceptance by {account}"),
        PeeringState::Provisioning => "Provisioning".to_owned(),
        PeeringState::Rejected => format!("Rejected by {account}"),
    }
}

fn write(xml: &mut Xml, model: &Model, peering: &VpcPeeringConnection) {
    xml.leaf("vpcPeeringConnectionId", &peering.id);
    write_side(xml, model, "requesterVpcInfo", &peering.requester);
    write_side(xml, model, "accepterVpcInfo", &peering.accepter);
    xml.tree("status", |xml| {
        xml.leaf("code", peering.state.as_str());
        xml.leaf("message", message(model, peering.state));
    });
    if peering.state == PeeringState::PendingAcceptance {
        xml.leaf("expirationTime", iso8601(peering.expires));
    }
    write_tags(xml, &peering.tags);
}

fn write_side(xml: &mut Xml, model: &Model, name: &str, side: &PeeringSide) {
    xml.tree(name, |xml| {
        xml.leaf("ownerId", &model.config().account);
        xml.leaf("vpcId", &side.vpc);
        xml.leaf("region", &model.config().region);
        if let Some(vpc) = model.vpc(&side.vpc) {
            xml.optional("cidrBlock", vpc.v4_blocks().next());
            xml.items("cidrBlockSet", vpc.v4_blocks(), |xml, block| {
                xml.leaf("cidrBlock", block);
            });
            xml.items("ipv6CidrBlockSet", vpc.v6_blocks(), |xml, block| {
                xml.leaf("ipv6CidrBlock", block);
            });
        }
        xml.tree("peeringOptions", |xml| {
            xml.leaf("allowDnsResolutionFromRemoteVpc", side.remote_dns);
            xml.leaf("allowEgressFromLocalClassicLinkToRemoteVpc", false);
            xml.leaf("allowEgressFromLocalVpcToRemoteClassicLink", false);
        });
    });
}

/// CreateVpcPeeringConnection, within the account and the Region.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let requester: VpcId = params.id("VpcId")?;
    let accepter: VpcId = params.id("PeerVpcId")?;
    let owner = params.text("PeerOwnerId");
    let region = params.text("PeerRegion");
    let [tags] = take_specifications(params, ["vpc-peering-connection"])?;
    Ok(Call::new(move |model, context| {
        let config = model.config();
        if owner.is_some_and(|owner| owner != config.account.as_str())
            || region.is_some_and(|region| region != config.region)
        {
            let text = "Peering with another account or Region is not supported by this VPC.";
            return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
        }
        let id = model.create_peering(&requester, &accepter, tags, context.now)?;
        written(model, &id)
    }))
}

/// AcceptVpcPeeringConnection.
pub(super) fn accept(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: VpcPeeringConnectionId = params.id("VpcPeeringConnectionId")?;
    Ok(Call::new(move |model, context| {
        model.accept_peering(&id, context.now)?;
        written(model, &id)
    }))
}

fn written(model: &Model, id: &VpcPeeringConnectionId) -> Result<Xml, Ec2Error> {
    let peering = model.require_peering(id)?;
    let mut xml = Xml::default();
    xml.tree("vpcPeeringConnection", |xml| write(xml, model, peering));
    Ok(xml)
}

/// RejectVpcPeeringConnection.
pub(super) fn reject(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: VpcPeeringConnectionId = params.id("VpcPeeringConnectionId")?;
    Ok(Call::new(move |model, context| {
        model.reject_peering(&id, context.now)?;
        Ok(done())
    }))
}

/// DeleteVpcPeeringConnection.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: VpcPeeringConnectionId = params.id("VpcPeeringConnectionId")?;
    Ok(Call::new(move |model, context| {
        model.delete_peering(&id, context.now)?;
        Ok(done())
    }))
}

/// ModifyVpcPeeringConnectionOptions.
pub(super) fn modify_options(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: VpcPeeringConnectionId = params.id("VpcPeeringConnectionId")?;
    let mut take = |name: &str| {
        params.structure(name, |p| {
            p.flag("AllowEgressFromLocalClassicLinkToRemoteVpc")?;
            p.flag("AllowEgressFromLocalVpcToRemoteClassicLink")?;
            p.flag("AllowDnsResolutionFromRemoteVpc")
        })
    };
    let requester = take("RequesterPeeringConnectionOptions")?;
    let accepter = take("AccepterPeeringConnectionOptions")?;
    Ok(Call::new(move |model, _| {
        let [own, peer] = model.set_peering_dns(&id, [requester, accepter])?;
        let mut xml = Xml::default();
        for (name, option) in [
            ("requesterPeeringConnectionOptions", own),
            ("accepterPeeringConnectionOptions", peer),
        ] {
            xml.tree(name, |xml| {
                xml.leaf("allowDnsResolutionFromRemoteVpc", option);
            });
        }
        Ok(xml)
    }))
}
