//! Points in time as EC2 writes them.

use time::{OffsetDateTime, macros::format_description};
use underlay_types::Timestamp;

/// `2026-01-02T03:04:05.678Z`.
pub(super) fn iso8601(when: Timestamp) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let date = OffsetDateTime::from_unix_timestamp_nanos(when.as_nanos().into());
    date.ok()
        .and_then(|date| date.format(&format).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        let when = Timestamp::from_nanos(1_767_323_045_678_901_234);
        assert_eq!(iso8601(when), "2026-01-02T03:04:05.678Z");
        assert_eq!(iso8601(Timestamp::ZERO), "1970-01-01T00:00:00.000Z");
    }
}
