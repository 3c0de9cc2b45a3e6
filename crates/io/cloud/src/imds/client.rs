//! Requests with a session token, repeated where that helps.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, Uri};
use hyper_util::{
    client::legacy::{Client as HttpPool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use super::{ImdsConfig, ImdsError, ImdsFailure};
use crate::ec2::root_cause;

const TOKEN_PATH: &str = "/latest/api/token";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// The longest the service grants.
const TOKEN_TTL: Duration = Duration::from_hours(6);
const TOKEN_REFRESH_BEFORE: Duration = Duration::from_mins(2);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The largest document, user data apart, is a few kilobytes.
const ANSWER_MAX: usize = 1 << 20;

/// A connection pool and the session token.
#[derive(Debug)]
pub(super) struct Client {
    config: ImdsConfig,
    http: HttpPool<HttpConnector, Empty<Bytes>>,
    token: Mutex<Option<Token>>,
}

#[derive(Debug, Clone)]
struct Token {
    text: String,
    refresh_at: Instant,
}

struct Answer {
    status: u16,
    body: String,
}

// === impl Client ===

impl Client {
    pub(super) fn new(config: ImdsConfig) -> Result<Self, ImdsError> {
        let mut config = config;
        config
            .endpoint
            .truncate(config.endpoint.trim_end_matches('/').len());
        let malformed = |reason: String| {
            let endpoint = config.endpoint.clone();
            ImdsError::new(TOKEN_PATH, ImdsFailure::Endpoint { endpoint, reason })
        };
        let uri: Uri = config
            .endpoint
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| malformed(error.to_string()))?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            return Err(malformed("it must be http:// and a host".to_owned()));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = HttpPool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector);
        Ok(Self {
            config,
            http,
            token: Mutex::default(),
        })
    }

    pub(super) async fn get(&self, path: &str) -> Result<String, ImdsError> {
        self.get_optional(path).await?.ok_or_else(|| {
            ImdsError::new(
                path,
                ImdsFailure::Status {
                    status: 404,
                    body: String::new(),
                },
            )
        })
    }

    pub(super) async fn get_optional(&self, path: &str) -> Result<Option<String>, ImdsError> {
        let error = |failure| ImdsError::new(path, failure);
        let mut renewed = false;
        loop {
            let token = self.token().await.map_err(error)?;
            let header = [(TOKEN_HEADER, token.as_str())];
            let answer = self
                .repeat(&Method::GET, path, &header)
                .await
                .map_err(|reason| error(self.no_answer(reason)))?;
            match answer.status {
                200 => return Ok(Some(answer.body)),
                404 => return Ok(None),
                // The service forgot the token: it restarted, or the instance was stopped.
                401 if !renewed => {
                    renewed = true;
                    self.forget(&token).await;
                }
                status => {
                    let body = answer.body.chars().take(200).collect();
                    return Err(error(ImdsFailure::Status { status, body }));
                }
            }
        }
    }

    async fn token(&self) -> Result<String, ImdsFailure> {
        let mut held = self.token.lock().await;
        if let Some(token) = held
            .as_ref()
            .filter(|token| token.refresh_at > Instant::now())
        {
            return Ok(token.text.clone());
        }
        let ttl = TOKEN_TTL.as_secs().to_string();
        let asked_at = Instant::now();
        let answer = self
            .repeat(
                &Method::PUT,
                TOKEN_PATH,
                &[(TOKEN_TTL_HEADER, ttl.as_str())],
            )
            .await
            .map_err(|reason| ImdsFailure::NoToken {
                endpoint: self.config.endpoint.clone(),
                reason,
            })?;
        let text = answer.body.trim().to_owned();
        if answer.status != 200 {
            let body = text.chars().take(200).collect();
            return Err(ImdsFailure::Status {
                status: answer.status,
                body,
            });
        }
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            let reason = "not a session token".to_owned();
            return Err(ImdsFailure::Reply {
                text: text.chars().take(100).collect(),
                reason,
            });
        }
        let refresh_at = asked_at + TOKEN_TTL - TOKEN_REFRESH_BEFORE;
        *held = Some(Token {
            text: text.clone(),
            refresh_at,
        });
        Ok(text)
    }

    /// Drops `refused`, unless someone has replaced it in the meantime.
    async fn forget(&self, refused: &str) {
        let mut held = self.token.lock().await;
        if held.as_ref().is_some_and(|token| token.text == refused) {
            *held = None;
        }
    }

    fn no_answer(&self, reason: String) -> ImdsFailure {
        ImdsFailure::NoAnswer {
            endpoint: self.config.endpoint.clone(),
            reason,
        }
    }

    /// Asks until there is an answer other than "try later", as often as configured.
    async fn repeat(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let mut pause = PAUSE_FIRST;
        let mut attempt = 1;
        loop {
            let limit = self.config.attempt_timeout;
            let result = match timeout(limit, self.once(method, path, headers)).await {
                Ok(result) => result,
                Err(_elapsed) => Err(format!("nothing within {}ms", limit.as_millis())),
            };
            let is_passing = match &result {
                Ok(answer) => answer.status >= 500 || answer.status == 429,
                Err(_reason) => true,
            };
            if !is_passing || attempt >= self.config.attempts {
                return result.map_err(|reason| format!("{reason} ({attempt} tries)"));
            }
            sleep(pause).await;
            pause *= 2;
            attempt += 1;
        }
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.config.endpoint));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let response = self
            .http
            .request(request)
            .await
            .map_err(|error| root_cause(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        Ok(Answer {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
