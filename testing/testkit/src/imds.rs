//! The instance metadata service as somebody inside a namespace sees it.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::Netns;

/// What became of asking for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenAttempt {
    /// A token.
    Token(String),
    /// No answer came in time: what a hop limit does.
    Silence,
}

const ADDRESS: ([u8; 4], u16) = ([169, 254, 169, 254], 80);

/// Asks for a token from inside `netns`, waiting at most `wait` for each step.
///
/// # Errors
/// When something else than a token or silence came.
pub fn imds_token(netns: &Netns, wait: Duration) -> anyhow::Result<TokenAttempt> {
    let request = "PUT /latest/api/token HTTP/1.1\r\nHost: 169.254.169.254\r\n\
                   X-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 0\r\n\
                   Connection: close\r\n\r\n";
    match exchange(netns, request, wait)? {
        None => Ok(TokenAttempt::Silence),
        Some((200, token)) => Ok(TokenAttempt::Token(token)),
        Some((status, body)) => bail!("asked for a token, got {status}: {body}"),
    }
}

/// Reads a path below `/latest/meta-data/` from inside `netns`; `None` if there is none (404).
///
/// # Errors
/// When no token or no answer comes, or another status.
pub fn imds_get(netns: &Netns, token: &str, path: &str) -> anyhow::Result<Option<String>> {
    let request = format!(
        "GET /latest/meta-data/{path} HTTP/1.1\r\nHost: 169.254.169.254\r\n\
         X-aws-ec2-metadata-token: {token}\r\nConnection: close\r\n\r\n"
    );
    match exchange(netns, &request, Duration::from_secs(5))? {
        None => bail!("IMDS did not answer for {path}"),
        Some((200, body)) => Ok(Some(body)),
        Some((404, _)) => Ok(None),
        Some((status, body)) => bail!("IMDS answered {status} for {path}: {body}"),
    }
}

/// Every address of the instance's interfaces, primary ones included, as its metadata service
/// lists them to somebody in `netns`.
///
/// # Errors
/// When no token or no answer comes.
pub fn imds_addresses(netns: &Netns) -> anyhow::Result<BTreeSet<Ipv4Addr>> {
    let TokenAttempt::Token(token) = imds_token(netns, Duration::from_secs(2))? else {
        bail!("no metadata token in {}", netns.path().display());
    };
    let get = |path: &str| -> anyhow::Result<String> {
        imds_get(netns, &token, path)?.with_context(|| format!("IMDS has no {path}"))
    };
    let mut addresses = BTreeSet::new();
    for mac in get("network/interfaces/macs/")?.lines() {
        let mac = mac.trim_end_matches('/');
        for address in get(&format!("network/interfaces/macs/{mac}/local-ipv4s"))?.lines() {
            addresses.insert(
                address
                    .parse()
                    .with_context(|| format!("reading {address:?}"))?,
            );
        }
    }
    Ok(addresses)
}

fn exchange(netns: &Netns, request: &str, wait: Duration) -> anyhow::Result<Option<(u16, String)>> {
    let answer = netns.run(|| {
        let stream = TcpStream::connect_timeout(&SocketAddr::from(ADDRESS), wait);
        let mut stream = match stream {
            Err(error) if is_silence(&error) => return Ok(None),
            other => other.context("connecting to IMDS")?,
        };
        stream.set_read_timeout(Some(wait))?;
        stream
            .write_all(request.as_bytes())
            .context("asking IMDS")?;
        let mut answer = String::new();
        match stream.read_to_string(&mut answer) {
            Err(error) if is_silence(&error) => Ok(None),
            Err(error) => Err(error).context("reading from IMDS"),
            Ok(_) => Ok(Some(answer)),
        }
    })?;
    let Some(answer) = answer else {
        return Ok(None);
    };
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer without a head")?;
    let status = head
        .split_whitespace()
        .nth(1)
        .context("an answer without a status")?;
    let status = status
        .parse()
        .with_context(|| format!("reading the status {status:?}"))?;
    Ok(Some((status, body.to_owned())))
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock
    )
}
