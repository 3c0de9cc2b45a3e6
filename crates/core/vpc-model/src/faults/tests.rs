use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn later(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_000 + secs)
}

fn names(wanted: &'static str) -> impl Fn(&str) -> bool {
    move |name| name == wanted
}

#[test]
fn a_fault_strikes_its_action_and_target_as_often_and_as_long_as_it_was_told() {
    let mut set = FaultSet::default();
    let mut rng = Rng::new(1);
    let request = FaultRequest {
        action: Some("Attach*".to_owned()),
        target: Some("eni-1".to_owned()),
        count: Some(2),
        lasts: Some("10s".parse().unwrap()),
        ..FaultRequest::new(Hazard::Throttle)
    };
    let fault = set.switch_on(7, request.clone(), NOW).unwrap();
    assert_eq!((fault.id, fault.until), (7, Some(later(10))));
    let mut strikes = |hazard, action, name, at| {
        set.draw(hazard, action, &names(name), at, &mut rng)
            .is_some()
    };
    let attach = "AttachNetworkInterface";
    assert!(!strikes(
        Hazard::Throttle,
        "DetachNetworkInterface",
        "eni-1",
        NOW
    ));
    assert!(!strikes(Hazard::Throttle, attach, "eni-2", NOW));
    assert!(!strikes(Hazard::CutOff, attach, "eni-1", NOW));
    assert!(strikes(Hazard::Throttle, attach, "eni-1", NOW));
    assert!(strikes(Hazard::Throttle, attach, "eni-1", later(9)));
    assert!(!strikes(Hazard::Throttle, attach, "eni-1", later(9)));
    assert!(set.is_empty());
    set.switch_on(8, request, NOW).unwrap();
    let late = set.draw(
        Hazard::Throttle,
        attach,
        &names("eni-1"),
        later(10),
        &mut rng,
    );
    assert_eq!((late, set.is_empty()), (None, true));
}

#[test]
fn the_same_seed_strikes_the_same_calls() {
    let run = |seed| {
        let mut rng = Rng::new(seed);
        let mut set = FaultSet::of(Preset::Hostile, |_| true);
        let strikes = |_| {
            set.draw(Hazard::Reorder, "RunInstances", &|_| false, NOW, &mut rng)
                .is_some()
        };
        (0..400).map(strikes).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let struck = run(1).into_iter().filter(|each| *each).count();
    // One in twenty.
    assert!((5..50).contains(&struck), "{struck}");
}

#[test]
fn what_makes_no_fault_is_refused() {
    let of = FaultRequest::new;
    for (request, error) in [
        (
            FaultRequest {
                target: Some("i-1".to_owned()),
                ..of(Hazard::ConnectionsRefused)
            },
            FaultError::Scope(Hazard::ConnectionsRefused),
        ),
        (
            FaultRequest {
                action: Some("RunInstances".to_owned()),
                ..of(Hazard::StuckAttach)
            },
            FaultError::Action(Hazard::StuckAttach),
        ),
        (of(Hazard::Refuse), FaultError::CodeOf(Hazard::Refuse)),
        (
            FaultRequest {
                code: Some("InternalError".to_owned()),
                ..of(Hazard::Slow)
            },
            FaultError::CodeOf(Hazard::Slow),
        ),
        (
            FaultRequest {
                code: Some("Bogus".to_owned()),
                ..of(Hazard::Refuse)
            },
            FaultError::Code("Bogus".to_owned()),
        ),
        (
            FaultRequest {
                target: Some("vpc-1".to_owned()),
                ..of(Hazard::Slow)
            },
            FaultError::Target("vpc-1".to_owned()),
        ),
        (
            FaultRequest {
                count: Some(0),
                ..of(Hazard::Slow)
            },
            FaultError::Count,
        ),
    ] {
        let mut set = FaultSet::default();
        assert_eq!(set.switch_on(1, request, NOW), Err(error));
        assert!(set.is_empty());
    }
}

#[test]
fn several_outages_end_with_the_last() {
    let mut set = FaultSet::default();
    let outage = |lasts: Option<&str>| FaultRequest {
        lasts: lasts.map(|text| text.parse().unwrap()),
        ..FaultRequest::new(Hazard::ConnectionsRefused)
    };
    let until = |set: &FaultSet, at| set.strikes_until(Hazard::ConnectionsRefused, at);
    assert_eq!(until(&set, NOW), None);
    set.switch_on(1, outage(Some("5s")), NOW).unwrap();
    set.switch_on(2, outage(Some("9s")), NOW).unwrap();
    assert_eq!(until(&set, NOW), Some(Some(later(9))));
    assert_eq!(until(&set, later(9)), None);
    set.switch_on(3, outage(None), NOW).unwrap();
    assert_eq!(until(&set, NOW), Some(None));
    assert_eq!(set.switch_off(|fault| fault.id == 3), 1);
    assert_eq!(until(&set, later(8)), Some(Some(later(9))));
}

#[test]
fn requests_are_read_from_json_and_hazards_from_their_names() {
    let text = r#"{"hazard":"describe-lag","target":"i-1","probability":0.25,"count":3,
        "lasts":"2m","delay":"1s..30s"}"#;
    let read: FaultRequest = serde_json::from_str(text).unwrap();
    let expected = FaultRequest {
        target: Some("i-1".to_owned()),
        probability: Probability::percent(25),
        count: Some(3),
        lasts: Some("2m".parse().unwrap()),
        delay: Some("1s..30s".parse().unwrap()),
        ..FaultRequest::new(Hazard::DescribeLag)
    };
    assert_eq!(read, expected);
    assert!(serde_json::from_str::<FaultRequest>(r#"{"hazard":"slow","when":1}"#).is_err());
    assert!(serde_json::from_str::<FaultRequest>(r#"{"hazard":"x"}"#).is_err());
    for hazard in Hazard::ALL {
        assert_eq!(hazard.as_str().parse(), Ok(*hazard));
    }
    for text in ["2", "-0.1", "NaN", "x", ""] {
        assert!(text.parse::<Probability>().is_err(), "{text:?}");
    }
}
