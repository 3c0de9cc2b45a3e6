//! A caller of the EC2 Query API for set-up and for looking: any action, no types.
//!
//! It is not the product's own client on purpose: tests should not see the API through the same
//! eyes as the code they test.

mod setup;
mod xml;

use std::{fmt, net::SocketAddr};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub use setup::{IngressRule, Interface, Source};
pub use xml::Element;

/// An error answer of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Error {
    /// The action that was called.
    pub action: String,
    /// The HTTP status.
    pub status: u16,
    /// EC2's error code.
    pub code: String,
    /// EC2's message.
    pub message: String,
}

impl fmt::Display for Ec2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            action,
            status,
            code,
            message,
        } = self;
        write!(f, "EC2 {action} answered {status} {code}: {message}")
    }
}

impl std::error::Error for Ec2Error {}

/// A caller of the API at one address.
#[derive(Debug, Clone)]
pub struct Ec2 {
    address: SocketAddr,
}

impl Ec2 {
    /// A caller of the API at `endpoint`, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When it is not an address and a port.
    pub fn new(endpoint: &str) -> anyhow::Result<Self> {
        let address = endpoint
            .strip_prefix("http://")
            .unwrap_or(endpoint)
            .trim_end_matches('/');
        let address = address
            .parse()
            .with_context(|| format!("reading {endpoint:?}"))?;
        Ok(Self { address })
    }

    /// Where the API is.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls `action` and returns the root of the answer.
    ///
    /// # Errors
    /// [`Ec2Error`] when the API refuses; another error when it cannot be reached or understood.
    pub async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Element> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("Action", action)
            .append_pair("Version", "2016-11-15");
        body.extend_pairs(parameters);
        let (status, text) = self
            .post(body.finish())
            .await
            .with_context(|| format!("calling EC2 {action} at {}", self.address))?;
        let root = Element::parse(&text).with_context(|| format!("reading {text:?}"))?;
        if status.is_success() {
            return Ok(root);
        }
        let error = root.find("Error");
        let text = |name| {
            error
                .and_then(|error| error.text_of(name))
                .unwrap_or_default()
        };
        Err(anyhow::Error::new(Ec2Error {
            action: action.to_owned(),
            status: status.as_u16(),
            code: text("Code").to_owned(),
            message: text("Message").to_owned(),
        }))
    }

    async fn post(&self, body: String) -> anyhow::Result<(StatusCode, String)> {
        let stream = TcpStream::connect(self.address)
            .await
            .context("connecting")?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::post("/")
            .header(header::HOST, self.address.to_string())
            .header(
                header::CONTENT_TYPE,
                "application/x-www-form-urlencoded; charset=utf-8",
            )
            .header("x-amz-date", "20260101T000000Z")
            .header(header::AUTHORIZATION, AUTHORIZATION)
            .body(Full::new(Bytes::from(body)))?;
        let answer = sender.send_request(request).await.context("sending")?;
        let status = answer.status();
        let body = answer
            .into_body()
            .collect()
            .await
            .context("reading the answer")?;
        drop(sender);
        connection.await.context("closing the connection")?.ok();
        Ok((
            status,
            String::from_utf8(body.to_bytes().into()).context("reading the answer")?,
        ))
    }
}

/// Signed in shape only: the API checks signatures only when it is told to.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
    Credential=AKIAUNDERLAYTESTKIT0/20260101/us-east-1/ec2/aws4_request, \
    SignedHeaders=content-type;host;x-amz-date, \
    Signature=0000000000000000000000000000000000000000000000000000000000000000";
