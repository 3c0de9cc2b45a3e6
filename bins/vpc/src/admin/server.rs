//! Serving the admin API on a socket.

use std::{convert::Infallible, fs, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::Refusal;

const MAX_BODY: usize = 64 << 10;
/// Connections served at a time; more wait to be accepted.
const CONNECTIONS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Carries out admin requests.
pub trait Admin: Send + Sync + 'static {
    /// Carries out one request and returns the JSON of its answer. May block.
    ///
    /// # Errors
    /// When it is not carried out.
    fn act(&self, method: &Method, path: &str, body: &[u8]) -> Result<String, Refusal>;
}

/// Serves the admin API until `stop`. Needs a runtime of several threads.
pub async fn serve(admin: Arc<dyn Admin>, listener: UnixListener, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots)
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            Ok::<_, io::Error>((listener.accept().await?.0, slot))
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let admin = Arc::clone(&admin);
                tokio::spawn(async move {
                    let _slot = slot;
                    connection(admin, stream).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection of the admin socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Opens the socket. It is its owner's alone.
///
/// # Errors
/// The system's.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(path, mode)?;
    Ok(listener)
}

async fn connection(admin: Arc<dyn Admin>, stream: UnixStream) {
    let service = service_fn(move |request| answer(Arc::clone(&admin), request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the admin socket ended");
    }
}

async fn answer(
    admin: Arc<dyn Admin>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect();
    let outcome = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => {
            let body = body.to_bytes();
            // Kernel work: the runtime's other tasks go on elsewhere.
            tokio::task::block_in_place(|| admin.act(&parts.method, parts.uri.path(), &body))
        }
        _ => Err(Refusal::invalid(
            "the request's body did not arrive, or has more than 64 KiB",
        )),
    };
    let (status, body) = match outcome {
        Ok(body) => (200, body),
        Err(refusal) => {
            tracing::warn!(
                path = parts.uri.path(),
                reason = refusal.reason,
                "admin request refused"
            );
            let text = serde_json::json!({ "error": refusal.reason }).to_string();
            (refusal.status, text)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// Reads a request's body.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::invalid(format!("the body: {error}")))
}

/// Writes an answer.
pub(crate) fn write(value: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(value).map_err(|error| Refusal::failed(&error))
}
