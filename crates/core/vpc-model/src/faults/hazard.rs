//! What can go wrong, by name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{FaultRequest, Probability};
use crate::Delay;

/// Whom a hazard strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HazardScope {
    /// Calls: of one action, or those that name one instance or interface.
    Calls,
    /// Everybody who connects.
    Everybody,
    /// Interfaces and instances, when they change.
    Objects,
}

/// Text that names no hazard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no hazard {0:?}; `underlay-vpc fault hazards` lists them")]
pub struct HazardError(String);

macro_rules! hazards {
    ($($name:ident $text:literal $scope:ident $from:literal..$to:literal $what:literal;)+) => {
        /// Something that goes wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Hazard {
            $(#[doc = $what] $name,)+
        }

        impl Hazard {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it does, for a person.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$name => $what,)+ }
            }

            /// Whom it strikes.
            #[must_use]
            pub const fn scope(self) -> HazardScope {
                match self { $(Self::$name => HazardScope::$scope,)+ }
            }

            /// How late things are when nobody says otherwise.
            #[must_use]
            pub const fn usual_delay(self) -> Delay {
                match self { $(Self::$name => Delay::millis($from, $to),)+ }
            }
        }
    };
}

hazards! {
    ConnectionsRefused "connections-refused" Everybody 0..0
        "nobody listens: connections are refused, open ones are cut at their next call";
    CutOff "cut-off" Calls 0..0
        "the connection is cut; the call is not carried out";
    DescribeLag "describe-lag" Objects 5_000..120_000
        "Describe shows an interface or an instance as it was before its last changes";
    Duplicate "duplicate" Calls 0..0
        "the call is carried out twice; the second answer is given";
    Hang "hang" Calls 60_000..60_000
        "no answer comes, and the connection is cut in the end; the call is not carried out";
    LateAddresses "late-addresses" Objects 2_000..30_000
        "an attached interface is shown without its secondary addresses and prefixes at first";
    LostReply "lost-reply" Calls 0..0
        "the call is carried out, and the connection is cut instead of the answer";
    MetadataKeepsAddress "metadata-keeps-address" Objects 5_000..60_000
        "metadata shows addresses that were taken from an interface";
    MetadataKeepsEni "metadata-keeps-eni" Objects 5_000..60_000
        "metadata shows an interface that was detached or deleted";
    MetadataMissesAddress "metadata-misses-address" Objects 5_000..60_000
        "metadata does not show addresses that were given to an interface";
    MetadataMissesEni "metadata-misses-eni" Objects 5_000..60_000
        "metadata does not show an interface that was attached";
    NotFound "not-found" Objects 1_000..10_000
        "a new object's id is unknown to other calls at first";
    OneMissingNamed "one-missing-named" Calls 0..0
        "of several ids that are unknown, the refusal names the first only";
    Partial "partial" Calls 0..0
        "half of what a call lists or counts is done, and it is answered InternalError";
    Refuse "refuse" Calls 0..0
        "the call is refused with a code of your choice";
    Reorder "reorder" Calls 100..3_000
        "a call waits before it is carried out, so that later ones overtake it";
    ServerError "server-error" Calls 0..0
        "the call is not carried out and answered InternalError, status 500";
    Slow "slow" Calls 1_000..10_000
        "the call is carried out, and its answer is late";
    StuckAttach "stuck-attach" Objects 3_600_000..3_600_000
        "an attachment stays in attaching";
    StuckDetach "stuck-detach" Objects 3_600_000..3_600_000
        "an attachment stays in detaching";
    Throttle "throttle" Calls 0..0
        "the call is answered RequestLimitExceeded, whatever its bucket holds";
    Unavailable "unavailable" Calls 0..0
        "the call is not carried out and answered Unavailable, status 503";
}

/// What `hostile` begins with: a bad day, not the end of the world.
pub(super) fn hostile() -> Vec<FaultRequest> {
    let fault = |hazard, percent| FaultRequest {
        probability: Probability::percent(percent),
        ..FaultRequest::new(hazard)
    };
    let lag = |hazard, percent, from, to| FaultRequest {
        delay: Some(Delay::millis(from, to)),
        ..fault(hazard, percent)
    };
    vec![
        fault(Hazard::CutOff, 1),
        lag(Hazard::DescribeLag, 5, 5_000, 30_000),
        fault(Hazard::Duplicate, 1),
        lag(Hazard::Hang, 1, 5_000, 20_000),
        lag(Hazard::LateAddresses, 30, 2_000, 15_000),
        fault(Hazard::LostReply, 2),
        lag(Hazard::MetadataKeepsAddress, 30, 5_000, 30_000),
        lag(Hazard::MetadataKeepsEni, 30, 5_000, 30_000),
        lag(Hazard::MetadataMissesAddress, 30, 5_000, 30_000),
        lag(Hazard::NotFound, 20, 1_000, 10_000),
        fault(Hazard::OneMissingNamed, 100),
        fault(Hazard::Partial, 1),
        fault(Hazard::Reorder, 5),
        fault(Hazard::ServerError, 2),
        lag(Hazard::Slow, 5, 1_000, 5_000),
        fault(Hazard::Throttle, 5),
        fault(Hazard::Unavailable, 1),
    ]
}

impl FromStr for Hazard {
    type Err = HazardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|each| each.as_str() == text);
        found.copied().ok_or_else(|| HazardError(text.to_owned()))
    }
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Hazard {
    type Error = HazardError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Hazard> for String {
    fn from(hazard: Hazard) -> Self {
        hazard.as_str().to_owned()
    }
}
