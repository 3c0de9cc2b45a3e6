//! The lines of a flow log: written from records, read back by name.

use std::{
    fmt::{self, Display},
    net::IpAddr,
};

use crate::{Direction, EniFacts, EniWindow, Field, FlowRecord, Format, Outcome, TrafficType};

/// What stands where a field does not apply.
const NONE: &str = "-";

/// What field `log-status` says of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The line is of a flow.
    Ok,
    /// No traffic in the window.
    NoData,
    /// Records of the window were lost.
    SkipData,
}

/// A line read back: one text per field of its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    format: &'a Format,
    values: Vec<&'a str>,
}

/// Why a text is not a line of a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} values in line {text:?}, but its format has {expected} fields")]
pub struct LineError {
    /// Fields of the format.
    pub expected: usize,
    /// Values found.
    pub found: usize,
    /// The line.
    pub text: String,
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::NoData => "NODATA",
            Self::SkipData => "SKIPDATA",
        })
    }
}

// === writing ===

impl Format {
    /// The lines of one ENI's window, without line ends: one per wanted flow, one NODATA if
    /// nothing was seen at all, one SKIPDATA if records were lost.
    #[must_use]
    pub fn lines(&self, window: &EniWindow, wanted: TrafficType) -> Vec<String> {
        match &window.outcome {
            Outcome::NoData => vec![self.empty_line(window, Status::NoData)],
            Outcome::Flows { records, skipped } => {
                let mut lines: Vec<_> = records
                    .iter()
                    .filter(|record| wanted.wants(record.key.action))
                    .map(|record| self.line(&window.facts, record))
                    .collect();
                if *skipped > 0 {
                    lines.push(self.empty_line(window, Status::SkipData));
                }
                lines
            }
        }
    }

    fn line(&self, eni: &EniFacts, record: &FlowRecord) -> String {
        self.write(|field, out| flow_value(self.version(), eni, record, field, out))
    }

    fn empty_line(&self, window: &EniWindow, status: Status) -> String {
        self.write(|field, out| match field {
            Field::Version => write!(out, "{}", self.version()),
            Field::AccountId => write!(out, "{}", window.facts.account),
            Field::InterfaceId => write!(out, "{}", window.facts.id),
            Field::Start => write!(out, "{}", window.start.as_secs()),
            Field::End => write!(out, "{}", window.end.as_secs()),
            Field::LogStatus => write!(out, "{status}"),
            _ => out.write_str(NONE),
        })
    }

    fn write(&self, value: impl Fn(Field, &mut dyn fmt::Write) -> fmt::Result) -> String {
        let mut line = String::new();
        for field in self.fields() {
            if !line.is_empty() {
                line.push(' ');
            }
            value(*field, &mut line).expect("writing to a String cannot fail");
        }
        line
    }
}

fn flow_value(
    version: u8,
    eni: &EniFacts,
    record: &FlowRecord,
    field: Field,
    out: &mut dyn fmt::Write,
) -> fmt::Result {
    let key = &record.key;
    match field {
        Field::Version => write!(out, "{version}"),
        Field::AccountId => write!(out, "{}", eni.account),
        Field::InterfaceId => write!(out, "{}", eni.id),
        Field::SrcAddr => write!(
            out,
            "{}",
            own_if(eni, key.direction, Direction::Egress, key.src)
        ),
        Field::DstAddr => {
            write!(
                out,
                "{}",
                own_if(eni, key.direction, Direction::Ingress, key.dst)
            )
        }
        Field::SrcPort => write!(out, "{}", key.src_port),
        Field::DstPort => write!(out, "{}", key.dst_port),
        Field::Protocol => write!(out, "{}", key.protocol),
        Field::Packets => write!(out, "{}", record.packets),
        Field::Bytes => write!(out, "{}", record.bytes),
        Field::Start => write!(out, "{}", record.first.as_secs()),
        Field::End => write!(out, "{}", record.last.as_secs()),
        Field::Action => write!(out, "{}", key.action),
        Field::LogStatus => write!(out, "{}", Status::Ok),
        Field::VpcId => write!(out, "{}", eni.network.vpc),
        Field::SubnetId => write!(out, "{}", eni.network.subnet),
        Field::InstanceId => or_none(out, eni.instance.as_ref()),
        Field::TcpFlags => write!(out, "{}", record.tcp_flags.bits()),
        Field::Type => out.write_str(if key.src.is_ipv4() { "IPv4" } else { "IPv6" }),
        Field::PktSrcAddr => write!(out, "{}", key.src),
        Field::PktDstAddr => write!(out, "{}", key.dst),
        Field::Region => out.write_str(&eni.network.region),
        Field::AzId => out.write_str(&eni.network.az_id),
        Field::PktSrcAwsService => or_none(out, eni.network.service_of(key.src)),
        Field::PktDstAwsService => or_none(out, eni.network.service_of(key.dst)),
        Field::FlowDirection => write!(out, "{}", key.direction),
        Field::TrafficPath => or_none(out, traffic_path(eni, record)),
        Field::InterfaceType => out.write_str(&eni.interface_type),
        // No Wavelength, Outpost or local zones here; the later fields are explained at `Field`.
        _ => out.write_str(NONE),
    }
}

fn own_if(eni: &EniFacts, is: Direction, own_side: Direction, real: IpAddr) -> IpAddr {
    if is == own_side {
        eni.own_address(real)
    } else {
        real
    }
}

/// Egress only: what the packet left through.
fn traffic_path(eni: &EniFacts, record: &FlowRecord) -> Option<u8> {
    match record.key.direction {
        Direction::Ingress => None,
        Direction::Egress => {
            let path = eni.network.path_to(record.key.dst)?;
            Some(path.number(eni.nitro))
        }
    }
}

fn or_none(out: &mut dyn fmt::Write, value: Option<impl Display>) -> fmt::Result {
    match value {
        Some(value) => write!(out, "{value}"),
        None => out.write_str(NONE),
    }
}

// === reading ===

impl<'a> Line<'a> {
    /// Reads a line of `format`.
    ///
    /// # Errors
    /// If the line has more or fewer values than the format has fields.
    pub fn parse(format: &'a Format, text: &'a str) -> Result<Self, LineError> {
        let values: Vec<_> = text.split_ascii_whitespace().collect();
        let expected = format.fields().len();
        if values.len() == expected {
            Ok(Self { format, values })
        } else {
            Err(LineError {
                expected,
                found: values.len(),
                text: text.to_owned(),
            })
        }
    }

    /// The value of a field; `None` if the format lacks it or it does not apply.
    #[must_use]
    pub fn value(&self, field: Field) -> Option<&'a str> {
        let at = self.format.fields().iter().position(|own| *own == field)?;
        let value = *self.values.get(at)?;
        (value != NONE).then_some(value)
    }

    /// The value of a field that is a number.
    #[must_use]
    pub fn number(&self, field: Field) -> Option<u64> {
        self.value(field)?.parse().ok()
    }
}

#[cfg(test)]
pub(crate) mod tests;
