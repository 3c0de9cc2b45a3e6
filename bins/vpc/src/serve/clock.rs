//! The clock that everything which ends by itself goes by, and that ends it.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use underlay_types::Timestamp;
use underlay_vpc_model::{Model, Speed, VirtualClock};

use super::ApiServer;
use crate::journal::ClockRecord;

/// The VPC's clock, read from the machine's.
pub struct Clock {
    started: Instant,
    clock: Mutex<VirtualClock>,
    /// Sent to when the clock was moved or goes at another speed.
    moved: watch::Sender<()>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

impl Clock {
    /// A clock that shows the machine's time now.
    #[must_use]
    pub fn new(speed: Speed) -> Self {
        Self::showing(wall_clock(), speed)
    }

    /// A clock that shows `now`.
    #[must_use]
    pub fn showing(now: Timestamp, speed: Speed) -> Self {
        Self {
            started: Instant::now(),
            clock: Mutex::new(VirtualClock::new(Timestamp::ZERO, now, speed)),
            moved: watch::Sender::new(()),
        }
    }

    /// The clock that another process kept, as if it had gone on; it shows no less than `least`.
    #[must_use]
    pub fn resumed(record: ClockRecord, least: Timestamp) -> Self {
        let clock = VirtualClock::new(record.wall, record.shown, record.speed);
        Self::showing(clock.at(wall_clock()).max(least), record.speed)
    }

    /// What another process has to know of it.
    pub(super) fn record(&self) -> ClockRecord {
        let clock = self.clock.lock();
        ClockRecord {
            wall: wall_clock(),
            shown: clock.at(self.real()),
            speed: clock.speed(),
        }
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        self.clock.lock().at(self.real())
    }

    /// How it goes.
    pub fn speed(&self) -> Speed {
        self.clock.lock().speed()
    }

    /// Has it go at another speed.
    pub(super) fn set_speed(&self, speed: Speed) {
        self.clock.lock().set_speed(speed, self.real());
        self.moved.send_replace(());
    }

    /// Moves it forward. Returns what it shows then.
    pub(super) fn advance(&self, by: Duration) -> Timestamp {
        let now = self.clock.lock().advance(by, self.real());
        self.moved.send_replace(());
        now
    }

    /// Waits until it shows `deadline`.
    pub async fn wait_until(&self, deadline: Timestamp) {
        let mut moved = self.moved.subscribe();
        loop {
            let wait = self.clock.lock().wait(deadline, self.real());
            let due = async {
                match wait {
                    Some(wait) => sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => return,
                // The sender lives as long as this borrow of it.
                _ = moved.changed() => {}
            }
        }
    }

    /// Waits for a time of the VPC's.
    pub(super) async fn wait(&self, time: Duration) {
        if !time.is_zero() {
            self.wait_until(self.now() + time).await;
        }
    }

    /// The machine's monotonic clock, from this clock's start.
    fn real(&self) -> Timestamp {
        Timestamp::ZERO + self.started.elapsed()
    }
}

/// The machine's Unix clock.
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::ZERO + since.unwrap_or_default()
}

/// Ticks the model at its deadlines, until `stop`.
pub(super) async fn run(server: &ApiServer, stop: &CancellationToken) {
    loop {
        let deadline = server.read(Model::next_deadline);
        let due = async {
            match deadline {
                Some(deadline) => server.clock.wait_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = server.deadline.notified() => continue,
            () = due => {}
        }
        // A hook may take its time: keep the runtime's other tasks going.
        tokio::task::block_in_place(|| server.settle());
    }
}
