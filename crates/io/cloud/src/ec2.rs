//! The EC2 Query API: the actions a node needs, typed, signed, budgeted and retried.

mod actions;
mod budget;
mod counters;
mod error;
mod gathering;
mod model;
mod parse;
mod request;
mod retry;
mod transport;

use std::time::Duration;

pub use self::{
    budget::{Bucket, Budgets},
    counters::{ActionCounters, CallCounters},
    error::{Ec2Error, Ec2Failure},
    model::{
        Assigned, Attachment, AttachmentStatus, CardLimits, GroupQuery, InstanceTypeLimits,
        InterfaceQuery, InterfaceStatus, Ipv4Grant, NetworkInterface, NewInterface, Plug, RulePeer,
        SecurityGroup, SecurityGroupRule, Subnet, Tags,
    },
};
use self::{counters::Counters, gathering::Gathering, transport::Transport};
pub(crate) use self::{error::root_cause, transport::has_root_certificates};
use crate::{
    credentials::{CredentialSource, Credentials},
    xml::Element,
};
pub use underlay_types::Refusal;

/// How to reach EC2.
#[derive(Debug, Clone)]
pub struct Ec2Config {
    /// The region requests are signed for, for example `eu-west-1`.
    pub region: String,
    /// Where requests go instead of the region's own endpoint, for example
    /// `http://127.0.0.1:8080`; see [`Ec2Config::from_env`].
    pub endpoint: Option<String>,
    /// What requests are signed with.
    pub credentials: CredentialSource,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How long a call may take with all its attempts, waits for budget included.
    pub call_timeout: Duration,
    /// What this client allows itself per action.
    pub budgets: Budgets,
}

/// A client of the EC2 Query API. Cheap to clone; clones share connections, budgets and counters.
///
/// Every method waits for the action's budget, signs, sends, and repeats what EC2 throttled or
/// what failed in passing, with growing, jittered pauses, within `call_timeout`. A change that may
/// have been carried out is repeated only where a repetition does no harm; otherwise the error says
/// so ([`Ec2Error::may_have_been_applied`]). Dropping a call's future abandons the answer, not
/// necessarily the change.
#[derive(Debug, Clone)]
pub struct Ec2 {
    shared: std::sync::Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Ec2Config,
    transport: Transport,
    credentials: Credentials,
    budget: budget::Ledger,
    counters: Counters,
    gathering: Gathering,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ec2ConfigError {
    /// The endpoint is not an http or https URL of a host.
    #[error(
        "EC2 endpoint {endpoint:?} (AWS_ENDPOINT_URL_EC2) is not a URL like http://127.0.0.1:8080: {reason}"
    )]
    Endpoint {
        /// The text as given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The region has characters that no region has.
    #[error("{0:?} is not an AWS region like eu-west-1")]
    Region(String),
    /// No root certificates for HTTPS.
    #[error("no root certificates for HTTPS: {0}; install the package ca-certificates")]
    Certificates(String),
}

// === impl Ec2Config ===

impl Ec2Config {
    /// The configuration for `region` with the process environment: `AWS_ENDPOINT_URL_EC2`, else
    /// `AWS_ENDPOINT_URL`, replaces the region's endpoint; credentials come from the default chain.
    #[must_use]
    pub fn from_env(region: impl Into<String>) -> Self {
        let endpoint = ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        Self {
            endpoint,
            ..Self::new(region)
        }
    }

    /// The configuration for `region` with AWS's own endpoint and the default credential chain.
    #[must_use]
    pub fn new(region: impl Into<String>) -> Self {
        Self {
            region: region.into(),
            endpoint: None,
            credentials: CredentialSource::DefaultChain,
            attempt_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            budgets: Budgets::default(),
        }
    }
}

// === impl Ec2 ===

impl Ec2 {
    /// A client. Opens no connection and asks for no credentials yet.
    ///
    /// # Errors
    /// Where the endpoint or the region is malformed, or HTTPS has no root certificates.
    pub fn new(config: Ec2Config) -> Result<Self, Ec2ConfigError> {
        let transport = Transport::new(&config)?;
        let shared = Shared {
            transport,
            credentials: Credentials::new(config.credentials.clone(), &config.region),
            budget: budget::Ledger::new(config.budgets.clone()),
            counters: Counters::default(),
            gathering: Gathering::default(),
            config,
        };
        Ok(Self {
            shared: std::sync::Arc::new(shared),
        })
    }

    /// What was called so far and how it went, by action.
    #[must_use]
    pub fn counters(&self) -> CallCounters {
        self.shared.counters.snapshot()
    }
}

/// Reads any text as the answer of each action, and as a refusal.
pub(crate) fn read_any(status: u16, body: &str) {
    let document = Element::parse(body).ok();
    let refusal = retry::refusal(status, document.as_ref(), body);
    drop(Ec2Failure::Refused(refusal).to_string());
    if let Some(root) = &document {
        parse::any(root);
    }
}
