//! One signed POST: connection reuse, deadline, and what is known when it fails.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Uri,
    header::{CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    Ec2Config, Ec2ConfigError,
    error::{Ec2Failure, root_cause},
};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// A page of 1,000 ENIs with 50 addresses each is about 15 MB.
const REPLY_MAX: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// AWS closes idle connections after some minutes; ours go first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

type HttpClient = Client<HttpConnector, Full<Bytes>>;
type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A connection pool to one endpoint.
#[derive(Debug)]
pub(super) struct Transport {
    client: PoolOf,
    endpoint: Uri,
    host: HeaderValue,
    region: String,
}

#[derive(Debug)]
enum PoolOf {
    Http(HttpClient),
    Https(HttpsClient),
}

/// What came back, whatever it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Whether this machine has root certificates to check a server's with.
pub(crate) fn has_root_certificates() -> bool {
    static CHECKED: LazyLock<bool> =
        LazyLock::new(|| HttpsConnectorBuilder::new().with_native_roots().is_ok());
    *CHECKED
}

// === impl Transport ===

impl Transport {
    pub(super) fn new(config: &Ec2Config) -> Result<Self, Ec2ConfigError> {
        let region = config.region.clone();
        if region.is_empty()
            || !region
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            return Err(Ec2ConfigError::Region(region));
        }
        let endpoint = config
            .endpoint
            .clone()
            .unwrap_or_else(|| default_endpoint(&region));
        let malformed = |reason: &str| Ec2ConfigError::Endpoint {
            endpoint: endpoint.clone(),
            reason: reason.to_owned(),
        };
        let uri: Uri = endpoint
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| malformed(&error.to_string()))?;
        let authority = uri
            .authority()
            .ok_or_else(|| malformed("it names no host"))?;
        let host = HeaderValue::from_str(host_header(&uri, authority.as_str()))
            .map_err(|error| malformed(&error.to_string()))?;
        let client = match uri.scheme_str() {
            Some("http") => PoolOf::Http(pool(connector())),
            Some("https") => PoolOf::Https(pool(https(connector())?)),
            _ => {
                return Err(malformed(
                    "it begins neither with http:// nor with https://",
                ));
            }
        };
        Ok(Self {
            client,
            endpoint: uri,
            host,
            region,
        })
    }

    /// Sends `form` and reads the whole answer, within `timeout`.
    pub(super) async fn post(
        &self,
        form: String,
        credentials: Credentials,
        timeout: Duration,
    ) -> Result<Answer, Ec2Failure> {
        let request = self.signed(form, credentials)?;
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(result) => result,
            Err(_elapsed) => {
                Err(self.no_answer(format!("nothing within {}ms", timeout.as_millis())))
            }
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Ec2Failure> {
        let sent = match &self.client {
            PoolOf::Http(client) => client.request(request).await,
            PoolOf::Https(client) => client.request(request).await,
        };
        let response = sent.map_err(|error| {
            if error.is_connect() {
                Ec2Failure::Unreachable {
                    endpoint: self.endpoint.to_string(),
                    reason: root_cause(&error),
                }
            } else {
                self.no_answer(root_cause(&error))
            }
        })?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), REPLY_MAX)
            .collect()
            .await
            .map_err(|error| self.no_answer(error.to_string()))?
            .to_bytes();
        Ok(Answer {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    fn no_answer(&self, reason: String) -> Ec2Failure {
        Ec2Failure::NoAnswer {
            endpoint: self.endpoint.to_string(),
            reason,
        }
    }

    fn signed(
        &self,
        form: String,
        credentials: Credentials,
    ) -> Result<Request<Full<Bytes>>, Ec2Failure> {
        let wrong = |error: &dyn std::error::Error| Ec2Failure::Request(root_cause(error));
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ec2")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| wrong(&error))?
            .into();
        let host = self.host.to_str().map_err(|error| wrong(&error))?;
        let headers = [(HOST.as_str(), host), (CONTENT_TYPE.as_str(), FORM)];
        let signable = SignableRequest::new(
            "POST",
            self.endpoint.to_string(),
            headers.into_iter(),
            SignableBody::Bytes(form.as_bytes()),
        )
        .map_err(|error| wrong(&error))?;
        let (instructions, _signature) = sign(signable, &parameters)
            .map_err(|error| wrong(&error))?
            .into_parts();
        let mut request = Request::post(&self.endpoint)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, FORM)
            .body(Full::new(Bytes::from(form)))
            .map_err(|error| wrong(&error))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

fn default_endpoint(region: &str) -> String {
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    format!("https://ec2.{region}.{domain}")
}

/// Clients leave the scheme's own port out of the header, and servers sign what they see.
fn host_header<'a>(uri: &Uri, authority: &'a str) -> &'a str {
    let port = match uri.scheme_str() {
        Some("https") => ":443",
        _ => ":80",
    };
    authority.strip_suffix(port).unwrap_or(authority)
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    connector
}

fn https(connector: HttpConnector) -> Result<HttpsConnector<HttpConnector>, Ec2ConfigError> {
    let builder = HttpsConnectorBuilder::new()
        .with_native_roots()
        .map_err(|error| Ec2ConfigError::Certificates(error.to_string()))?;
    Ok(builder
        .https_only()
        .enable_http1()
        .wrap_connector(connector))
}

fn pool<C>(connector: C) -> Client<C, Full<Bytes>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(connector)
}

#[cfg(test)]
mod tests;
