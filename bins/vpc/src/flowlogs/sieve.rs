//! Which flow-log lines a person wants to see.

use std::{net::IpAddr, str::FromStr, time::Duration};

use ipnet::IpNet;
use underlay_flowlog::{Action, Field, Format, Line};
use underlay_types::{EniId, Timestamp};

use super::LoggedLine;

/// What a line has to say to be shown; all of it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Sieve {
    /// Only lines of flows that started since then: a time such as 10m ago, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// Only lines of this ENI
    #[arg(long, value_name = "ENI")]
    pub eni: Option<EniId>,
    /// Only lines with this address, or one of this block, on either side
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<Addresses>,
    /// Only lines with this action: ACCEPT or REJECT
    #[arg(long, value_name = "ACTION", value_parser = action)]
    pub action: Option<Action>,
    /// Only lines that contain this text
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
}

/// A point in time, as a person says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long before now.
    Ago(Duration),
    /// Then.
    At(Timestamp),
}

/// An address or a block of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses(IpNet);

impl Sieve {
    /// Whether a line is wanted. `now` is on the wall clock.
    #[must_use]
    pub fn wants(&self, line: &LoggedLine, now: Timestamp) -> bool {
        let recent = self
            .since
            .is_none_or(|since| line.at_secs >= since.at(now).as_secs());
        let holds = |text: &String| line.text.contains(text.as_str());
        recent && self.filter.as_ref().is_none_or(holds) && self.wants_values(line)
    }

    fn wants_values(&self, line: &LoggedLine) -> bool {
        if self.eni.is_none() && self.address.is_none() && self.action.is_none() {
            return true;
        }
        let Ok(format) = Format::from_header(&line.header) else {
            return false;
        };
        let Ok(values) = Line::parse(&format, &line.text) else {
            return false;
        };
        let is_of = |eni: &EniId| {
            let named = values.value(Field::InterfaceId);
            named.or(line.eni.as_deref()) == Some(eni.as_str())
        };
        let is_between = |addresses: &Addresses| {
            [
                Field::SrcAddr,
                Field::DstAddr,
                Field::PktSrcAddr,
                Field::PktDstAddr,
            ]
            .iter()
            .filter_map(|field| values.value(*field)?.parse::<IpAddr>().ok())
            .any(|address| addresses.0.contains(&address))
        };
        let is_action =
            |action: &Action| values.value(Field::Action) == Some(action.to_string().as_str());
        self.eni.as_ref().is_none_or(is_of)
            && self.address.as_ref().is_none_or(is_between)
            && self.action.as_ref().is_none_or(is_action)
    }
}

impl Since {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(time) => Timestamp::ZERO + now.saturating_since(Timestamp::ZERO + time),
            Self::At(time) => time,
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Self::Ago(ago));
        }
        let time = humantime::parse_rfc3339_weak(text).map_err(
            |_unreadable| "expected a length of time such as 10m, or 2026-01-31T12:00:00Z",
        )?;
        let since = time.duration_since(std::time::UNIX_EPOCH);
        let since = since.map_err(|_unreadable| "expected a time after 1970")?;
        Ok(Self::At(Timestamp::ZERO + since))
    }
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let one = text.parse::<IpAddr>().map(IpNet::from);
        one.or_else(|_not_one| text.parse())
            .map(Self)
            .map_err(|_unreadable| "expected an address or a block such as 10.0.1.0/24".to_owned())
    }
}

fn action(text: &str) -> Result<Action, &'static str> {
    [Action::Accept, Action::Reject]
        .into_iter()
        .find(|action| action.to_string() == text)
        .ok_or("expected ACCEPT or REJECT")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn line(header: &str, text: &str) -> LoggedLine {
        LoggedLine {
            at_secs: 900,
            eni: Some("eni-0000000b".into()),
            header: header.into(),
            text: text.into(),
        }
    }

    #[test]
    fn each_condition_is_about_its_own_fields() {
        let flow = line(
            "interface-id srcaddr pkt-dstaddr dstport action",
            "eni-0000000a 10.0.1.4 10.0.2.9 4 REJECT",
        );
        let wants = |sieve: &Sieve| sieve.wants(&flow, NOW);
        let eni = |id: &str| Sieve {
            eni: Some(id.parse().unwrap()),
            ..Sieve::default()
        };
        let address = |text: &str| Sieve {
            address: Some(text.parse().unwrap()),
            ..Sieve::default()
        };
        let by_action = |text: &str| Sieve {
            action: Some(action(text).unwrap()),
            ..Sieve::default()
        };
        let since = |text: &str| Sieve {
            since: Some(text.parse().unwrap()),
            ..Sieve::default()
        };
        assert!(wants(&Sieve::default()));
        assert!(wants(&eni("eni-0000000a")) && !wants(&eni("eni-0000000b")));
        assert!(wants(&address("10.0.2.9")) && wants(&address("10.0.1.0/24")));
        assert!(!wants(&address("10.0.1.5")) && !wants(&address("2001:db8::/32")));
        assert!(wants(&by_action("REJECT")) && !wants(&by_action("ACCEPT")));
        assert!(wants(&since("100s")) && !wants(&since("99s")) && wants(&since("1h")));
        assert!(wants(&since("1970-01-01T00:15:00Z")) && !wants(&since("1970-01-01 00:15:01")));
    }

    #[test]
    fn a_stream_names_the_eni_of_lines_that_do_not() {
        let sieve = Sieve {
            eni: Some("eni-0000000b".parse().unwrap()),
            ..Sieve::default()
        };
        assert!(sieve.wants(&line("action", "ACCEPT"), NOW));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!("yesterday".parse::<Since>().is_err());
        assert!("10.0.0.0/33".parse::<Addresses>().is_err());
        assert!(action("accept").is_err());
    }
}
