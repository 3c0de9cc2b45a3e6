//! How runs begin and end, and what is left of them.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use rustix::process::Signal;

use crate::{
    ec2::Ec2,
    run::{PROGRAM, Run, complaint, exists, fresh_id, printed, program},
};

/// A run with an instance, a second ENI and an endpoint; the namespaces it has.
fn populated() -> (Run, Vec<String>) {
    let run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (instance, _) = run.ec2.instance(&subnet);
    printed(&run.command(&["endpoint", "--subnet", &subnet]));
    let names = run.recorded_namespaces();
    assert_eq!(
        names.len(),
        5,
        "fabric, services, the outside, an instance, an endpoint: {names:?}"
    );
    assert!(names.contains(&instance));
    assert!(names.iter().all(|name| exists(name)), "{names:?}");
    (run, names)
}

fn assert_gone(run: &Run, names: &[String]) {
    let left: Vec<_> = names.iter().filter(|name| exists(name)).collect();
    assert_eq!(left, Vec::<&String>::new());
    assert!(!run.folder().exists());
}

#[test]
fn a_run_that_is_told_to_end_leaves_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut run, names) = populated();
        assert_eq!(run.end(signal).code(), Some(0));
        assert_gone(&run, &names);
    }
}

#[test]
fn stop_ends_a_run_in_order() {
    let (run, names) = populated();
    printed(&run.command(&["stop"]));
    assert_gone(&run, &names);
    assert!(complaint(&run.command(&["status"])).contains("there is no run"));
}

#[test]
fn clean_removes_what_a_killed_run_left_and_its_processes() {
    let (mut run, names) = populated();
    let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", sleeper.id())).unwrap();
    let start = stat
        .rsplit_once(") ")
        .unwrap()
        .1
        .split(' ')
        .nth(19)
        .unwrap()
        .to_owned();
    let wrong: u64 = start.parse::<u64>().unwrap() + 1;
    let record = |line: String| {
        let path = run.folder().join("pids");
        let before = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{before}{line}\n")).unwrap();
    };
    // This process's id with another start time means somebody else.
    record(format!("{} {wrong} another", std::process::id()));
    record(format!("{} {start} sleeper", sleeper.id()));
    assert_eq!(run.end(Signal::KILL).code(), None);
    assert!(
        names.iter().all(|name| exists(name)),
        "a killed process removes nothing"
    );

    let reaped = std::thread::spawn(move || sleeper.wait().unwrap());
    printed(&run.command(&["clean"]));
    assert_eq!(
        reaped.join().unwrap().code(),
        None,
        "the recorded process was ended"
    );
    assert_gone(&run, &names);
    printed(&run.command(&["clean"]));
}

#[test]
fn runs_stand_side_by_side() {
    let ((mut one, one_names), (two, two_names)) = (populated(), populated());
    assert!(one_names.iter().all(|name| !two_names.contains(name)));
    assert_eq!(one.end(Signal::TERM).code(), Some(0));
    assert_gone(&one, &one_names);
    assert!(two_names.iter().all(|name| exists(name)));
    let status = printed(&two.command(&["status"]));
    assert!(status.contains(&format!("run {}", two.id)), "{status}");
}

#[test]
fn of_two_runs_of_one_id_that_begin_together_one_lives() {
    struct Ended(Vec<Child>, String);
    impl Drop for Ended {
        fn drop(&mut self) {
            for child in &mut self.0 {
                child.kill().unwrap_or_default();
                child.wait().map(drop).unwrap_or_default();
            }
            drop(program(&["clean", "--run", &self.1]));
        }
    }

    let id = fresh_id();
    let start = |_| {
        let arguments = ["serve", "--api", "127.0.0.1:0", "--run-id", &id];
        let mut command = Command::new(PROGRAM);
        command.args(arguments).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut together = Ended((0..4).map(start).collect(), id.clone());
    let mut ready = 0;
    for child in &mut together.0 {
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        if line.starts_with("ready ") {
            ready += 1;
            assert_eq!(child.try_wait().unwrap(), None, "it was ended by another");
        } else {
            let mut text = String::new();
            let stderr = child.stderr.take().unwrap();
            BufReader::new(stderr).read_line(&mut text).unwrap();
            assert!(text.contains(&format!("the run {id} exists")), "{text}");
        }
    }
    assert_eq!(ready, 1);
    printed(&program(&["status", "--run", &id]));
}

/// A copy of the program that everybody may run: the build's folder need not be open to them.
fn open_copy() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("underlay-vpc");
    fs::copy(PROGRAM, &copy).unwrap();
    for path in [folder.path(), &copy] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(path, mode).unwrap();
    }
    (folder, copy)
}

#[test]
fn the_api_alone_needs_no_root() {
    struct Ended(Child);
    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.kill().unwrap_or_default();
            self.0.wait().map(drop).unwrap_or_default();
        }
    }

    let (_folder, copy) = open_copy();
    let child = Command::new(&copy)
        .args(["serve", "--api", "127.0.0.1:0", "--control-plane"])
        .uid(65534)
        .gid(65534)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut server = Ended(child);
    let mut line = String::new();
    let stdout = server.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("ready http://").unwrap();
    let (_, subnet) = Ec2(address.to_owned()).vpc_with_subnet();
    let (instance, _) = Ec2(address.to_owned()).instance(&subnet);
    assert!(!exists(&instance), "no namespace is made");
    let pid = rustix::process::Pid::from_child(&server.0);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
}

#[test]
fn without_root_one_line_says_so_and_nothing_is_made() {
    let (_folder, copy) = open_copy();
    let id = fresh_id();
    let nobody = |arguments: &[&str]| {
        Command::new(&copy)
            .args(arguments)
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap()
    };
    let text = complaint(&nobody(&["serve", "--api", "127.0.0.1:0", "--run-id", &id]));
    assert!(
        text.contains("needs root") && text.contains("--control-plane"),
        "{text}"
    );
    assert!(!std::path::Path::new("/run/underlay-vpc").join(&id).exists());
    assert!(complaint(&nobody(&["clean", "--all"])).contains("root"));
}

#[test]
fn wrong_options_are_refused_before_anything_is_made() {
    for arguments in [
        &["serve", "--api", "127.0.0.1:0", "--run-id", "../x"][..],
        &["serve", "--api", "127.0.0.1:0", "--flow-log-window", "1ms"],
        &[
            "serve",
            "--api",
            "127.0.0.1:0",
            "--run-id",
            "x",
            "--control-plane",
        ],
        &["clean"],
        &["host", "--run", "x", "--eni", "vpc-1", "--name", "y"],
    ] {
        let output = program(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        complaint(&output);
    }
}
