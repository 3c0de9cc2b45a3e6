//! Showing frames to the programs without sending them.

use std::os::fd::AsFd;

use aya::programs::{SchedClassifier, TestRun, TestRunOptions};
use underlay_netlink::netns;
use underlay_types::EniId;

use crate::{Fabric, FabricError, programs::ProgramName};

/// Bytes of the largest frame that the kernel lets programs be run on: a page, less what it needs
/// of it.
const LARGEST: usize = 4096;
/// TC_ACT_REDIRECT (linux/pkt_cls.h): the frame goes on to a device.
const REDIRECTED: u32 = 7;
/// Where `ifindex` is in `struct __sk_buff` (linux/bpf.h), behind ten words.
const IFINDEX: usize = 40;

/// Where a frame is shown to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance<'a> {
    /// From the owner of an ENI that has a device.
    Eni(&'a EniId),
    /// From the outside world.
    Outside,
}

impl Fabric {
    /// Runs the programs on an Ethernet frame without a tag, of at most some 3,500 bytes, and
    /// answers the frame that would go on, `None` when it is dropped. Nothing is sent. Counters,
    /// flow records, tracked flows and translations change as by any packet.
    ///
    /// # Errors
    /// When the ENI has no port, or the kernel refuses.
    pub fn show(
        &self,
        entrance: Entrance<'_>,
        frame: &[u8],
    ) -> Result<Option<Vec<u8>>, FabricError> {
        let (name, ifindex) = match entrance {
            Entrance::Eni(eni) => {
                let port = self.ports.get(eni);
                let port = port.ok_or_else(|| FabricError::UnknownPort(eni.clone()))?;
                (ProgramName::Eni.text(), port.near())
            }
            Entrance::Outside => (ProgramName::Outside.text(), 0),
        };
        let program = self.object.program(name);
        let program: &SchedClassifier = program
            .and_then(|program| program.try_into().ok())
            .ok_or(FabricError::Object(name))?;
        let mut context = [0; IFINDEX + 4];
        context[IFINDEX..].copy_from_slice(&ifindex.to_ne_bytes());
        let mut out = vec![0; LARGEST];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        // The kernel looks for the device in the caller's namespace.
        let ran = netns::run_in(self.netns.as_fd(), || program.test_run(options))?;
        let ran = ran.map_err(|source| FabricError::Run {
            program: name,
            source: Box::new(source),
        })?;
        if ran.return_value != REDIRECTED {
            return Ok(None);
        }
        out.truncate(usize::try_from(ran.data_size_out).unwrap_or(LARGEST));
        Ok(Some(out))
    }
}
