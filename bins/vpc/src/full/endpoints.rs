//! The EC2 API at an address inside the VPC, as an interface endpoint would have it.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use underlay_netlink::netns;
use underlay_types::{EniId, SecurityGroupId, SubnetId, chain};
use underlay_vpc_model::{Ec2Error, EniRequest, Event, Model};

use super::{
    admin::Refusal,
    hosts::{Placed, give_back, place},
    vpc::FullVpc,
};

pub(super) const REQUESTER: &str = "amazon-vpce";

/// An endpoint to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointRequest {
    /// Where.
    pub subnet: SubnetId,
    /// The groups of its ENI; the VPC's default group without any.
    #[serde(default)]
    pub groups: Vec<SecurityGroupId>,
    /// Its address; any free one without it.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where the API is served.
    pub url: String,
    /// Its ENI.
    pub eni: EniId,
}

impl FullVpc {
    /// Serves the EC2 API at an address of a subnet, on port 80. Asked for what is there already,
    /// it answers that. Blocks; needs a tokio runtime to be current.
    ///
    /// # Errors
    /// The model's refusal to make the ENI, or the kernel's to make its device. Nothing is left
    /// behind.
    pub(super) fn endpoint(
        self: &Arc<Self>,
        request: &EndpointRequest,
    ) -> Result<Endpoint, Refusal> {
        if let Some(known) = self.api.read(|model| known(model, request)) {
            return Ok(known);
        }
        let wanted = EniRequest {
            primary: request.address,
            groups: request.groups.clone(),
            description: "VPC Endpoint Interface (EC2 API)".to_owned(),
            ..EniRequest::new(request.subnet.clone())
        };
        let made = self.api.change(Event::CreateServiceEni {
            request: wanted,
            requester: REQUESTER.to_owned(),
        });
        let eni = made
            .map_err(|error| Refusal::failed(&error))?
            .map_err(refused)?
            .ok_or_else(|| Refusal::conflict("the endpoint's ENI was not made"))?;
        let name = self.run.netns_name(&format!("api-{eni}"));
        let served = place(self, &eni, &name, REQUESTER).and_then(|placed| {
            self.serve_in(&placed)
                .inspect_err(|_| give_back(self, &eni, &name))
        });
        if served.is_err() {
            let deleted = self.api.change(Event::DeleteServiceEni(eni.clone()));
            if let Err(error) = deleted {
                tracing::error!(error = chain(&error), %eni, "the ENI of a failed endpoint stays");
            }
        }
        served.map(|address| Endpoint {
            url: format!("http://{address}"),
            eni,
        })
    }

    /// Serves the API again at the endpoints of another process.
    pub(super) fn serve_again(self: &Arc<Self>, endpoints: &[Placed]) {
        for placed in endpoints {
            if let Err(refusal) = self.serve_in(placed) {
                let (name, reason) = (&placed.name, refusal.reason);
                tracing::error!(name, reason, "an endpoint does not serve any more");
            }
        }
    }

    fn serve_in(self: &Arc<Self>, placed: &Placed) -> Result<Ipv4Addr, Refusal> {
        let address = placed
            .addresses
            .first()
            .copied()
            .unwrap_or(Ipv4Addr::UNSPECIFIED);
        let listener = netns::open_named(&placed.name)
            .and_then(|netns| {
                netns::run_in(std::os::fd::AsFd::as_fd(&netns), || {
                    TcpListener::bind((address, 80))
                })
            })
            .map_err(|error| Refusal::failed(&error))?;
        let served = listener.and_then(|listener| self.api.serve_on(listener, self.stop.clone()));
        served
            .map(drop)
            .map_err(|error: io::Error| Refusal::failed(&error))?;
        Ok(address)
    }
}

/// An endpoint of the same subnet and groups, at the wanted address if one is.
fn known(model: &Model, request: &EndpointRequest) -> Option<Endpoint> {
    let vpc = &model.subnet(&request.subnet)?.vpc;
    let default = vec![model.vpc(vpc)?.default_group.clone()];
    let mut groups = request.groups.clone();
    groups.sort_unstable();
    groups.dedup();
    let groups = if groups.is_empty() { default } else { groups };
    let fits = |eni: &&underlay_vpc_model::Eni| {
        let mut held = eni.groups.clone();
        held.sort_unstable();
        eni.requester.as_deref() == Some(REQUESTER)
            && eni.subnet == request.subnet
            && held == groups
            && eni.attachment.is_some()
            && request
                .address
                .is_none_or(|address| address == eni.addresses.primary)
    };
    let eni = model.enis().find(fits)?;
    let url = format!("http://{}", eni.addresses.primary);
    Some(Endpoint {
        url,
        eni: eni.id.clone(),
    })
}

/// The model's refusal, in the words of the API.
pub(super) fn refused(error: Ec2Error) -> Refusal {
    Refusal::invalid(format!("{}: {}", error.code, error.message))
}
