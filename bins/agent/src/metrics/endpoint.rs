//! Metrics over HTTP, for a scraper on the node or in the cluster.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, runtime::Handle, sync::Semaphore, task::JoinHandle};
use tracing::{debug, warn};

use super::Metrics;

/// How long a scraper may take to send a request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Scrapers served at once; others wait.
const CONNECTIONS_MAX: usize = 8;
/// How long to wait after a failed accept, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why metrics are not served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on {address}: another program may have the port (metrics.listen)")]
pub struct EndpointError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// Serves metrics until dropped.
#[derive(Debug)]
pub struct Endpoint {
    accepting: JoinHandle<()>,
    address: SocketAddr,
}

impl Endpoint {
    /// Serves `metrics` on `address`, by tasks on `runtime`.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(
        address: SocketAddr,
        metrics: Arc<Metrics>,
        runtime: &Handle,
    ) -> Result<Self, EndpointError> {
        let refused = |source| EndpointError { address, source };
        let listener = TcpListener::bind(address).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        let _entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(refused)?;
        Ok(Self {
            accepting: runtime.spawn(accept(listener, metrics)),
            address: bound,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: tokio::net::TcpListener, metrics: Arc<Metrics>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = Arc::clone(&metrics);
                tokio::spawn(async move {
                    serve(stream, metrics).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a scraper's connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, metrics: Arc<Metrics>) {
    let answer = service_fn(move |request| respond(request, Arc::clone(&metrics)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        debug!(%error, "a scraper's connection");
    }
}

async fn respond(
    request: Request<Incoming>,
    metrics: Arc<Metrics>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            // The engine answers over a channel that blocks.
            let text = tokio::task::spawn_blocking(move || metrics.text()).await;
            match text {
                Ok(Ok(text)) => (StatusCode::OK, text),
                _ => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the metrics cannot be read\n".to_owned(),
                ),
            }
        }
        (&Method::GET, _) => (StatusCode::NOT_FOUND, "only /metrics is here\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    if status == StatusCode::OK {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    }
    Ok(response)
}
