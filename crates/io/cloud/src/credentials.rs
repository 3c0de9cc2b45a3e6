//! What requests are signed with: the AWS default chain, cached until shortly before it expires.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use aws_config::{
    Region, default_provider::credentials::DefaultCredentialsChain, provider_config::ProviderConfig,
};
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use tokio::sync::Mutex;

/// Role credentials live for hours; EC2 offers new ones at least five minutes before the end.
const REFRESH_BEFORE: Duration = Duration::from_mins(5);
const PROVIDE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where credentials come from.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialSource {
    /// Environment, profile files, web identity, container and instance role, in this order.
    DefaultChain,
    /// A fixed pair, for a local VPC.
    Fixed {
        /// The access key id.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: String,
    },
}

/// The current credentials, fetched when first needed.
#[derive(Debug)]
pub(crate) struct Credentials {
    source: CredentialSource,
    region: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    chain: Option<DefaultCredentialsChain>,
    current: Option<aws_credential_types::Credentials>,
}

// === impl CredentialSource ===

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultChain => f.write_str("DefaultChain"),
            Self::Fixed { access_key_id, .. } => f
                .debug_struct("Fixed")
                .field("access_key_id", access_key_id)
                .finish_non_exhaustive(),
        }
    }
}

// === impl Credentials ===

impl Credentials {
    pub(crate) fn new(source: CredentialSource, region: &str) -> Self {
        Self {
            source,
            region: region.to_owned(),
            state: Mutex::default(),
        }
    }

    /// Credentials that are valid for some minutes.
    ///
    /// # Errors
    /// The chain's own words, where it has none and none that are cached are still valid.
    pub(crate) async fn current(&self) -> Result<aws_credential_types::Credentials, String> {
        if let CredentialSource::Fixed {
            access_key_id,
            secret_access_key,
        } = &self.source
        {
            return Ok(fixed(access_key_id, secret_access_key));
        }
        let mut state = self.state.lock().await;
        if let Some(current) = state
            .current
            .as_ref()
            .filter(|held| lives(held, REFRESH_BEFORE))
        {
            return Ok(current.clone());
        }
        if state.chain.is_none() {
            state.chain = Some(default_chain(&self.region).await);
        }
        let provided = match &state.chain {
            Some(chain) => tokio::time::timeout(PROVIDE_TIMEOUT, chain.provide_credentials()).await,
            None => return Err("the chain was not built".to_owned()),
        };
        let reason = match provided {
            Ok(Ok(fresh)) => {
                state.current = Some(fresh.clone());
                return Ok(fresh);
            }
            Ok(Err(error)) => crate::ec2::root_cause(&error),
            Err(_elapsed) => format!("no answer within {}s", PROVIDE_TIMEOUT.as_secs()),
        };
        match &state.current {
            Some(held) if lives(held, Duration::ZERO) => Ok(held.clone()),
            _ => Err(reason),
        }
    }

    /// Forgets what is cached, after EC2 called it expired.
    pub(crate) async fn forget(&self) {
        self.state.lock().await.current = None;
    }
}

fn fixed(access_key_id: &str, secret_access_key: &str) -> aws_credential_types::Credentials {
    aws_credential_types::Credentials::new(access_key_id, secret_access_key, None, None, "Fixed")
}

fn lives(credentials: &aws_credential_types::Credentials, margin: Duration) -> bool {
    credentials
        .expiry()
        .is_none_or(|expiry| expiry > SystemTime::now() + margin)
}

async fn default_chain(region: &str) -> DefaultCredentialsChain {
    // Without root certificates the chain can still ask the instance metadata service.
    let http = if crate::ec2::has_root_certificates() {
        Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https()
    } else {
        Builder::new().build_http()
    };
    let region = Region::new(region.to_owned());
    let config = ProviderConfig::without_region()
        .with_region(Some(region.clone()))
        .with_http_client(http);
    DefaultCredentialsChain::builder()
        .configure(config)
        .region(region)
        .build()
        .await
}
