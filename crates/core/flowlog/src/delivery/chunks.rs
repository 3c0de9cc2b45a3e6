//! Lines of one window over as many objects as their size asks for.

/// How large an object may be (Amazon VPC User Guide, "Flow log files": 75 MB). The guide does
/// not say of which bytes; here it is the text before compression.
pub const OBJECT_BYTES: usize = 75_000_000;

/// Splits lines into parts whose texts, with a line end each, have at most `limit` bytes. A line
/// that is longer by itself has a part of its own.
#[must_use]
pub fn chunks(lines: &[String], limit: usize) -> Vec<&[String]> {
    let mut parts = Vec::new();
    let (mut rest, mut taken, mut bytes) = (lines, 0_usize, 0_usize);
    for line in lines {
        let with_end = line.len().saturating_add(1);
        if taken > 0 && bytes.saturating_add(with_end) > limit {
            let (part, others) = rest.split_at(taken);
            parts.push(part);
            (rest, taken, bytes) = (others, 0, 0);
        }
        taken = taken.saturating_add(1);
        bytes = bytes.saturating_add(with_end);
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_as_large_as_the_limit_allows() {
        let lines: Vec<String> = ["aa", "bb", "cccccccc", "d"].map(str::to_owned).to_vec();
        let parts = |limit| -> Vec<usize> {
            chunks(&lines, limit)
                .iter()
                .map(|part| part.len())
                .collect()
        };
        assert_eq!(parts(100), [4]);
        assert_eq!(parts(6), [2, 1, 1]);
        assert_eq!(parts(5), [1, 1, 1, 1]);
        assert_eq!(chunks(&[], 10), Vec::<&[String]>::new());
    }

    proptest! {
        #[test]
        fn no_line_is_lost_or_moved(lines in proptest::collection::vec("[a-z]{0,9}", 0..40), limit in 0_usize..60) {
            let parts = chunks(&lines, limit);
            prop_assert_eq!(parts.concat(), lines.clone());
            for part in parts {
                let bytes: usize = part.iter().map(|line| line.len() + 1).sum();
                prop_assert!(part.len() == 1 || bytes <= limit);
            }
        }
    }
}
