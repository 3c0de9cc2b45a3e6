//! Files of lines: one per flow log and window.

use std::{
    collections::VecDeque,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use underlay_flowlog::{EniWindow, ObjectName, content_hash};
use underlay_types::{EniId, FlowLogId, Timestamp};

use super::{Subscription, SubscriptionError};

/// Compressed bytes kept for another try; beyond them the oldest object is given up.
const PENDING_BYTES: usize = 64 << 20;

/// Writes closed windows below a folder.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    pending: VecDeque<Object>,
}

#[derive(Debug)]
struct Object {
    /// Relative to the writer's folder.
    folder: PathBuf,
    name: ObjectName,
    content: Vec<u8>,
}

/// What came of a delivery.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Files that exist now.
    pub written: Vec<PathBuf>,
    /// What went wrong.
    pub failed: Vec<DeliveryError>,
}

/// Why lines are not in a file.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// A file could not be written. Its lines are kept for the next delivery.
    #[error("writing {path} of flow log {flow_log} failed; it is tried again after the next window", path = .path.display())]
    Write {
        /// The flow log.
        flow_log: FlowLogId,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Lines were given up for want of room.
    #[error("lines of flow log {flow_log} are lost: too many files wait to be written")]
    Lost {
        /// The flow log.
        flow_log: FlowLogId,
    },
    /// The fabric counted packets of an ENI that is not in the VPC.
    #[error("{packets} packets at ENI {eni}, which nobody knows, are in no flow log")]
    UnknownEni {
        /// The ENI.
        eni: EniId,
        /// Its packets.
        packets: u64,
    },
    /// A flow log asks for what cannot be done.
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
}

impl Writer {
    /// A writer below `dir`, which need not exist yet.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            pending: VecDeque::new(),
        }
    }

    /// Writes the lines of closed windows, one file per flow log that has any, and what an
    /// earlier delivery could not write.
    ///
    /// # Guarantees
    /// A file is there with all its lines or not at all; no file is ever replaced by another.
    pub fn deliver(
        &mut self,
        now: Timestamp,
        windows: &[EniWindow],
        subscriptions: &[Subscription],
    ) -> Delivery {
        let objects = subscriptions
            .iter()
            .filter_map(|subscription| object(now, windows, subscription));
        self.pending.extend(objects);
        let mut delivery = Delivery::default();
        for object in std::mem::take(&mut self.pending) {
            match object.write_below(&self.dir) {
                Ok(path) => delivery.written.push(path),
                Err((path, source)) => {
                    delivery.failed.push(DeliveryError::Write {
                        flow_log: object.name.flow_log.clone(),
                        path,
                        source,
                    });
                    self.pending.push_back(object);
                }
            }
        }
        self.give_up_the_oldest(&mut delivery);
        delivery
    }

    fn give_up_the_oldest(&mut self, delivery: &mut Delivery) {
        let mut bytes: usize = self.pending.iter().map(|object| object.content.len()).sum();
        while bytes > PENDING_BYTES
            && let Some(object) = self.pending.pop_front()
        {
            bytes = bytes.saturating_sub(object.content.len());
            delivery.failed.push(DeliveryError::Lost {
                flow_log: object.name.flow_log,
            });
        }
    }
}

/// The file of one flow log; `None` without any line. Its account and region are those of the
/// ENIs: a flow log covers those of one VPC at most.
fn object(now: Timestamp, windows: &[EniWindow], subscription: &Subscription) -> Option<Object> {
    let covered: Vec<_> = windows
        .iter()
        .filter(|window| subscription.covers(&window.facts))
        .collect();
    let facts = &covered.first()?.facts;
    let format = &subscription.format;
    let lines: Vec<_> = covered
        .iter()
        .flat_map(|window| format.lines(window, subscription.traffic))
        .collect();
    if lines.is_empty() {
        return None;
    }
    let text = format!("{}\n{}\n", format.header(), lines.join("\n"));
    let name = ObjectName {
        account: facts.account.clone(),
        region: facts.network.region.clone(),
        flow_log: subscription.flow_log.clone(),
        delivered: now,
        hash: content_hash(text.as_bytes()),
    };
    let folder = subscription
        .destination
        .parts()
        .collect::<PathBuf>()
        .join(name.folder(subscription.partitioning));
    Some(Object {
        folder,
        name,
        content: gzip(text.as_bytes()),
    })
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(text)
        .and_then(|()| encoder.finish())
        .expect("writing to a Vec cannot fail")
}

impl Object {
    /// Writes the file under a name of its own, then links it to its place; a taken name leads to
    /// the next hash.
    fn write_below(&self, dir: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
        let folder = dir.join(&self.folder);
        let mut name = self.name.clone();
        let unfinished = folder.join(format!(".{name}.part"));
        let path_of = |name: &ObjectName| folder.join(name.to_string());
        let prepared =
            fs::create_dir_all(&folder).and_then(|()| fs::write(&unfinished, &self.content));
        if let Err(error) = prepared {
            return Err((path_of(&name), error));
        }
        let linked = loop {
            let path = path_of(&name);
            match fs::hard_link(&unfinished, &path) {
                Ok(()) => break Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    name.hash = name.hash.wrapping_add(1);
                }
                Err(error) => break Err((path, error)),
            }
        };
        let removed = fs::remove_file(&unfinished);
        match (linked, removed) {
            // The lines are in place; a left-over that cannot be removed is no reason to write
            // them a second time.
            (Ok(path), Err(error)) => {
                tracing::warn!(path = %unfinished.display(), %error, "a left-over stays");
                Ok(path)
            }
            (linked, _) => linked,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
