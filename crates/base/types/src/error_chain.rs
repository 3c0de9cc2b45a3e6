//! How errors are shown to people.

use std::error::Error;

/// An error and its causes, on one line: `cannot open /x: permission denied`.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot {what}")]
    struct Failed {
        what: &'static str,
        #[source]
        cause: Option<Box<Self>>,
    }

    #[test]
    fn causes_follow_in_their_order() {
        let innermost = Failed {
            what: "read",
            cause: None,
        };
        assert_eq!(chain(&innermost), "cannot read");
        let outer = Failed {
            what: "start",
            cause: Some(Box::new(innermost)),
        };
        assert_eq!(chain(&outer), "cannot start: cannot read");
    }
}
