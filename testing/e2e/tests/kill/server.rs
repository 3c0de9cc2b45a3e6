//! The local VPC's server is killed at its effects: another process goes on with its run, and the
//! call has happened as a whole or not at all.

mod calls;
mod maps;
mod refusals;
mod state;

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant},
};

use calls::{ASSIGNED, Call, Site};
use state::State;
use underlay_testkit::{Ec2Error, LocalVpc, LocalVpcOptions};

use crate::inject::{Injection, Victim, calls_of_one_thread};

/// Calls that change something: the journal (`pwrite64`), the run's records (`write`, `rename`),
/// namespaces (`unshare`, `mount`, `umount2`, `unlink`), the way into them (`setns`), netlink
/// (`sendto`) and the fabric's maps (`bpf`).
const KINDS: [&str; 10] = [
    "bpf", "mount", "pwrite64", "rename", "sendto", "setns", "umount2", "unlink", "unshare",
    "write",
];

/// How long the kernel may take to show what it was told.
const DEADLINE: Duration = Duration::from_secs(60);

/// What each call does at the least.
const EFFECTS: [(Call, &[(&str, u32)]); 6] = [
    // A record, a namespace (recorded, bound to a name, its loopback up), a device (made, named,
    // configured), and the five maps that know it.
    (
        Call::Launch,
        &[
            ("pwrite64", 1),
            ("write", 4),
            ("rename", 1),
            ("unshare", 1),
            ("mount", 1),
            ("setns", 1),
            ("sendto", 6),
            ("bpf", 5),
        ],
    ),
    (
        Call::Terminate,
        &[
            ("pwrite64", 1),
            ("write", 2),
            ("rename", 1),
            ("umount2", 1),
            ("unlink", 1),
            ("sendto", 2),
            ("bpf", 4),
        ],
    ),
    (
        Call::Attach,
        &[
            ("pwrite64", 1),
            ("write", 1),
            ("setns", 1),
            ("sendto", 3),
            ("bpf", 5),
        ],
    ),
    (
        Call::Detach,
        &[("pwrite64", 1), ("write", 1), ("sendto", 2), ("bpf", 4)],
    ),
    (Call::Assign, &[("pwrite64", 1), ("bpf", 3)]),
    (Call::Authorize, &[("pwrite64", 1), ("bpf", 2)]),
];

struct Stage {
    vpc: LocalVpc,
    site: Site,
}

impl Stage {
    async fn build(name: &str) -> Self {
        let vpc = LocalVpc::start(&LocalVpcOptions::unique(name)).unwrap();
        let site = Site::build(&vpc).await.unwrap();
        let two = format!("--net=/run/netns/{}", site.two);
        let block = format!("{ASSIGNED}/24");
        let configured = Command::new("nsenter")
            .args([&two, "ip", "address", "add", &block, "dev", "eth0"])
            .status();
        assert!(configured.unwrap().success());
        Self { vpc, site }
    }

    async fn state(&self) -> State {
        State::read(&self.vpc, &self.site).await.unwrap()
    }

    /// The state that `call` leads to, once everybody reaches whom he should.
    async fn state_after(&self, call: Call) -> State {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let now = self.state().await;
            if now.answers == call.answers() {
                return now;
            }
            let log = self.vpc.log_tail();
            assert!(
                Instant::now() < deadline,
                "{call:?}: {:?}\n{log}",
                now.answers
            );
        }
    }

    async fn call(&self, call: Call) {
        self.site.call(self.vpc.ec2(), call).await.unwrap();
    }

    async fn assert_is(&self, wanted: &State, when: &str) {
        self.assert_done_or_not([wanted, wanted], true, when).await;
    }

    /// Waits for one of the states before and after a call: the latter if it was answered or the
    /// API shows that it happened. Returns whether it happened.
    async fn assert_done_or_not(&self, states: [&State; 2], answered: bool, when: &str) -> bool {
        let [before, after] = states;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let now = self.state().await;
            let happened = answered || now.api != before.api;
            let wanted = if happened { after } else { before };
            if now == *wanted {
                return happened;
            }
            let difference = now.difference(wanted);
            let log = self.vpc.log_tail();
            assert!(Instant::now() < deadline, "{when}:\n{difference}\n{log}");
        }
    }

    /// What a call does undisturbed: how often one thread makes calls of each kind, and the state
    /// that it leads to. Everything is as before afterwards.
    async fn observe(&self, call: Call, before: &State) -> (BTreeMap<String, u32>, State) {
        let record = self.vpc.run_dir().path().join("strace");
        let victim = Victim::process(self.vpc.pid());
        let recording = Injection::record(&victim, &KINDS, &record).unwrap();
        self.call(call).await;
        recording.detach().unwrap();
        let after = self.state_after(call).await;
        self.call(call.inverse()).await;
        self.assert_is(before, &format!("after {call:?} and back"))
            .await;
        (calls_of_one_thread(&record).unwrap(), after)
    }

    /// Kills the server at its `n`-th call of `kind` during `call`, has another one go on, and
    /// compares. Returns whether it died.
    async fn dies_at(&mut self, call: Call, kind: &str, n: u32, states: [&State; 2]) -> bool {
        let [before, _] = states;
        let victim = Victim::process(self.vpc.pid());
        let injection = Injection::attach(&victim, kind, n).unwrap();
        let answer = self.site.call(self.vpc.ec2(), call).await;
        injection.detach().unwrap();
        let refused = answer.as_ref().err();
        let refused = refused.and_then(|error| error.downcast_ref::<Ec2Error>());
        assert_eq!(refused, None, "{call:?}");
        let died = answer.is_err() || !self.vpc.is_running();
        if died {
            self.vpc.kill_and_go_on().unwrap();
        }
        let when = format!("{call:?}, killed at {kind} {n}");
        let happened = self.assert_done_or_not(states, answer.is_ok(), &when).await;
        if happened {
            self.call(call.inverse()).await;
            self.assert_is(before, &when).await;
        }
        died
    }

    /// Kills at the first and at the last calls of each kind; once, where there is one only.
    async fn schedule(&mut self, call: Call, least: &[(&str, u32)]) {
        let before = self.state_after(call.inverse()).await;
        let (calls, after) = self.observe(call, &before).await;
        assert_ne!(before, after, "{call:?} does nothing");
        for (kind, least) in least {
            let states = [&before, &after];
            let mut last = calls.get(*kind).copied().unwrap_or(0);
            // Another thread's calls of that kind may have been more: then this one lives.
            while last > 0 && !self.dies_at(call, kind, last, states).await {
                last -= 1;
            }
            assert!(last >= *least, "{call:?}: only {last} calls of {kind}");
            if last > 1 {
                let died = self.dies_at(call, kind, 1, states).await;
                assert!(died, "{call:?}: no first call of {kind}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_effect_leaves_a_call_done_or_not_done() {
    let mut stage = Stage::build("e2e-kill-server").await;
    for (call, effects) in EFFECTS {
        let starts_done = matches!(call, Call::Detach | Call::Terminate);
        if starts_done {
            stage.call(call.inverse()).await;
        }
        stage.schedule(call, effects).await;
        if starts_done {
            stage.call(call).await;
        }
    }
    stage.vpc.stop().unwrap();
}
