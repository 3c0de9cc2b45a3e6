//! Two UDP sockets, and packets between them on one core.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use underlay_testkit::{Netns, wait_for};

const SIZE: usize = 64;
const EXCHANGES: usize = 500;
const BURSTS: usize = 20;
/// A receive buffer holds twice as many.
const BURST: usize = 100;
const PATIENCE: Duration = Duration::from_secs(2);

/// A socket in each of two namespaces, connected to each other.
#[derive(Debug)]
pub(super) struct Pair {
    near: UdpSocket,
    far: UdpSocket,
    /// Namespaces on the way that nothing else keeps.
    _kept: Vec<OwnedFd>,
}

/// Keeps the calling thread on the first core that it may use.
pub(super) fn pin_to_one_core() -> anyhow::Result<()> {
    let allowed = sched_getaffinity(None).context("reading the allowed cores")?;
    let first = (0..CpuSet::MAX_CPU)
        .find(|core| allowed.is_set(*core))
        .context("no core")?;
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).context("staying on one core")
}

impl Pair {
    /// Opens the sockets and waits until a packet passes in both directions.
    pub(super) fn open(
        near: &Netns,
        near_address: Ipv4Addr,
        far: &Netns,
        far_address: Ipv4Addr,
    ) -> anyhow::Result<Self> {
        let (near, far) = (socket(near, near_address)?, socket(far, far_address)?);
        near.connect(far.local_addr()?)?;
        far.connect(near.local_addr()?)?;
        let pair = Self {
            near,
            far,
            _kept: Vec::new(),
        };
        pair.wait_until_connected()?;
        Ok(pair)
    }

    /// Keeps `netns` for as long as the pair lives.
    pub(super) fn keeping(mut self, netns: OwnedFd) -> Self {
        self._kept.push(netns);
        self
    }

    fn wait_until_connected(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(15);
        self.set_patience(Duration::from_millis(200))?;
        while self.exchange().is_err() {
            if Instant::now() > deadline {
                bail!(
                    "no packet passes between {:?} and {:?}",
                    self.near.local_addr(),
                    self.far.local_addr()
                );
            }
        }
        // Answers to earlier tries may be under way still.
        self.drain()?;
        self.set_patience(PATIENCE)
    }

    fn set_patience(&self, patience: Duration) -> anyhow::Result<()> {
        for socket in [&self.near, &self.far] {
            socket.set_read_timeout(Some(patience))?;
        }
        Ok(())
    }

    fn exchange(&self) -> io::Result<()> {
        let mut packet = [0x75; SIZE];
        self.near.send(&packet)?;
        self.far.recv(&mut packet)?;
        self.far.send(&packet)?;
        self.near.recv(&mut packet)?;
        Ok(())
    }

    /// Microseconds of each of some round trips.
    pub(super) fn round_trips(&self) -> anyhow::Result<Vec<f64>> {
        (0..EXCHANGES)
            .map(|_| {
                let start = Instant::now();
                self.exchange().context("a packet was lost")?;
                Ok(start.elapsed().as_secs_f64() * 1e6)
            })
            .collect()
    }

    /// Nanoseconds of a packet, from some bursts: sending and the whole way into the receiver's
    /// queue, from which it is taken outside the measured time.
    pub(super) fn nanos_per_packet(&self) -> anyhow::Result<Vec<f64>> {
        let packet = [0x75; SIZE];
        let mut results = Vec::with_capacity(BURSTS);
        for _ in 0..BURSTS {
            let start = Instant::now();
            for _ in 0..BURST {
                self.near.send(&packet).context("sending")?;
            }
            let elapsed = start.elapsed();
            let arrived = self.drain()?;
            if arrived != BURST {
                bail!("{arrived} of {BURST} packets had arrived when sending ended");
            }
            results.push(elapsed.as_secs_f64() * 1e9 / BURST as f64);
        }
        Ok(results)
    }

    /// Takes what has arrived and counts what the far socket had.
    fn drain(&self) -> anyhow::Result<usize> {
        let mut packet = [0; SIZE];
        let mut far = 0;
        for socket in [&self.near, &self.far] {
            socket.set_nonblocking(true)?;
            let mut count = 0;
            while socket.recv(&mut packet).is_ok() {
                count += 1;
            }
            far = count;
            socket.set_nonblocking(false)?;
        }
        Ok(far)
    }
}

/// An instance's address appears shortly after the instance.
fn socket(netns: &Netns, address: Ipv4Addr) -> anyhow::Result<UdpSocket> {
    netns.run(|| {
        let object = format!("the address {address}");
        wait_for(&object, Duration::from_secs(10), || {
            match UdpSocket::bind((address, 0)) {
                Ok(socket) => Ok(Some(socket)),
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(None),
                Err(error) => Err(error).with_context(|| format!("binding {address}")),
            }
        })
    })
}
