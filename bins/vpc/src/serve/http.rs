//! Connections: HTTP/1.1 with keep-alive.

use std::{net::TcpListener, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use underlay_vpc_model::{Ec2Error, ErrorCode};

use super::{ApiServer, outage, request_id};
use crate::api::{self, ApiRequest, ApiResponse};

/// The largest body that is read: some 10,000 parameters.
const MAX_BODY: usize = 1 << 20;
/// How long a caller may take to send a request's head, and again its body.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long calls under way may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// How long to wait after a failed accept, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener being served. Dropping it does not end it: cancelling its token does.
#[derive(Debug)]
pub struct Listening(JoinHandle<()>);

impl Listening {
    /// Waits until the listener is closed and its connections have ended.
    pub async fn ended(self) {
        if let Err(error) = self.0.await {
            tracing::error!(%error, "the API's listener failed");
        }
    }
}

pub(super) fn listen(
    server: Arc<ApiServer>,
    listener: TcpListener,
    stop: CancellationToken,
) -> std::io::Result<Listening> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(Listening(tokio::spawn(accept(server, listener, stop))))
}

async fn accept(
    server: Arc<ApiServer>,
    mut listener: tokio::net::TcpListener,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            () = server.outage_begins() => {
                listener = match outage::last(&server, listener, &stop).await {
                    Ok(Some(listener)) => listener,
                    Ok(None) => return close(connections).await,
                    Err(error) => {
                        tracing::error!(%error, "connections stay refused");
                        return close(connections).await;
                    }
                };
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(Arc::clone(&server), stream, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection of the API");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    close(connections).await;
}

async fn close(connections: TaskTracker) {
    connections.close();
    if timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!("calls were cut off when the API stopped");
    }
}

async fn connection(server: Arc<ApiServer>, stream: TcpStream, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let service = service_fn(move |request| serve(Arc::clone(&server), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the API ended");
    }
}

/// A connection that is to be cut instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("a fault cuts the connection")]
struct Cut;

async fn serve(
    server: Arc<ApiServer>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    if server.outage().is_some() {
        return Err(Cut);
    }
    let request = match read(request).await {
        Ok(request) => request,
        Err(error) => return Ok(respond(api::refusal(&error, &request_id()))),
    };
    let call = match server.admit(&request) {
        Ok(call) => call,
        Err(refusal) => return Ok(respond(refusal)),
    };
    let fate = call.fate.clone();
    server.clock().wait(fate.hold).await;
    let answer = if server.may_block() {
        tokio::task::block_in_place(|| server.perform(call))
    } else {
        server.perform(call)
    };
    let latency = server.latency(&fate, answer.as_ref());
    server.clock().wait(latency).await;
    answer.map(respond).ok_or(Cut)
}

async fn read(request: Request<Incoming>) -> Result<ApiRequest, Ec2Error> {
    let (head, body) = request.into_parts();
    let body = timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes().to_vec(),
        Ok(Err(_)) => {
            let text = format!("The request's body is broken or exceeds {MAX_BODY} bytes");
            return Err(Ec2Error::new(ErrorCode::RequestEntityTooLarge, text));
        }
        Err(_elapsed) => {
            let text = "The request's body did not arrive in time";
            return Err(Ec2Error::new(ErrorCode::RequestExpired, text));
        }
    };
    Ok(ApiRequest {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers(&head.headers),
        body,
    })
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

fn respond(answer: ApiResponse) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/xml;charset=UTF-8"),
    );
    response
}
