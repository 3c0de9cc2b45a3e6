//! Pages of a Describe: at most so many, and a token for the next.

use std::{ops::RangeInclusive, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use underlay_vpc_model::{Ec2Error, ErrorCode};

use super::params::Params;

/// Which page of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    action: &'static str,
    max: Option<usize>,
    after: Option<String>,
}

impl Page {
    /// Takes `MaxResults` (from 5 to `limit`) and `NextToken`.
    ///
    /// # Errors
    /// As [`Self::take_within`].
    pub(super) fn take(
        params: &mut Params,
        action: &'static str,
        limit: usize,
    ) -> Result<Self, Ec2Error> {
        Self::take_within(params, action, 5..=limit)
    }

    /// Takes `MaxResults` (one of `sizes`) and `NextToken`.
    ///
    /// # Errors
    /// `InvalidParameterValue`; `InvalidNextToken` for a token this action did not give.
    pub(super) fn take_within(
        params: &mut Params,
        action: &'static str,
        sizes: RangeInclusive<usize>,
    ) -> Result<Self, Ec2Error> {
        let max: Option<i64> = params.parsed("MaxResults")?;
        let max = max.map(|value| check_max(value, &sizes)).transpose()?;
        let after = match params.text("NextToken").filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => Some(open_token(action, &token).ok_or_else(foreign_token)?),
        };
        Ok(Self { action, max, after })
    }

    /// Whether the caller asked for pages.
    pub(super) const fn is_wanted(&self) -> bool {
        self.max.is_some() || self.after.is_some()
    }

    /// This page, of at most `max` where the caller named no number.
    pub(super) fn or_default(self, max: usize) -> Self {
        Self {
            max: self.max.or(Some(max)),
            ..self
        }
    }

    /// What the page before ended with.
    ///
    /// # Errors
    /// `InvalidNextToken` when that is no `K`.
    pub(super) fn after<K: FromStr>(&self) -> Result<Option<K>, Ec2Error> {
        let last = self.after.as_deref().map(str::parse);
        last.transpose().map_err(|_no_key| foreign_token())
    }

    /// The part of `all` (ordered by key) that belongs to this page, and the next page's token. No
    /// more of `all` is looked at, or held, than the page takes.
    pub(super) fn pick<T>(
        &self,
        all: impl Iterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let is_later = |each: &T| self.after.as_ref().is_none_or(|after| &key(each) > after);
        let later = all.filter(is_later);
        let most = self.max.map_or(usize::MAX, |max| max.saturating_add(1));
        let mut rest: Vec<T> = later.take(most).collect();
        let Some(max) = self.max.filter(|max| rest.len() > *max) else {
            return (rest, None);
        };
        rest.truncate(max);
        let token = rest.last().map(|last| make_token(self.action, &key(last)));
        (rest, token)
    }
}

fn check_max(value: i64, sizes: &RangeInclusive<usize>) -> Result<usize, Ec2Error> {
    let complaint = match usize::try_from(value) {
        Ok(max) if sizes.contains(&max) => return Ok(max),
        Ok(max) if max > *sizes.end() => format!("less than or equal to {}", sizes.end()),
        _ => format!("greater than or equal to {}", sizes.start()),
    };
    let text = format!(
        "Value ( {value} ) for parameter maxResults is invalid. Expecting a value {complaint}."
    );
    Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
}

fn foreign_token() -> Ec2Error {
    Ec2Error::new(
        ErrorCode::InvalidNextToken,
        "Unable to parse pagination token",
    )
}

fn make_token(action: &str, last: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{action} {last}"))
}

fn open_token(action: &str, token: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    text.strip_prefix(action)?
        .strip_prefix(' ')
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(form: &str) -> Result<Page, Ec2Error> {
        Page::take(
            &mut Params::parse(form.as_bytes()).unwrap(),
            "DescribeThings",
            1_000,
        )
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let all: Vec<u32> = (10..22).collect();
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let form = format!("MaxResults=5&NextToken={token}");
            let (part, next) = page(&form)
                .unwrap()
                .pick(all.iter().copied(), u32::to_string);
            assert!(part.len() <= 5);
            seen.extend(part);
            match next {
                Some(next) => token = next,
                None => break,
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn numbers_out_of_range_and_foreign_tokens_are_refused() {
        for (form, code) in [
            ("MaxResults=4", ErrorCode::InvalidParameterValue),
            ("MaxResults=1001", ErrorCode::InvalidParameterValue),
            ("MaxResults=-1", ErrorCode::InvalidParameterValue),
            ("MaxResults=x", ErrorCode::InvalidParameterValue),
            ("NextToken=nonsense", ErrorCode::InvalidNextToken),
            ("NextToken=T3RoZXIgMQ", ErrorCode::InvalidNextToken),
        ] {
            assert_eq!(page(form).unwrap_err().code, code, "{form}");
        }
    }
}
