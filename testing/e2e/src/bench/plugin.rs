//! `plugin.instructions`: what the plugin's ADD costs of itself, counted by callgrind, so that it is
//! the same on every machine and may gate.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::json;
use underlay_testkit::Binaries;

use super::row::{Better, Row, Subject};

/// What was recorded when the plugin was last found to be as it should.
const RECORDED: &str = include_str!("../../plugin-budget.json");
/// How much more than recorded is let pass: compilers differ a little.
const TOLERANCE: f64 = 1.02;
/// What an agent answers to an ADD.
const RESULT: &str = r#"{"cniVersion":"1.0.0","interfaces":[{"name":"und0123456789ab","mac":"02:00:00:00:00:01","mtu":9001},{"name":"eth0","mac":"02:00:00:00:00:02","mtu":9001,"sandbox":"/run/netns/pod"}],"ips":[{"interface":1,"address":"10.0.0.10/32","gateway":"169.254.1.1"}],"routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"}]}"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counted {
    /// Instructions of an ADD, the start of the program included.
    instructions: u64,
    /// Bytes of the program.
    bytes: u64,
}

pub(super) fn measure() -> anyhow::Result<Vec<Row>> {
    let Counted {
        instructions,
        bytes,
    } = count()?;
    let subject = Subject {
        id: "plugin.instructions",
        what: format!("the plugin's own part of an ADD; the program has {bytes} bytes"),
        unit: "instructions",
        better: Better::Lower,
        peer_name: None,
    };
    Ok(vec![Row::alone(subject, instructions as f64)])
}

/// Fails if the plugin does more, or is larger, than was recorded.
pub(crate) fn check() -> anyhow::Result<ExitCode> {
    let recorded: Counted =
        serde_json::from_str(RECORDED).context("reading testing/e2e/plugin-budget.json")?;
    let found = count()?;
    let mut output = std::io::stdout();
    let mut grown = false;
    for (what, found, recorded) in [
        ("instructions", found.instructions, recorded.instructions),
        ("bytes", found.bytes, recorded.bytes),
    ] {
        let is_more = found as f64 > recorded as f64 * TOLERANCE;
        grown |= is_more;
        let verdict = if is_more { "too many" } else { "fine" };
        writeln!(
            output,
            "plugin: {found} {what} of {recorded} recorded: {verdict}"
        )?;
    }
    if grown {
        writeln!(
            output,
            "plugin: if that is meant, record the new numbers in testing/e2e/plugin-budget.json and say why"
        )?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn count() -> anyhow::Result<Counted> {
    let plugin = Binaries::find()?.program("underlay-cni")?;
    let bytes = fs::metadata(&plugin)
        .context("looking at the plugin")?
        .len();
    let folder = tempfile::tempdir().context("making a folder")?;
    let listener = UnixListener::bind(folder.path().join("agent.sock")).context("listening")?;
    let agent = thread::spawn(move || answer(&listener));
    let instructions = run(&plugin, folder.path())?;
    let answered = agent.join();
    answered.map_err(|_panic| anyhow::anyhow!("the stand-in for the agent panicked"))??;
    Ok(Counted {
        instructions,
        bytes,
    })
}

/// Takes one request, whatever it says, and answers it.
fn answer(listener: &UnixListener) -> anyhow::Result<()> {
    let (mut stream, _) = listener.accept().context("accepting")?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).context("reading a length")?;
    let mut request = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    stream
        .read_exact(&mut request)
        .context("reading a request")?;
    let answer = json!({"proto": 1, "exit": 0, "stdout": RESULT}).to_string();
    stream.write_all(&u32::try_from(answer.len())?.to_be_bytes())?;
    stream.write_all(answer.as_bytes()).context("answering")
}

fn run(plugin: &Path, folder: &Path) -> anyhow::Result<u64> {
    let profile = folder.join("callgrind.out");
    let config = json!({
        "cniVersion": "1.0.0", "name": "underlay", "type": "underlay-cni", "runDir": folder,
        "capabilities": {"io.kubernetes.cri.pod-annotations": true},
    });
    let mut child = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(plugin)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("CNI_COMMAND", "ADD")
        .env("CNI_CONTAINERID", "c".repeat(64))
        .env("CNI_NETNS", "/proc/self/ns/net")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/opt/cni/bin")
        .env(
            "CNI_ARGS",
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=u",
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting valgrind; `make setup` installs it")?;
    let mut stdin = child.stdin.take().context("a piped input")?;
    stdin.write_all(config.to_string().as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output().context("waiting for valgrind")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(printed.trim() == RESULT, "the plugin printed {printed:?}");
    let text = fs::read_to_string(&profile).context("reading callgrind's output")?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(total.context("callgrind wrote no totals")?.trim().parse()?)
}
