//! A stream of datagrams that counts what is lost.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;

use crate::Netns;

/// Between two datagrams. What arrives while a busy machine lets the receiver wait fits its buffer.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the last ones may take.
const LAST: Duration = Duration::from_secs(2);

/// A stream from one namespace to another. Ends when it is dropped.
#[derive(Debug)]
pub struct DatagramStream {
    ended: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    /// Numbers that have arrived.
    arrived: Arc<Mutex<Vec<u64>>>,
    threads: Vec<JoinHandle<()>>,
}

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Datagrams sent.
    pub sent: u64,
    /// Those that never arrived.
    pub lost: u64,
}

impl DatagramStream {
    /// Sends from `from` to the address `to`, which is one of `receiver`.
    ///
    /// # Errors
    /// When a socket cannot be made.
    pub fn start(from: &Netns, receiver: &Netns, to: SocketAddr) -> anyhow::Result<Self> {
        let incoming = receiver.run(|| UdpSocket::bind(to).context("binding the receiver"))?;
        incoming.set_read_timeout(Some(LAST))?;
        let outgoing = from.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").context("binding the sender")?;
            socket.connect(to).context("connecting the sender")?;
            Ok(socket)
        })?;
        let ended = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let sender = {
            let (ended, sent) = (Arc::clone(&ended), Arc::clone(&sent));
            move || {
                while !ended.load(Ordering::SeqCst) {
                    let number = sent.fetch_add(1, Ordering::SeqCst);
                    // One that the kernel refuses to send is lost, and counted so.
                    outgoing.send(&number.to_be_bytes()).ok();
                    thread::sleep(PAUSE);
                }
            }
        };
        let receiver = {
            let (ended, arrived) = (Arc::clone(&ended), Arc::clone(&arrived));
            move || {
                let mut number = [0; 8];
                loop {
                    let is_over = ended.load(Ordering::SeqCst);
                    if incoming.recv(&mut number).is_ok() {
                        let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
                        arrived.push(u64::from_be_bytes(number));
                    } else if is_over {
                        return;
                    }
                }
            }
        };
        Ok(Self {
            threads: vec![thread::spawn(sender), thread::spawn(receiver)],
            ended,
            sent,
            arrived,
        })
    }

    /// How many have arrived so far.
    #[must_use]
    pub fn arrived(&self) -> usize {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.len()
    }

    /// Ends the stream and waits for what is under way.
    #[must_use]
    pub fn end(mut self) -> Delivery {
        self.stop();
        let sent = self.sent.load(Ordering::SeqCst);
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.sort_unstable();
        arrived.dedup();
        let count = u64::try_from(arrived.len()).unwrap_or(u64::MAX);
        Delivery {
            sent,
            lost: sent.saturating_sub(count),
        }
    }

    fn stop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // A panic was reported by the thread itself.
            drop(thread.join());
        }
    }
}

impl Drop for DatagramStream {
    fn drop(&mut self) {
        self.stop();
    }
}
