//! The path of a call: budget, credentials, attempts, pauses, and the end of patience.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use underlay_types::{Class, Refusal};

use super::{
    Ec2, Ec2Error, Ec2Failure,
    request::{Replay, Request},
};
use crate::xml::{Element, XmlError};

const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// A throttled client that comes back at once is throttled again: the bucket refills slowly.
const PAUSE_FIRST_THROTTLED: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A million ENIs; a server that turns pages for longer turns them in a circle.
const PAGES_MAX: usize = 1000;

impl Ec2 {
    /// Carries out `request` and reads its reply.
    pub(super) async fn send<T>(
        &self,
        request: &Request,
        read: impl Fn(&Element) -> Result<T, XmlError>,
    ) -> Result<T, Ec2Error> {
        self.send_until_done(request, read)
            .await
            .map_err(|failure| Ec2Error::new(request.action, request.object.clone(), failure))
    }

    /// Carries out `request`, follows its pages, and reads the items of `list`.
    pub(super) async fn send_pages<T>(
        &self,
        request: Request,
        list: &'static str,
        read: impl Fn(&Element) -> Result<T, XmlError>,
    ) -> Result<Vec<T>, Ec2Error> {
        let mut page = request.clone();
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let read_page = |reply: &Element| {
                let items: Result<Vec<T>, _> = reply.items(list).map(&read).collect();
                Ok((items?, reply.text_or_empty("nextToken").to_owned()))
            };
            let (items, next) = self.send(&page, read_page).await?;
            all.extend(items);
            if next.is_empty() {
                return Ok(all);
            }
            page = request.clone().with("NextToken", next);
        }
        let failure = Ec2Failure::Reply(format!("more than {PAGES_MAX} pages"));
        Err(Ec2Error::new(request.action, request.object, failure))
    }

    async fn send_until_done<T>(
        &self,
        request: &Request,
        read: impl Fn(&Element) -> Result<T, XmlError>,
    ) -> Result<T, Ec2Failure> {
        let counters = &self.shared.counters;
        let deadline = Instant::now() + self.shared.config.call_timeout;
        let mut pauses = Pauses::default();
        let mut renewed = false;
        loop {
            let failure = match self.attempt(request, deadline, &read).await {
                Ok(value) => {
                    counters.succeeded(request.action);
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            counters.failed(request.action, &failure);
            if !renewed && is_expired(&failure) {
                renewed = true;
                self.shared.credentials.forget().await;
                continue;
            }
            if is_throttle(&failure) {
                self.shared.budget.throttled(request.action);
            }
            let Some(pause) = pauses.next_after(&failure, request.replay) else {
                return Err(failure);
            };
            if Instant::now() + pause >= deadline {
                return Err(failure);
            }
            tracing::debug!(action = request.action, object = request.object, %failure, ?pause, "again");
            sleep(pause).await;
        }
    }

    async fn attempt<T>(
        &self,
        request: &Request,
        deadline: Instant,
        read: impl Fn(&Element) -> Result<T, XmlError>,
    ) -> Result<T, Ec2Failure> {
        let shared = &self.shared;
        let now = Instant::now();
        let patience = deadline.saturating_duration_since(now);
        let wait = shared
            .budget
            .take(request.action, now, patience)
            .map_err(Ec2Failure::Budget)?;
        shared.counters.waited(request.action, wait);
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let credentials = shared
            .credentials
            .current()
            .await
            .map_err(Ec2Failure::Credentials)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = left.min(shared.config.attempt_timeout);
        let answer = shared
            .transport
            .post(request.to_form(), credentials, timeout)
            .await?;
        let document = Element::parse(&answer.body);
        if (200..300).contains(&answer.status) {
            let reply = document.map_err(|error| Ec2Failure::Reply(error.to_string()))?;
            return read(&reply).map_err(|error| Ec2Failure::Reply(error.to_string()));
        }
        Err(Ec2Failure::Refused(refusal(
            answer.status,
            document.ok().as_ref(),
            &answer.body,
        )))
    }
}

/// `<Response><Errors><Error><Code/><Message/></Error></Errors><RequestID/></Response>`, or, from
/// something that is not EC2, anything.
pub(super) fn refusal(status: u16, document: Option<&Element>, body: &str) -> Refusal {
    let error = document
        .and_then(|root| root.optional("Errors"))
        .and_then(|errors| errors.optional("Error"));
    match error {
        Some(error) if !error.text_or_empty("Code").is_empty() => Refusal {
            status,
            code: error.text_or_empty("Code").to_owned(),
            message: error.text_or_empty("Message").to_owned(),
            request_id: document
                .map_or("", |root| root.text_or_empty("RequestID"))
                .to_owned(),
        },
        _ => Refusal {
            status,
            code: format!("Http{status}"),
            message: body
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .chars()
                .take(200)
                .collect(),
            request_id: String::new(),
        },
    }
}

fn is_throttle(failure: &Ec2Failure) -> bool {
    matches!(failure, Ec2Failure::Refused(refusal) if refusal.is_throttle())
}

fn is_expired(failure: &Ec2Failure) -> bool {
    matches!(failure, Ec2Failure::Refused(refusal)
        if matches!(refusal.code.as_str(), "ExpiredToken" | "RequestExpired"))
}

/// Growing pauses with jitter, so that nodes that failed together do not come back together.
#[derive(Debug, Default)]
struct Pauses {
    count: u32,
}

impl Pauses {
    /// How long to wait before the next attempt; `None` where there shall be none.
    fn next_after(&mut self, failure: &Ec2Failure, replay: Replay) -> Option<Duration> {
        let first = match failure {
            Ec2Failure::Refused(refusal) if refusal.is_throttle() => PAUSE_FIRST_THROTTLED,
            Ec2Failure::Unreachable { .. } => PAUSE_FIRST,
            Ec2Failure::Refused(refusal)
                if refusal.class() == Class::Retry && replay == Replay::Harmless =>
            {
                PAUSE_FIRST
            }
            Ec2Failure::NoAnswer { .. } if replay == Replay::Harmless => PAUSE_FIRST,
            _ => return None,
        };
        let full = first
            .saturating_mul(2_u32.saturating_pow(self.count))
            .min(PAUSE_MAX);
        self.count += 1;
        Some(jittered(full, random()))
    }
}

/// Between half of `full` and all of it.
fn jittered(full: Duration, random: u64) -> Duration {
    let share = (random % 1024) as f64 / 1024.0;
    full.mul_f64(0.5 + share / 2.0)
}

/// The standard library seeds each of these from the system's randomness.
fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests;
