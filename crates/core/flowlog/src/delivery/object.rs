//! The name of one delivered object.

use std::{fmt, str::FromStr};

use time::{OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros};
use underlay_types::{AccountId, FlowLogId, Timestamp};

const STAMP: &[BorrowedFormatItem<'_>] =
    macros::format_description!("[year][month][day]T[hour][minute]Z");

/// One object of a flow log: the records of some windows.
///
/// Its file name is `<account>_vpcflowlogs_<region>_<flow log>_YYYYMMDDTHHmmZ_<hash>.log.gz`, or
/// `.log.parquet` at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// The account of the flow log.
    pub account: AccountId,
    /// The region, such as `us-east-1`.
    pub region: String,
    /// The flow log.
    pub flow_log: FlowLogId,
    /// When the object was delivered, to the minute.
    pub delivered: Timestamp,
    /// Tells objects of one minute apart.
    pub hash: u32,
    /// How the records are written.
    pub format: FileFormat,
}

/// How the records of an object are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FileFormat {
    /// Parquet, its pages compressed by gzip.
    Parquet,
    /// Gzip of a header line and the lines.
    #[default]
    Text,
}

/// How a flow log's objects are laid out in folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Partitioning {
    /// Folders named `key=value`.
    pub hive_compatible: bool,
    /// One more folder, for the hour.
    pub per_hour: bool,
}

/// Why a text is not the file name of an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not of the form \
     <account>_vpcflowlogs_<region>_<flow log>_YYYYMMDDTHHmmZ_<hash>.log.gz or .log.parquet"
)]
pub struct ObjectNameError(pub String);

/// A hash of an object's content (FNV-1a, folded to 32 bits), for its name.
#[must_use]
pub fn content_hash(content: &[u8]) -> u32 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = content.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    u32::from_be_bytes([a ^ e, b ^ f, c ^ g, d ^ h])
}

impl ObjectName {
    /// The folder below the destination's prefix, without slashes at its ends.
    #[must_use]
    pub fn folder(&self, partitioning: Partitioning) -> String {
        let Self {
            account, region, ..
        } = self;
        let at = date(self.delivered);
        let (year, month, day, hour) = (at.year(), u8::from(at.month()), at.day(), at.hour());
        let mut folder = if partitioning.hive_compatible {
            format!(
                "AWSLogs/aws-account-id={account}/aws-service=vpcflowlogs/aws-region={region}/\
                 year={year:04}/month={month:02}/day={day:02}"
            )
        } else {
            format!("AWSLogs/{account}/vpcflowlogs/{region}/{year:04}/{month:02}/{day:02}")
        };
        if partitioning.per_hour {
            let key = if partitioning.hive_compatible {
                "hour="
            } else {
                ""
            };
            folder.push_str(&format!("/{key}{hour:02}"));
        }
        folder
    }
}

impl FileFormat {
    const ALL: [Self; 2] = [Self::Parquet, Self::Text];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Parquet => ".log.parquet",
            Self::Text => ".log.gz",
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = date(self.delivered);
        write!(
            f,
            "{}_vpcflowlogs_{}_{}_{:04}{:02}{:02}T{:02}{:02}Z_{:08x}{}",
            self.account,
            self.region,
            self.flow_log,
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            self.hash,
            self.format.suffix(),
        )
    }
}

impl FromStr for ObjectName {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text).ok_or_else(|| ObjectNameError(text.to_owned()))
    }
}

fn read(text: &str) -> Option<ObjectName> {
    let (stem, format) = FileFormat::ALL
        .iter()
        .find_map(|format| Some((text.strip_suffix(format.suffix())?, *format)))?;
    let mut parts = stem.split('_');
    let mut next = || parts.next();
    let account = next()?.parse().ok()?;
    (next()? == "vpcflowlogs").then_some(())?;
    let region = next()?;
    let flow_log = next()?.parse().ok()?;
    let delivered = PrimitiveDateTime::parse(next()?, STAMP).ok()?.assume_utc();
    let hash = next()?;
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if region.is_empty() || hash.len() != 8 || !hash.bytes().all(is_hex) || next().is_some() {
        return None;
    }
    Some(ObjectName {
        account,
        region: region.to_owned(),
        flow_log,
        delivered: Timestamp::from_secs(u64::try_from(delivered.unix_timestamp()).ok()?),
        hash: u32::from_str_radix(hash, 16).ok()?,
        format,
    })
}

/// The calendar's reading of a time; its end is far beyond `Timestamp`'s.
fn date(at: Timestamp) -> OffsetDateTime {
    i64::try_from(at.as_secs())
        .ok()
        .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok())
        .expect("584 years of nanoseconds end long before the calendar does")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(secs: u64) -> ObjectName {
        ObjectName {
            account: "123456789012".parse().unwrap(),
            region: "us-east-1".into(),
            flow_log: "fl-1234abcd".parse().unwrap(),
            delivered: Timestamp::from_secs(secs),
            hash: 0xfe12_3456,
            format: FileFormat::Text,
        }
    }

    #[test]
    fn names_and_folders_are_as_documented() {
        // 2018-06-20 16:20:40 UTC.
        let name = name(1_529_511_640);
        assert_eq!(
            name.to_string(),
            "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz"
        );
        let parquet = ObjectName {
            format: FileFormat::Parquet,
            ..name.clone()
        };
        assert!(
            parquet
                .to_string()
                .ends_with("_20180620T1620Z_fe123456.log.parquet")
        );
        let folder = |hive_compatible, per_hour| {
            name.folder(Partitioning {
                hive_compatible,
                per_hour,
            })
        };
        assert_eq!(
            folder(false, false),
            "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20"
        );
        assert_eq!(
            folder(false, true),
            "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/16"
        );
        assert_eq!(
            folder(true, true),
            "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/\
             year=2018/month=06/day=20/hour=16"
        );
    }

    #[test]
    fn other_file_names_are_refused() {
        for bad in [
            "",
            "x.log.gz",
            "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log",
            "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20181320T1620Z_fe123456.log.gz",
            "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_+e123456.log.gz",
            "123456789012_other_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz",
        ] {
            assert_eq!(
                bad.parse::<ObjectName>(),
                Err(ObjectNameError(bad.to_owned()))
            );
        }
    }

    proptest! {
        #[test]
        fn names_round_trip(minutes in 0_u64..200_000_000, hash in any::<u32>(), parquet in any::<bool>()) {
            let format = if parquet { FileFormat::Parquet } else { FileFormat::Text };
            let name = ObjectName { hash, format, ..name(minutes * 60) };
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }
    }
}
