//! The VPC's time service: SNTP (RFC 4330) over UDP.

use std::{io, sync::Arc};

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use underlay_types::Timestamp;

/// Bytes of a message without extensions.
const MESSAGE: usize = 48;
/// Seconds from 1900 to 1970.
const ERA: u64 = 2_208_988_800;
const VERSIONS: std::ops::RangeInclusive<u8> = 1..=4;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;
/// As clients of the Amazon Time Sync Service see it.
const STRATUM: u8 = 3;
/// The clock is read to about a microsecond: 2 to the power of this, in seconds.
const PRECISION: i8 = -20;
/// Where the time comes from, of stratum 2 on an IPv4 address: a local clock.
const REFERENCE: [u8; 4] = [127, 127, 1, 0];

/// Reads the clock that is served.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Answers questions for the time until `stop`. The socket may be of another network namespace.
///
/// # Errors
/// If the socket cannot be handed to the runtime.
pub async fn serve(
    socket: std::net::UdpSocket,
    clock: Clock,
    stop: CancellationToken,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    let mut buffer = [0; 1024];
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            received = socket.recv_from(&mut buffer) => received,
        };
        let Ok((length, peer)) = received else {
            continue;
        };
        let question = buffer.get(..length).unwrap_or_default();
        let Some(answer) = answer(question, clock()) else {
            continue;
        };
        if let Err(error) = socket.send_to(&answer, peer).await {
            tracing::debug!(%error, %peer, "the time was not sent");
        }
    }
}

/// The answer to a client's question; `None` if it is none.
fn answer(question: &[u8], now: Timestamp) -> Option<[u8; MESSAGE]> {
    let (question, _) = question.split_first_chunk::<MESSAGE>()?;
    let [head, _, poll, ..] = *question;
    let (version, mode) = ((head >> 3) & 7, head & 7);
    if mode != MODE_CLIENT || !VERSIONS.contains(&version) {
        return None;
    }
    let time = stamp(now);
    let mut answer = [0; MESSAGE];
    answer[..4].copy_from_slice(&[
        (version << 3) | MODE_SERVER,
        STRATUM,
        poll,
        PRECISION.cast_unsigned(),
    ]);
    answer[12..16].copy_from_slice(&REFERENCE);
    answer[16..24].copy_from_slice(&time);
    // The client's transmit time comes back as the originate time.
    answer[24..32].copy_from_slice(&question[40..48]);
    answer[32..40].copy_from_slice(&time);
    answer[40..48].copy_from_slice(&time);
    Some(answer)
}

/// Seconds since 1900, of the era they fall in, and the fraction of a second.
fn stamp(now: Timestamp) -> [u8; 8] {
    const SECOND: u64 = 1_000_000_000;
    let (seconds, nanos) = (now.as_nanos() / SECOND, now.as_nanos() % SECOND);
    let (seconds, fraction) = (seconds + ERA, (nanos << 32) / SECOND);
    (((seconds & 0xffff_ffff) << 32) | fraction).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_its_own_time_back_and_the_clocks() {
        let mut question = [0; MESSAGE];
        question[0] = (4 << 3) | MODE_CLIENT;
        question[2] = 6;
        question[40..].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let now = Timestamp::from_nanos(1_500_000_000);
        let time = [0x83, 0xaa, 0x7e, 0x81, 0x80, 0, 0, 0];
        let mut wanted = [0; MESSAGE];
        wanted[..4].copy_from_slice(&[0x24, 3, 6, 0xec]);
        wanted[12..16].copy_from_slice(&[127, 127, 1, 0]);
        wanted[24..32].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        for at in [16, 32, 40] {
            wanted[at..at + 8].copy_from_slice(&time);
        }
        assert_eq!(answer(&question, now), Some(wanted));
    }

    #[test]
    fn what_is_no_question_has_no_answer() {
        let now = Timestamp::from_nanos(0);
        assert_eq!(answer(&[0x23; 47], now), None);
        for head in [0x24, 0x03, 0x3b] {
            assert_eq!(answer(&[head; 48], now), None, "{head:#x}");
        }
    }

    #[test]
    fn the_era_after_2036_begins_at_zero_again() {
        let now = Timestamp::from_secs((1 << 32) - ERA);
        assert_eq!(stamp(now), [0; 8]);
    }
}
