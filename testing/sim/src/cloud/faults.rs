//! Which of the VPC's hazards are on, how often they strike, and how long things take.

use fastrand::Rng;
use underlay_types::Timestamp;
use underlay_vpc_model::{
    Admission, Delay, FaultRequest, Hazard, HazardScope, Model, Preset, Probability, Timings,
};

use crate::setting::Setting;

/// The hazards that an agent has to live with, and how late each makes things.
const HAZARDS: [(Hazard, &str); 15] = [
    (Hazard::CutOff, "0s"),
    (Hazard::DescribeLag, "1s..60s"),
    (Hazard::Duplicate, "0s"),
    (Hazard::Hang, "5s..20s"),
    (Hazard::LateAddresses, "1s..20s"),
    (Hazard::LostReply, "0s"),
    (Hazard::NotFound, "500ms..5s"),
    (Hazard::Partial, "0s"),
    (Hazard::Refuse, "0s"),
    (Hazard::Reorder, "100ms..3s"),
    (Hazard::ServerError, "0s"),
    (Hazard::Slow, "1s..15s"),
    (Hazard::StuckAttach, "20s..90s"),
    (Hazard::StuckDetach, "20s..90s"),
    (Hazard::Throttle, "0s"),
];

/// Refusals that the model does not come to by itself here, or seldom.
const REFUSALS: [(&str, &str); 6] = [
    ("AttachNetworkInterface", "AttachmentLimitExceeded"),
    ("AssignPrivateIpAddresses", "InsufficientCidrBlocks"),
    (
        "AssignPrivateIpAddresses",
        "InsufficientFreeAddressesInSubnet",
    ),
    ("CreateNetworkInterface", "NetworkInterfaceLimitExceeded"),
    (
        "CreateNetworkInterface",
        "InsufficientFreeAddressesInSubnet",
    ),
    ("*", "AuthFailure"),
];

pub(super) fn timings(setting: &Setting) -> Timings {
    let mut rng = Rng::with_seed(setting.seed ^ 0x7469_6d65);
    let mut one_of = |texts: [&str; 3]| delay(texts[rng.usize(..texts.len())]);
    Timings {
        attach: one_of(["0s", "1s..5s", "1s..20s"]),
        detach: one_of(["0s", "1s..5s", "1s..30s"]),
        create_eni: one_of(["0s", "100ms..1s", "0s"]),
        latency: true,
        ..Timings::of(Preset::Instant)
    }
}

pub(super) fn switch_on(
    setting: &Setting,
    model: &mut Model,
    admission: &mut Admission,
    now: Timestamp,
) {
    let rate = Probability::try_from(setting.fault_rate).unwrap_or(Probability::NEVER);
    if rate == Probability::NEVER {
        return;
    }
    for (bit, (hazard, late)) in HAZARDS.into_iter().enumerate() {
        if setting.fault_kinds & (1 << bit) == 0 {
            continue;
        }
        let mut request = FaultRequest::new(hazard);
        request.probability = rate;
        request.delay = Some(delay(late));
        if hazard == Hazard::Refuse {
            let which = usize::try_from(setting.fault_kinds >> 20).unwrap_or(0);
            let (action, code) = REFUSALS[which % REFUSALS.len()];
            request.action = Some(action.to_owned());
            request.code = Some(code.to_owned());
        }
        let id = 100 + u64::try_from(bit).unwrap_or(0);
        let on = match hazard.scope() {
            HazardScope::Objects => model.switch_fault_on(id, request, now),
            HazardScope::Calls | HazardScope::Everybody => admission.switch_on(id, request, now),
        };
        on.expect("the table's requests go together");
    }
}

/// Returns how often each kind struck.
pub(super) fn switch_off(
    model: &mut Model,
    admission: &mut Admission,
    now: Timestamp,
) -> Vec<(String, u64)> {
    let faults = model.faults().list(now).chain(admission.faults().list(now));
    let struck = faults
        .map(|fault| (fault.request.hazard.to_string(), fault.struck))
        .collect();
    model.switch_faults_off(|_| true);
    admission.switch_off(|_| true);
    struck
}

fn delay(text: &str) -> Delay {
    text.parse().expect("the texts above are delays")
}
