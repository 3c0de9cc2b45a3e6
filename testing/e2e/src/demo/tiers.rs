//! The three tiers of act two: who they are, what they serve, and who may call whom.

use std::net::{Ipv4Addr, SocketAddr};

use underlay_testkit::{IngressRule, Netns, Source, probe::TcpServer};
use underlay_types::SecurityGroupId;

/// What somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A load balancer outside the cluster: anybody in the VPC may call it.
    LoadBalancer,
    /// Pods that only the load balancer may call.
    Web,
    /// Pods that only web pods may call.
    App,
    /// A database outside the cluster that only app pods may call.
    Database,
    /// A pod without groups of its own. It serves nothing.
    Other,
}

impl Role {
    /// The TCP port it serves.
    pub(super) fn port(self) -> Option<u16> {
        match self {
            Self::LoadBalancer => Some(443),
            Self::Web => Some(80),
            Self::App => Some(8080),
            Self::Database => Some(5432),
            Self::Other => None,
        }
    }

    /// Whether the groups below let `self` call `to`.
    pub(super) fn may_call(self, to: Self) -> bool {
        matches!(
            (self, to),
            (_, Self::LoadBalancer)
                | (Self::LoadBalancer, Self::Web)
                | (Self::Web, Self::App)
                | (Self::App, Self::Database)
        )
    }
}

/// The groups of the tiers.
#[derive(Debug, Clone)]
pub(super) struct TierGroups {
    /// Of the load balancer.
    pub(super) lb: SecurityGroupId,
    /// Of web pods.
    pub(super) web: SecurityGroupId,
    /// Of app pods.
    pub(super) app: SecurityGroupId,
    /// Of the database.
    pub(super) db: SecurityGroupId,
}

impl TierGroups {
    /// The one rule that lets app pods into the database.
    pub(super) fn app_to_database(&self) -> IngressRule<'_> {
        IngressRule {
            tcp_port: Role::Database.port(),
            source: Source::Group(&self.app),
        }
    }
}

/// Somebody in the matrix of act two.
#[derive(Debug)]
pub(super) struct Party {
    /// How tables call it.
    pub(super) name: String,
    /// What it is.
    pub(super) role: Role,
    /// Its address.
    pub(super) address: Ipv4Addr,
    /// Where its sockets live.
    pub(super) netns: Netns,
    /// Its server, if it serves anything.
    pub(super) server: Option<TcpServer>,
}

impl Party {
    /// Somebody whose server runs from now on.
    pub(super) fn new(
        name: &str,
        role: Role,
        address: Ipv4Addr,
        netns: &Netns,
    ) -> anyhow::Result<Self> {
        let server = role
            .port()
            .map(|port| TcpServer::start(netns, address, port))
            .transpose()?;
        Ok(Self {
            name: name.to_owned(),
            role,
            address,
            netns: netns.clone(),
            server,
        })
    }

    /// Where its server is reached.
    pub(super) fn served_at(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(|server| server.address)
    }
}
