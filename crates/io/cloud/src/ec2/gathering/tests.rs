use std::time::Duration;

use tokio::{task::JoinSet, time::timeout};

use super::*;
use crate::{
    credentials::CredentialSource,
    ec2::Ec2Config,
    scripted_server::{ScriptedServer, Step},
};

const NONE: Step = Step::Answer(200, "<R><networkInterfaceSet/></R>");
const REFUSED: Step = Step::Answer(
    400,
    "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error>\
     </Errors><RequestID>r</RequestID></Response>",
);

fn client(server: &ScriptedServer) -> Ec2 {
    Ec2::new(Ec2Config {
        endpoint: Some(server.endpoint.clone()),
        credentials: CredentialSource::Fixed {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
        },
        ..Ec2Config::new("eu-west-1")
    })
    .unwrap()
}

/// Whoever `asks` all at once; the answers in any order.
async fn ask_all(client: &Ec2, count: u64) -> Vec<Result<Option<NetworkInterface>, Ec2Error>> {
    let mut asking = JoinSet::new();
    for serial in 0..count {
        let client = client.clone();
        let eni = EniId::from_serial(serial);
        asking.spawn(async move { client.describe_network_interface(&eni).await });
    }
    asking.join_all().await
}

#[tokio::test]
async fn what_is_asked_meanwhile_is_asked_together() {
    let server = ScriptedServer::start([NONE, NONE]).await;
    let answers = ask_all(&client(&server), 30).await;
    assert_eq!(answers.len(), 30);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(None))));
    let seen = server.seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let asked = |request: &String| request.matches("Filter.1.Value.").count();
    assert_eq!(seen.iter().map(asked).sum::<usize>(), 30, "{seen:?}");
}

#[tokio::test]
async fn a_refusal_is_everybodys_who_asked_with_it() {
    let server = ScriptedServer::start([REFUSED, REFUSED]).await;
    let answers = ask_all(&client(&server), 5).await;
    let refused = |answer: &Result<_, Ec2Error>| {
        answer.as_ref().err().and_then(Ec2Error::code) == Some("UnauthorizedOperation")
    };
    assert!(answers.iter().all(refused), "{answers:?}");
}

#[tokio::test]
async fn who_waits_asks_where_the_asker_gave_up() {
    let server = ScriptedServer::start([NONE]).await;
    let client = client(&server);
    let turn = client.shared.gathering.turn.lock().await;
    let asker = client.clone();
    let asker = tokio::spawn(async move {
        let eni = EniId::from_serial(1);
        asker.describe_network_interface(&eni).await
    });
    // It has joined once the question is there.
    while client.shared.gathering.next.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let eni = EniId::from_serial(2);
    let waits = client.describe_network_interface(&eni);
    asker.abort();
    assert!(asker.await.unwrap_err().is_cancelled());
    drop(turn);
    let answer = timeout(Duration::from_secs(30), waits).await.unwrap();
    assert!(matches!(answer, Ok(None)), "{answer:?}");
}
