use super::*;

fn refusal(status: u16, code: &str, message: &str) -> Refusal {
    Refusal {
        status,
        code: code.to_owned(),
        message: message.to_owned(),
        request_id: String::new(),
    }
}

#[test]
fn each_code_of_the_catalogue_has_its_class() {
    let throttled = Class::Throttled { after: None };
    let table = [
        (503, "RequestLimitExceeded", throttled),
        (400, "Throttling", throttled),
        (400, "InvalidNetworkInterfaceID.NotFound", Class::NotFound),
        (400, "InvalidGroup.NotFound", Class::NotFound),
        (400, "InvalidAttachmentID.NotFound", Class::NotFound),
        (400, "InsufficientFreeAddressesInSubnet", Class::Conflict),
        (400, "InsufficientCidrBlocks", Class::Conflict),
        (400, "PrivateIpAddressLimitExceeded", Class::Conflict),
        (400, "AttachmentLimitExceeded", Class::Conflict),
        (400, "NetworkInterfaceLimitExceeded", Class::Conflict),
        (400, "OperationNotPermitted", Class::Conflict),
        (403, "UnauthorizedOperation", Class::Denied),
        (401, "AuthFailure", Class::Denied),
        (400, "InvalidParameterCombination", Class::Invalid),
        (400, "InvalidGroupId.Malformed", Class::Invalid),
        (400, "SomethingNew", Class::Invalid),
        (500, "InternalError", Class::Retry),
        (502, "Http502", Class::Retry),
    ];
    for (status, code, class) in table {
        assert_eq!(refusal(status, code, "").class(), class, "{code}");
    }
}

#[test]
fn the_text_tells_what_a_wrong_parameter_is_about() {
    let full = refusal(
        400,
        "InvalidParameterValue",
        "There aren't sufficient free Ipv4 addresses or prefixes",
    );
    assert_eq!(full.class(), Class::Conflict);
    assert!(full.is_subnet_exhausted());
    let in_use = refusal(
        400,
        "InvalidParameterValue",
        "Network interface 'eni-0123456789abcdef0' is currently in use.",
    );
    assert_eq!(
        (in_use.class(), in_use.is_subnet_exhausted()),
        (Class::Conflict, false)
    );
    let wrong = refusal(400, "InvalidParameterValue", "Value (x) is invalid");
    assert_eq!(wrong.class(), Class::Invalid);
}

#[test]
fn the_message_says_what_was_tried_on_what() {
    let error = Ec2Error::new(
        "AttachNetworkInterface",
        "eni-01234567",
        Refusal {
            request_id: "r-1".to_owned(),
            ..refusal(400, "AttachmentLimitExceeded", "Full.")
        },
    );
    assert_eq!(
        error.to_string(),
        "AttachNetworkInterface on eni-01234567: AttachmentLimitExceeded: Full. (request r-1)"
    );
    assert_eq!(error.code(), Some("AttachmentLimitExceeded"));
    assert!(!error.may_have_been_applied());
}

#[test]
fn only_an_unknown_outcome_may_have_been_applied() {
    let endpoint = "http://x".to_owned();
    let reason = "reset".to_owned();
    let of = |failure| Ec2Error::new("A", "b", failure).may_have_been_applied();
    assert!(of(Ec2Failure::NoAnswer {
        endpoint: endpoint.clone(),
        reason: reason.clone()
    }));
    assert!(of(Ec2Failure::Reply("no <x>".to_owned())));
    assert!(of(refusal(500, "InternalError", "").into()));
    assert!(!of(Ec2Failure::Unreachable { endpoint, reason }));
    assert!(!of(refusal(503, "RequestLimitExceeded", "").into()));
    assert!(!of(Ec2Failure::Budget(Duration::from_secs(1))));
}
