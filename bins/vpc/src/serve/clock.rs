//! The clock that ends what is under way.

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use underlay_vpc_model::Model;

use super::{ApiServer, now};

/// Ticks the model at its deadlines, until `stop`.
pub(super) async fn run(server: &ApiServer, stop: &CancellationToken) {
    loop {
        let deadline = server.read(Model::next_deadline);
        let due = async {
            match deadline {
                Some(deadline) => sleep(deadline.saturating_since(now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = server.deadline.notified() => continue,
            () = due => {}
        }
        // A hook may take its time: keep the runtime's other tasks going.
        let ticked = tokio::task::block_in_place(|| server.change(Model::tick));
        if let Err(error) = ticked {
            tracing::error!(%error, "a transition was not carried out");
        }
    }
}
