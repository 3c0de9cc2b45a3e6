//! The server's half.

use std::{convert::Infallible, fs, io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE,
    server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use underlay_types::chain;
use underlay_vpc_model::{InstanceState, Model};

use super::{Flushed, InstanceStatus, Refusal, Status};
use crate::full::{namespaces::Namespaces, vpc::FullVpc};

const MAX_BODY: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the status says beside the model's part.
#[derive(Debug, Clone)]
pub(in crate::full) struct Facts {
    pub(in crate::full) api: String,
    pub(in crate::full) flow_log_dir: PathBuf,
}

/// Serves the admin API until `stop`. The socket is root's alone.
pub(in crate::full) async fn serve(
    vpc: Arc<FullVpc>,
    facts: Facts,
    listener: UnixListener,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(Arc::clone(&vpc), facts.clone(), stream));
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection of the admin socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Opens the socket.
pub(in crate::full) fn listen(path: &std::path::Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(path, mode)?;
    Ok(listener)
}

async fn connection(vpc: Arc<FullVpc>, facts: Facts, stream: UnixStream) {
    let service = service_fn(move |request| answer(Arc::clone(&vpc), facts.clone(), request));
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
    vpc: Arc<FullVpc>,
    facts: Facts,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect();
    let outcome = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => {
            let body = body.to_bytes();
            // Kernel work: the runtime's other tasks go on elsewhere.
            tokio::task::block_in_place(|| {
                act(&vpc, &facts, &parts.method, parts.uri.path(), &body)
            })
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
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

fn act(
    vpc: &Arc<FullVpc>,
    facts: &Facts,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<String, Refusal> {
    match (method, path) {
        (&Method::GET, "/status") => write(&status(vpc, facts)?),
        (&Method::POST, "/endpoints") => write(&vpc.endpoint(&read(body)?)?),
        (&Method::POST, "/hosts") => write(&vpc.host(&read(body)?)?),
        (&Method::POST, "/flow-logs/flush") => {
            let delivery = vpc.flush_flow_logs();
            let errors = delivery.failed.iter().map(|error| chain(error)).collect();
            write(&Flushed {
                files: delivery.written,
                errors,
            })
        }
        (&Method::POST, "/stop") => {
            vpc.stop.cancel();
            write(&serde_json::json!({}))
        }
        _ => Err(Refusal {
            status: 404,
            reason: format!("there is no {method} {path}"),
        }),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::invalid(format!("the body: {error}")))
}

fn write(value: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(value).map_err(|error| Refusal::failed(&error))
}

fn status(vpc: &FullVpc, facts: &Facts) -> Result<Status, Refusal> {
    let counters = vpc.driver.lock().fabric().counters();
    let counters = counters.map_err(|error| Refusal::failed(&error))?;
    let packets = counters.into_iter().filter(|(_, count)| *count > 0);
    let packets = packets
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
    Ok(vpc.api.read(|model| Status {
        run: vpc.run.id().to_string(),
        pid: std::process::id(),
        api: facts.api.clone(),
        flow_log_dir: facts.flow_log_dir.clone(),
        vpcs: model.vpcs().count(),
        subnets: model.subnets().count(),
        instances: instances(model),
        free_enis: model.enis().filter(|eni| eni.attachment.is_none()).count(),
        external_enis: model
            .enis()
            .filter(|eni| eni.attachment.is_some() && eni.instance().is_none())
            .count(),
        packets,
    }))
}

fn instances(model: &Model) -> Vec<InstanceStatus> {
    let there = model
        .instances()
        .filter(|instance| instance.state != InstanceState::Terminated);
    let status = |instance: &underlay_vpc_model::Instance| InstanceStatus {
        id: instance.id.to_string(),
        instance_type: instance.instance_type.clone(),
        zone: instance.zone.name.clone(),
        netns: Namespaces::path(instance.id.as_str()),
        enis: model
            .enis_of(&instance.id)
            .into_iter()
            .map(|eni| (eni.id.to_string(), eni.addresses.primary.to_string()))
            .collect(),
    };
    there.map(status).collect()
}
