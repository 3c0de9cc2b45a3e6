//! Closed windows become files: objects of buckets and streams of log groups.

mod events;
mod object;
mod parquet;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
};

use underlay_flowlog::{
    EniWindow, Field, FileFormat, Line, OBJECT_BYTES, ObjectName, Partitioning, chunks,
    content_hash, log_stream,
};
use underlay_types::{EniId, FlowLogId, Timestamp};

pub(super) use self::events::{Event, is_stream};
use self::{events::Events, object::Object};
use super::{Aggregation, Subscription, SubscriptionError, Target};

/// Bytes kept for another try; beyond them the oldest are given up.
const PENDING_BYTES: usize = 64 << 20;

/// Writes closed windows below a folder.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    /// Text of one object at most.
    object_bytes: usize,
    pending: VecDeque<Piece>,
}

/// What is written at once, or not at all.
#[derive(Debug)]
struct Piece {
    flow_log: FlowLogId,
    file: File,
}

#[derive(Debug)]
enum File {
    Events(Events),
    Object(Object),
}

/// What came of a delivery.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Files that exist now, or have more in them.
    pub written: Vec<PathBuf>,
    /// What went wrong.
    pub failed: Vec<DeliveryError>,
    /// The flow logs that something was written for, or should have been; and whether it was.
    pub outcomes: BTreeMap<FlowLogId, LogOutcome>,
}

/// How the delivery of one flow log's lines went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogOutcome {
    /// The folder may not be written.
    Denied,
    /// The lines are there.
    Done,
    /// Something else is in the way.
    Failed,
}

/// Why lines are not in a file.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Lines could not be made into an object.
    #[error("lines of flow log {flow_log} have no form as an object")]
    Encode {
        /// The flow log.
        flow_log: FlowLogId,
        /// What the encoder said.
        #[source]
        source: ::parquet::errors::ParquetError,
    },
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
            object_bytes: OBJECT_BYTES,
            pending: VecDeque::new(),
        }
    }

    /// Writes the lines of closed windows of one length, and what an earlier delivery could not
    /// write: one object per flow log of a bucket that has any line (more, if they are many), and
    /// events to one stream per ENI and flow log of a log group.
    ///
    /// # Guarantees
    /// An object is there with all its lines or not at all, and is never replaced by another. A
    /// stream has all lines of a window or none.
    pub fn deliver(
        &mut self,
        now: Timestamp,
        length: Aggregation,
        windows: &[EniWindow],
        subscriptions: &[Subscription],
    ) -> Delivery {
        let mut delivery = Delivery::default();
        for subscription in subscriptions {
            let covered: Vec<_> = windows
                .iter()
                .filter(|window| subscription.takes(length, &window.facts))
                .collect();
            match self.files(now, subscription, &covered) {
                Ok(files) => self.pending.extend(files.into_iter().map(|file| Piece {
                    flow_log: subscription.flow_log.clone(),
                    file,
                })),
                Err(error) => delivery.note(&subscription.flow_log, LogOutcome::Failed, error),
            }
        }
        for piece in std::mem::take(&mut self.pending) {
            match piece.file.write_below(&self.dir) {
                Ok(path) => {
                    delivery.written.push(path);
                    let log = piece.flow_log;
                    delivery.outcomes.entry(log).or_insert(LogOutcome::Done);
                }
                Err((path, source)) => {
                    let outcome = if source.kind() == io::ErrorKind::PermissionDenied {
                        LogOutcome::Denied
                    } else {
                        LogOutcome::Failed
                    };
                    let flow_log = piece.flow_log.clone();
                    let error = DeliveryError::Write {
                        flow_log,
                        path,
                        source,
                    };
                    delivery.note(&piece.flow_log, outcome, error);
                    self.pending.push_back(piece);
                }
            }
        }
        self.give_up_the_oldest(&mut delivery);
        delivery
    }

    fn files(
        &self,
        now: Timestamp,
        subscription: &Subscription,
        covered: &[&EniWindow],
    ) -> Result<Vec<File>, DeliveryError> {
        match &subscription.target {
            Target::LogGroup(group) => Ok(covered
                .iter()
                .filter_map(|window| {
                    let stream = log_stream(&window.facts.id, subscription.traffic);
                    let events = events(now, subscription, window);
                    let path = events::stream_path(group, &stream);
                    (!events.is_empty()).then(|| File::Events(Events::new(path, &events)))
                })
                .collect()),
            Target::Bucket {
                destination,
                file_format,
                partitioning,
            } => {
                let folder = destination.parts().collect();
                self.objects(
                    now,
                    subscription,
                    covered,
                    (&folder, *file_format, *partitioning),
                )
            }
        }
    }

    /// The objects of one flow log; none without any line. Its account and Region are those of
    /// the ENIs: a flow log covers those of one VPC at most.
    fn objects(
        &self,
        now: Timestamp,
        subscription: &Subscription,
        covered: &[&EniWindow],
        (prefix, file_format, partitioning): (&PathBuf, FileFormat, Partitioning),
    ) -> Result<Vec<File>, DeliveryError> {
        let Some(first) = covered.first() else {
            return Ok(Vec::new());
        };
        let (facts, format) = (&first.facts, &subscription.format);
        let lines: Vec<_> = covered
            .iter()
            .flat_map(|window| format.lines(window, subscription.traffic))
            .collect();
        let room = self.object_bytes.saturating_sub(format.header().len() + 1);
        chunks(&lines, room)
            .into_iter()
            .map(|lines| {
                let content = object::content(file_format, format, lines);
                let content = content.map_err(|source| DeliveryError::Encode {
                    flow_log: subscription.flow_log.clone(),
                    source,
                })?;
                let name = ObjectName {
                    account: facts.account.clone(),
                    region: facts.network.region.clone(),
                    flow_log: subscription.flow_log.clone(),
                    delivered: now,
                    hash: content_hash(&content),
                    format: file_format,
                };
                Ok(File::Object(Object {
                    folder: prefix.join(name.folder(partitioning)),
                    name,
                    content,
                }))
            })
            .collect()
    }

    fn give_up_the_oldest(&mut self, delivery: &mut Delivery) {
        let mut bytes: usize = self.pending.iter().map(|piece| piece.file.len()).sum();
        while bytes > PENDING_BYTES
            && let Some(piece) = self.pending.pop_front()
        {
            bytes = bytes.saturating_sub(piece.file.len());
            delivery.failed.push(DeliveryError::Lost {
                flow_log: piece.flow_log,
            });
        }
    }
}

/// The events of one ENI's window. Their time is that of the flow's first packet.
fn events(now: Timestamp, subscription: &Subscription, window: &EniWindow) -> Vec<Event> {
    let format = &subscription.format;
    let fields = format.header();
    let lines = format.lines(window, subscription.traffic);
    lines
        .into_iter()
        .map(|message| {
            let start = Line::parse(format, &message).map(|line| line.number(Field::Start));
            let start = start.ok().flatten().unwrap_or(window.start.as_secs());
            Event {
                timestamp: start.saturating_mul(1000),
                ingestion_time: now.as_secs().saturating_mul(1000),
                fields: fields.clone(),
                message,
            }
        })
        .collect()
}

impl File {
    fn write_below(&self, dir: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
        match self {
            Self::Events(events) => events.append_below(dir),
            Self::Object(object) => object.write_below(dir),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Events(events) => events.text.len(),
            Self::Object(object) => object.content.len(),
        }
    }
}

impl Delivery {
    fn note(&mut self, flow_log: &FlowLogId, outcome: LogOutcome, error: DeliveryError) {
        self.outcomes.insert(flow_log.clone(), outcome);
        self.failed.push(error);
    }

    /// Adds what another delivery came to.
    pub(super) fn absorb(&mut self, other: Self) {
        self.written.extend(other.written);
        self.failed.extend(other.failed);
        for (flow_log, outcome) in other.outcomes {
            let known = self.outcomes.entry(flow_log).or_insert(outcome);
            if outcome != LogOutcome::Done {
                *known = outcome;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
