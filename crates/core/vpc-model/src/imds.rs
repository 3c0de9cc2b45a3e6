//! The instance metadata service (IMDSv2): what it answers to a request of an instance.
//!
//! [`Imds::respond`] decides; who asks is known to the caller by the port a request came in by,
//! and is handed over as an [`InstanceView`]. A view is a snapshot: an older one makes metadata
//! lag behind the API, as it does on EC2.

mod documents;
mod path;
mod response;
mod tokens;
mod tree;
mod view;

use underlay_types::{InstanceId, Timestamp};

pub use self::{
    documents::{RoleCredentials, instance_profile_id},
    response::ImdsResponse,
    view::{InstanceView, InterfaceView},
};
use self::{tokens::Tokens, tree::Node};

/// Random bytes that a token is made of.
pub const TOKEN_ENTROPY_BYTES: usize = 42;

/// How long a token may live, in seconds.
const TOKEN_TTL_SECS: std::ops::RangeInclusive<u64> = 1..=21_600;

/// A request, as far as the service looks at it.
#[derive(Debug, Clone, Copy)]
pub struct ImdsRequest<'a> {
    /// The method, upper-case.
    pub method: &'a str,
    /// The path, with or without a query.
    pub path: &'a str,
    /// Header `X-aws-ec2-metadata-token`.
    pub token: Option<&'a str>,
    /// Header `X-aws-ec2-metadata-token-ttl-seconds`.
    pub token_ttl: Option<&'a str>,
    /// Whether there is a header `X-Forwarded-For`.
    pub forwarded: bool,
}

/// The tokens of all instances.
#[derive(Debug, Default)]
pub struct Imds {
    tokens: Tokens,
}

impl Imds {
    /// A service that has given no token yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a request of the instance that `view` shows.
    ///
    /// `now` is on the wall clock. `entropy` becomes the token, if one is asked for. `mint` makes
    /// credentials of the instance's role, when they are read.
    #[must_use]
    pub fn respond(
        &mut self,
        now: Timestamp,
        view: &InstanceView,
        request: &ImdsRequest<'_>,
        entropy: &[u8; TOKEN_ENTROPY_BYTES],
        mint: impl FnOnce(&str) -> RoleCredentials,
    ) -> ImdsResponse {
        let is_put = request.method == "PUT";
        let response = if !view.options.enabled {
            ImdsResponse::error(403)
        } else if is_put {
            self.put(now, view, request, entropy)
        } else if matches!(request.method, "GET" | "HEAD") && !path::is_token(request.path) {
            self.read(now, view, request, mint)
        } else {
            ImdsResponse::error(405)
        };
        // The answer to PUT, whatever it says, goes no farther than the hop limit.
        if is_put {
            response.within_hops(view.options.hop_limit)
        } else {
            response
        }
    }

    /// Forgets the tokens of an instance that is gone.
    pub fn forget(&mut self, instance: &InstanceId) {
        self.tokens.forget(instance);
    }

    fn put(
        &mut self,
        now: Timestamp,
        view: &InstanceView,
        request: &ImdsRequest<'_>,
        entropy: &[u8; TOKEN_ENTROPY_BYTES],
    ) -> ImdsResponse {
        if !path::is_token(request.path) {
            return ImdsResponse::error(405);
        }
        if request.forwarded {
            return ImdsResponse::error(403);
        }
        let ttl = request.token_ttl.and_then(|text| text.trim().parse().ok());
        match ttl {
            Some(secs) if TOKEN_TTL_SECS.contains(&secs) => {
                let token = self.tokens.issue(now, &view.id, secs, entropy);
                ImdsResponse::token(token, secs)
            }
            _ => ImdsResponse::error(400),
        }
    }

    fn read(
        &self,
        now: Timestamp,
        view: &InstanceView,
        request: &ImdsRequest<'_>,
        mint: impl FnOnce(&str) -> RoleCredentials,
    ) -> ImdsResponse {
        let authorised = match request.token {
            Some(token) => self.tokens.is_valid(now, &view.id, token),
            None => !view.options.tokens_required,
        };
        if !authorised {
            return ImdsResponse::error(401);
        }
        let Some(parts) = path::parts(request.path) else {
            return ImdsResponse::error(400);
        };
        match tree::find(view, &parts) {
            Some(Node::Credentials(role)) => {
                ImdsResponse::text(documents::credentials(&mint(&role)))
            }
            Some(Node::Directory(directory) | Node::Labelled(_, directory)) => {
                ImdsResponse::text(directory.listing())
            }
            Some(Node::Bytes(bytes)) => ImdsResponse::bytes(bytes),
            Some(Node::Text(text)) => ImdsResponse::text(text),
            None => ImdsResponse::error(404),
        }
    }
}

#[cfg(test)]
mod tests;
