//! Request paths: versions, slashes, percent encoding.

/// The versions the service answers to; all show what `latest` does.
pub(super) const VERSIONS: [&str; 29] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "2024-04-11",
    "latest",
];

/// The parts of a path, decoded. Slashes at its ends and repeated ones do not count.
///
/// `None` if the path is not absolute or not well encoded.
pub(super) fn parts(path: &str) -> Option<Vec<String>> {
    let (path, _query) = path.split_once('?').unwrap_or((path, ""));
    path.strip_prefix('/')?
        .split('/')
        .filter(|part| !part.is_empty())
        .map(decode)
        .collect()
}

/// Whether the path is that of the token resource.
pub(super) fn is_token(path: &str) -> bool {
    parts(path).is_some_and(|parts| {
        matches!(parts.as_slice(), [version, api, token]
            if VERSIONS.contains(&version.as_str()) && api == "api" && token == "token")
    })
}

fn decode(part: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits = std::str::from_utf8(&digits)
                .ok()
                .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
            decoded.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_and_decoded() {
        let split = |path: &str| parts(path).map(|parts| parts.join("|"));
        assert_eq!(split("/").as_deref(), Some(""));
        assert_eq!(
            split("//latest/meta-data/").as_deref(),
            Some("latest|meta-data")
        );
        assert_eq!(split("/a%3Ab?x=/y").as_deref(), Some("a:b"));
        for bad in ["", "latest", "/%", "/%4", "/%zz", "/%+1", "/%ff", "*"] {
            assert_eq!(parts(bad), None, "{bad:?}");
        }
        assert!(is_token("/latest/api/token"));
        assert!(is_token("/2021-07-15/api/token/"));
        assert!(!is_token("/2021-07-16/api/token"));
        assert!(!is_token("/latest/api"));
    }
}
