use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use underlay_types::EniId;

use super::*;
use crate::{
    credentials::CredentialSource,
    ec2::{Assigned, Bucket, Ec2Config, InterfaceQuery, Ipv4Grant},
    scripted_server::{ScriptedServer, Step},
};

const ONE: Ipv4Grant = Ipv4Grant::Addresses(1);
const DONE: &str = "<R><requestId>x</requestId><return>true</return></R>";
const THROTTLED: &str = "<Response><Errors><Error><Code>RequestLimitExceeded</Code>\
    <Message>Request limit exceeded.</Message></Error></Errors><RequestID>r-9</RequestID></Response>";
const ASSIGNED: &str = "<R><assignedPrivateIpAddressesSet><item>\
    <privateIpAddress>10.0.0.9</privateIpAddress></item></assignedPrivateIpAddressesSet></R>";

fn client(server: &ScriptedServer) -> Ec2 {
    let config = Ec2Config {
        endpoint: Some(server.endpoint.clone()),
        credentials: CredentialSource::Fixed {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
        },
        attempt_timeout: Duration::from_millis(300),
        call_timeout: Duration::from_secs(4),
        ..Ec2Config::new("eu-west-1")
    };
    Ec2::new(config).unwrap()
}

fn eni() -> EniId {
    EniId::from_serial(1)
}

#[tokio::test]
async fn every_request_is_a_signed_form() {
    let server = ScriptedServer::start([Step::Answer(200, DONE)]).await;
    client(&server)
        .delete_network_interface(&eni())
        .await
        .unwrap();
    let request = server.seen().remove(0).to_lowercase();
    assert!(request.starts_with("post / http/1.1\r\n"), "{request}");
    assert!(request.contains("credential=akidexample/"), "{request}");
    assert!(request.contains("/eu-west-1/ec2/aws4_request"), "{request}");
    assert!(
        request.contains("signedheaders=content-type;host;x-amz-date"),
        "{request}"
    );
    let body = "action=deletenetworkinterface&version=2016-11-15&networkinterfaceid=";
    assert!(request.contains(body), "{request}");
}

#[tokio::test]
async fn what_ec2_throttled_is_repeated_even_if_it_is_not_idempotent() {
    let script = [Step::Answer(503, THROTTLED), Step::Answer(200, ASSIGNED)];
    let server = ScriptedServer::start(script).await;
    let client = client(&server);
    let assigned = client
        .assign_private_ip_addresses(&eni(), ONE)
        .await
        .unwrap();
    assert_eq!(
        assigned,
        Assigned {
            addresses: vec![[10, 0, 0, 9].into()],
            prefixes: Vec::new(),
        }
    );
    assert_eq!(
        client.counters()["AssignPrivateIpAddresses"].results,
        BTreeMap::from([("RequestLimitExceeded".to_owned(), 1), ("ok".to_owned(), 1)])
    );
}

#[tokio::test]
async fn an_assignment_of_unknown_outcome_is_not_repeated() {
    for step in [Step::Hangup, Step::Silence, Step::Answer(500, "oops")] {
        let server = ScriptedServer::start([step.clone(), Step::Answer(200, ASSIGNED)]).await;
        let error = client(&server)
            .assign_private_ip_addresses(&eni(), ONE)
            .await
            .unwrap_err();
        assert!(error.may_have_been_applied(), "{step:?}: {error}");
        assert_eq!(server.seen().len(), 1, "{step:?}");
    }
}

#[tokio::test]
async fn a_harmless_call_of_unknown_outcome_is_repeated() {
    let script = [
        Step::Hangup,
        Step::Silence,
        Step::Answer(500, "oops"),
        Step::Answer(200, DONE),
    ];
    let server = ScriptedServer::start(script).await;
    client(&server)
        .delete_network_interface(&eni())
        .await
        .unwrap();
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn expired_credentials_are_renewed_once() {
    let expired = "<Response><Errors><Error><Code>RequestExpired</Code><Message/></Error></Errors>\
        </Response>";
    let script = [Step::Answer(400, expired), Step::Answer(400, expired)];
    let server = ScriptedServer::start(script).await;
    let error = client(&server)
        .delete_network_interface(&eni())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("RequestExpired"));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let script = [
        Step::Answer(
            200,
            "<R><networkInterfaceSet/><nextToken>t 1</nextToken></R>",
        ),
        Step::Answer(200, "<R><networkInterfaceSet/></R>"),
    ];
    let server = ScriptedServer::start(script).await;
    let query = InterfaceQuery::tagged("k", "v");
    let found = client(&server)
        .describe_network_interfaces(&query)
        .await
        .unwrap();
    assert_eq!(found, []);
    let seen = server.seen();
    assert!(
        seen[0].contains("MaxResults=1000") && !seen[0].contains("NextToken"),
        "{}",
        seen[0]
    );
    assert!(seen[1].contains("NextToken=t+1"), "{}", seen[1]);
}

#[tokio::test]
async fn a_budget_that_stays_spent_is_a_throttle_of_our_own() {
    let server = ScriptedServer::start([Step::Answer(200, DONE)]).await;
    let mut config = client(&server).shared.config.clone();
    config.budgets.mutate = Bucket {
        capacity: 1.0,
        refill_per_second: 0.01,
    };
    let client = Ec2::new(config).unwrap();
    client.delete_network_interface(&eni()).await.unwrap();
    let error = client.delete_network_interface(&eni()).await.unwrap_err();
    assert!(
        matches!(error.class(), Class::Throttled { after: Some(_) }),
        "{error}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn what_is_not_ec2s_error_shape_is_named_by_its_status() {
    let html = "<html>\n<body>Bad   gateway</body></html>";
    let found = refusal(502, Element::parse(html).ok().as_ref(), html);
    assert_eq!(found.code, "Http502");
    assert_eq!(found.message, "<html> <body>Bad gateway</body></html>");
    let document = Element::parse(THROTTLED).unwrap();
    let found = refusal(503, Some(&document), THROTTLED);
    assert_eq!(
        found.to_string(),
        "RequestLimitExceeded: Request limit exceeded. (request r-9)"
    );
}

proptest! {
    #[test]
    fn pauses_stay_between_half_and_all(millis in 1_u64..10_000, random: u64) {
        let full = Duration::from_millis(millis);
        let pause = jittered(full, random);
        prop_assert!(pause >= full / 2 && pause <= full);
    }
}
