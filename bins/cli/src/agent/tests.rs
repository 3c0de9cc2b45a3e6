use std::{os::unix::net::UnixListener, thread};

use super::*;

fn socket_in(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("agent.sock")
}

/// Asks an agent that reads one request and sends `reply` (or holds its tongue).
fn ask_one(reply: Option<Vec<u8>>) -> (Request, Result<String, AskError>) {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(socket_in(&folder)).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _peer) = listener.accept().unwrap();
        let mut header = [0; HEADER_LENGTH];
        stream.read_exact(&mut header).unwrap();
        let mut json = vec![0; frame_length(header).unwrap()];
        stream.read_exact(&mut json).unwrap();
        match reply {
            Some(reply) => stream.write_all(&reply).unwrap(),
            // Reads the client's hang-up: it gave up first.
            None => assert_eq!(stream.read(&mut header).unwrap(), 0),
        }
        decode(&json).unwrap()
    });
    let agent = Agent::at(socket_in(&folder));
    let answer = agent.ask(NodeCommand::Drain, "{}", Duration::from_millis(200));
    (server.join().unwrap(), answer)
}

#[test]
fn the_answer_comes_back_verbatim() {
    let reply = encode(&Answer::new(0, "{\"enis\":[]}".to_owned())).unwrap();
    let (request, answer) = ask_one(Some(reply));
    assert_eq!(
        request,
        Request::new("NODE_DRAIN", BTreeMap::new(), "{}".to_owned())
    );
    assert_eq!(answer.unwrap(), "{\"enis\":[]}");
}

#[test]
fn a_refusal_is_the_agents_own_words() {
    let failure = NodeFailure {
        error: "eni-1 has 2 pods".to_owned(),
    };
    let reply = Answer::new(1, serde_json::to_string(&failure).unwrap());
    let (_request, answer) = ask_one(Some(encode(&reply).unwrap()));
    assert_eq!(answer.unwrap_err().to_string(), "eni-1 has 2 pods");
}

#[test]
fn a_silent_agent_ends_the_patience() {
    let (_request, answer) = ask_one(None);
    assert!(matches!(answer, Err(AskError::Silent { .. })), "{answer:?}");
}

#[test]
fn half_an_answer_is_an_error() {
    for reply in [
        b"\0\0".to_vec(),
        b"\0\0\0\x05{".to_vec(),
        b"\xff\0\0\0".to_vec(),
    ] {
        let (_request, answer) = ask_one(Some(reply));
        assert!(
            matches!(answer, Err(AskError::Io { .. } | AskError::Frame { .. })),
            "{answer:?}"
        );
    }
}

#[test]
fn an_agent_that_is_away_is_told_from_one_that_ended() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::at(socket_in(&folder));
    let ask = || {
        agent
            .ask(NodeCommand::Status, "", Duration::from_secs(1))
            .unwrap_err()
    };
    assert!(matches!(ask(), AskError::Away(_)));
    drop(UnixListener::bind(socket_in(&folder)).unwrap());
    let error = ask();
    assert!(matches!(error, AskError::Ended(_)));
    assert!(error.to_string().contains("journalctl -u underlay-agent"));
}
