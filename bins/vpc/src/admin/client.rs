//! The caller's half: one request per connection, without a runtime.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

/// Making a namespace and a device takes milliseconds; a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_ANSWER: u64 = 16 << 20;

/// A caller of an admin socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// A request that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// What came back is no answer of an admin API.
    #[error("{} gave no answer that can be read", socket.display())]
    Answer {
        /// The socket.
        socket: PathBuf,
    },
    /// Nobody listens.
    #[error("no VPC runs at {}; `underlay-vpc status` lists those that do", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The VPC refused.
    #[error("{0}")]
    Refused(String),
    /// The conversation broke off.
    #[error("talk to {}", socket.display())]
    Talk {
        /// The socket.
        socket: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Client {
    /// A caller of `socket`.
    #[must_use]
    pub const fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Makes a request and reads its answer.
    ///
    /// # Errors
    /// When nobody listens, or the request is refused.
    pub fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, AdminError> {
        let unreadable = || AdminError::Answer {
            socket: self.socket.clone(),
        };
        let body = serde_json::to_string(body).map_err(|_json| unreadable())?;
        let answer = self.exchange(&format!(
            "{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(unreadable)?;
        let status = head.split(' ').nth(1).ok_or_else(unreadable)?;
        if status == "200" {
            return serde_json::from_str(body).map_err(|_json| unreadable());
        }
        let refusal: serde_json::Value =
            serde_json::from_str(body).map_err(|_json| unreadable())?;
        let reason = refusal.get("error").and_then(|reason| reason.as_str());
        Err(AdminError::Refused(reason.unwrap_or(status).to_owned()))
    }

    fn exchange(&self, request: &str) -> Result<String, AdminError> {
        let socket = || self.socket.clone();
        let mut stream =
            UnixStream::connect(&self.socket).map_err(|source| AdminError::NotRunning {
                socket: socket(),
                source,
            })?;
        let mut answer = String::new();
        let talk = |stream: &mut UnixStream, answer: &mut String| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            stream.take(MAX_ANSWER).read_to_string(answer)
        };
        talk(&mut stream, &mut answer).map_err(|source| AdminError::Talk {
            socket: socket(),
            source,
        })?;
        Ok(answer)
    }
}
