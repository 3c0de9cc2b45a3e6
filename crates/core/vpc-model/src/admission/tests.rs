use super::*;
use crate::{Preset, Probability};

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn admission(preset: Preset) -> Admission {
    Admission::new(&ModelConfig::of(preset), Budgets::default())
}

fn call<'a>(action: &'a str, names: &'a [String]) -> CallFacts<'a> {
    CallFacts {
        action,
        broad: false,
        resources: 0,
        names,
        divisible: true,
    }
}

fn with(hazard: Hazard) -> Admission {
    let mut admission = admission(Preset::Instant);
    let request = FaultRequest {
        code: (hazard == Hazard::Refuse).then(|| "InsufficientInstanceCapacity".to_owned()),
        ..FaultRequest::new(hazard)
    };
    admission.switch_on(9, request, NOW).unwrap();
    admission
}

fn refused(code: &str, fate: &Fate) -> bool {
    matches!(&fate.treatment, Treatment::Refuse(error) if error.code.as_str() == code)
}

#[test]
fn instant_carries_everything_out_at_once() {
    let mut admission = admission(Preset::Instant);
    for _ in 0..1_000 {
        let fate = admission.decide(&call("RunInstances", &[]), NOW);
        let expected = Fate {
            hold: Duration::ZERO,
            treatment: Treatment::Run,
            latency: Duration::ZERO,
            late: Duration::ZERO,
        };
        assert_eq!(fate, expected);
    }
    assert_eq!(admission.buckets(NOW), []);
}

#[test]
fn each_hazard_of_calls_does_what_its_name_says() {
    for (hazard, treatment) in [
        (Hazard::CutOff, Treatment::Cut),
        (Hazard::Hang, Treatment::Cut),
        (Hazard::Duplicate, Treatment::RunTwice),
        (Hazard::LostReply, Treatment::RunAndCut),
        (Hazard::Partial, Treatment::RunHalf),
        (Hazard::Reorder, Treatment::Run),
        (Hazard::Slow, Treatment::Run),
    ] {
        let fate = with(hazard).decide(&call("AssignPrivateIpAddresses", &[]), NOW);
        assert_eq!(fate.treatment, treatment, "{hazard}");
        assert_eq!(fate.hold.is_zero(), hazard != Hazard::Reorder, "{hazard}");
        let late = matches!(hazard, Hazard::Hang | Hazard::Slow);
        assert_eq!(fate.late.is_zero(), !late, "{hazard}");
    }
    for (hazard, code, status) in [
        (Hazard::Refuse, "InsufficientInstanceCapacity", 500),
        (Hazard::ServerError, "InternalError", 500),
        (Hazard::Throttle, "RequestLimitExceeded", 503),
        (Hazard::Unavailable, "Unavailable", 503),
    ] {
        let fate = with(hazard).decide(&call("RunInstances", &[]), NOW);
        let Treatment::Refuse(error) = fate.treatment else {
            panic!("{hazard}: {fate:?}");
        };
        assert_eq!((error.code.as_str(), error.code.status()), (code, status));
    }
}

#[test]
fn a_fault_of_one_instance_leaves_other_calls_alone() {
    let mut admission = admission(Preset::Instant);
    let request = FaultRequest {
        target: Some("i-1".to_owned()),
        action: Some("AttachNetworkInterface".to_owned()),
        ..FaultRequest::new(Hazard::ServerError)
    };
    admission.switch_on(9, request, NOW).unwrap();
    let mut struck = |action, name: &str| {
        let names = [name.to_owned()];
        let fate = admission.decide(&call(action, &names), NOW);
        refused("InternalError", &fate)
    };
    assert!(struck("AttachNetworkInterface", "i-1"));
    assert!(!struck("AttachNetworkInterface", "i-2"));
    assert!(!struck("TerminateInstances", "i-1"));
    let left: Vec<_> = admission
        .faults()
        .list(NOW)
        .map(|each| each.struck)
        .collect();
    assert_eq!(left, [0, 1]);
}

#[test]
fn realistic_throttles_and_takes_its_time() {
    let mut admission = admission(Preset::Realistic);
    let mut refusals = 0;
    for _ in 0..60 {
        let fate = admission.decide(&call("AttachNetworkInterface", &[]), NOW);
        let latency = fate.latency.as_millis();
        assert!((300..=800).contains(&latency), "{latency}");
        refusals += usize::from(refused("RequestLimitExceeded", &fate));
    }
    assert_eq!(refusals, 10);
    admission.set_throttles(false);
    let fate = admission.decide(&call("AttachNetworkInterface", &[]), NOW);
    assert_eq!(fate.treatment, Treatment::Run);
    admission.set_throttles(true);
    let fate = admission.decide(&call("AttachNetworkInterface", &[]), NOW);
    assert_eq!(fate.treatment, Treatment::Run);
    let left: Vec<_> = admission
        .buckets(NOW)
        .iter()
        .map(|each| each.tokens)
        .collect();
    assert_eq!(left, [49]);
}

#[test]
fn hostile_does_every_sort_of_harm_and_lets_most_calls_pass() {
    let mut admission = admission(Preset::Hostile);
    admission.set_throttles(false);
    let mut seen = BTreeMap::new();
    for _ in 0..2_000 {
        let fate = admission.decide(&call("AssignPrivateIpAddresses", &[]), NOW);
        let name = match fate.treatment {
            Treatment::Refuse(error) => error.code.as_str(),
            Treatment::Cut => "cut",
            Treatment::Run => "run",
            Treatment::RunAndCut => "lost",
            Treatment::RunHalf => "half",
            Treatment::RunTwice => "twice",
        };
        *seen.entry(name).or_insert(0) += 1;
    }
    let names: Vec<_> = seen.keys().copied().collect();
    let all = [
        "InternalError",
        "RequestLimitExceeded",
        "Unavailable",
        "cut",
        "half",
        "lost",
        "run",
        "twice",
    ];
    assert_eq!(names, all);
    assert!(seen["run"] > 1_500, "{seen:?}");
}

#[test]
fn all_missing_ids_are_named_when_the_hazard_is_off() {
    let mut admission = admission(Preset::Instant);
    assert!(admission.names_one_missing("DescribeInstances", NOW));
    admission.switch_off(|fault| fault.request.hazard == Hazard::OneMissingNamed);
    assert!(!admission.names_one_missing("DescribeInstances", NOW));
    let rare = FaultRequest {
        probability: Probability::NEVER,
        action: Some("DescribeInstances".to_owned()),
        ..FaultRequest::new(Hazard::OneMissingNamed)
    };
    admission.switch_on(3, rare, NOW).unwrap();
    assert!(!admission.names_one_missing("DescribeSubnets", NOW));
}

#[test]
fn calls_are_counted_by_action_and_result() {
    let mut admission = admission(Preset::Instant);
    for (action, result) in [
        ("RunInstances", "OK"),
        ("", "InvalidAction"),
        ("RunInstances", "OK"),
    ] {
        admission.count(action, result);
    }
    let count = |action: &str, result: &str, calls| CallCount {
        action: action.to_owned(),
        result: result.to_owned(),
        calls,
    };
    assert_eq!(
        admission.calls(),
        [
            count("", "InvalidAction", 1),
            count("RunInstances", "OK", 2)
        ]
    );
}
