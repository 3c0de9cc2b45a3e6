//! A run whose process ends, and another one that goes on with it.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::Signal;
use underlay_netlink::netns;

use crate::run::{Run, exists, inside, namespace, printed, wait_for};

/// Describes everything that a call may have made.
fn objects(run: &Run) -> Vec<String> {
    let kinds = [
        "Vpcs",
        "Subnets",
        "SecurityGroups",
        "NetworkInterfaces",
        "Instances",
    ];
    let described = kinds.map(|kind| {
        let answer = run.ec2.call(&format!("Describe{kind}"), &[]);
        let (_, rest) = answer.split_once("</requestId>").unwrap();
        rest.to_owned()
    });
    described.to_vec()
}

/// The devices of an instance and of the fabric, with their indexes and addresses.
fn devices(run: &Run, instances: &[&str]) -> Vec<String> {
    let fabric = format!("underlay-{}-fabric", run.id);
    let mut names = vec![fabric.as_str()];
    names.extend(instances);
    let first_words = |line: &str| line.split(' ').take(2).collect::<String>();
    let shown = |name: &&str| {
        let links = inside(name, &["ip", "-o", "link"]).unwrap();
        let links: Vec<_> = links.lines().map(first_words).collect();
        let addresses = inside(name, &["ip", "-4", "-o", "address"]).unwrap();
        format!("{links:?} {addresses}")
    };
    names.iter().map(shown).collect()
}

/// Datagrams from one instance to another, until told to stop; says how many were sent, and how
/// many came, which must be in order and without a gap.
fn stream(from: &str, to: &str, address: &str, stop: &Arc<AtomicBool>) -> JoinHandle<(u64, u64)> {
    let receiver = netns::run_in(namespace(to).as_fd(), || UdpSocket::bind(("0.0.0.0", 9)));
    let receiver = receiver.unwrap().unwrap();
    receiver
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let sender = netns::run_in(namespace(from).as_fd(), || UdpSocket::bind(("0.0.0.0", 0)));
    let sender = sender.unwrap().unwrap();
    sender.connect((address, 9)).unwrap();
    let ends = Arc::clone(stop);
    thread::spawn(move || {
        let sending = thread::spawn(move || {
            let mut sent = 0_u64;
            while !ends.load(Ordering::Relaxed) {
                sender.send(&sent.to_be_bytes()).unwrap();
                sent += 1;
                // Slow enough for the receiver's buffer; nothing waits for this.
                thread::sleep(Duration::from_micros(500));
            }
            sender.send(&u64::MAX.to_be_bytes()).unwrap();
            sent
        });
        let (mut got, mut data) = (0_u64, [0; 8]);
        loop {
            receiver.recv(&mut data).unwrap();
            match u64::from_be_bytes(data) {
                u64::MAX => return (sending.join().unwrap(), got),
                number => assert_eq!(number, got, "in order and without a gap"),
            }
            got += 1;
        }
    })
}

/// A TCP connection from one instance to another that says numbers and hears them again, until
/// its `stop` is set.
struct Conversation {
    stop: Arc<AtomicBool>,
    /// How many numbers came back.
    heard: Arc<AtomicU64>,
    talking: JoinHandle<()>,
}

impl Conversation {
    fn begin(from: &str, to: &str, address: &str) -> Self {
        let listen = || TcpListener::bind(("0.0.0.0", 9)).unwrap();
        let listener = netns::run_in(namespace(to).as_fd(), listen).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut word = [0; 8];
            while stream.read_exact(&mut word).is_ok() {
                stream.write_all(&word).unwrap();
            }
        });
        let connect = || TcpStream::connect((address, 9)).unwrap();
        let mut stream = netns::run_in(namespace(from).as_fd(), connect).unwrap();
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).unwrap();
        let (stop, heard) = (Arc::default(), Arc::default());
        let (ends, hears): (Arc<AtomicBool>, Arc<AtomicU64>) =
            (Arc::clone(&stop), Arc::clone(&heard));
        let talking = thread::spawn(move || {
            let mut word = [0; 8];
            while !ends.load(Ordering::Relaxed) {
                let number = hears.load(Ordering::Relaxed);
                stream.write_all(&number.to_be_bytes()).unwrap();
                stream.read_exact(&mut word).unwrap();
                assert_eq!(u64::from_be_bytes(word), number);
                hears.store(number + 1, Ordering::Relaxed);
            }
        });
        Self {
            stop,
            heard,
            talking,
        }
    }

    /// Waits until it goes on.
    fn goes_on(&self) {
        let before = self.heard.load(Ordering::Relaxed);
        wait_for("the connection to go on", || {
            let goes_on = self.heard.load(Ordering::Relaxed) > before || self.talking.is_finished();
            goes_on.then_some(())
        });
        assert!(!self.talking.is_finished(), "the connection broke");
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.talking.join().unwrap();
    }
}

#[test]
fn a_connection_outlives_the_server() {
    let mut run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (one, _) = run.ec2.instance(&subnet);
    let (two, address) = run.ec2.instance(&subnet);
    let conversation = Conversation::begin(&one, &two, &address);
    conversation.goes_on();
    run.end(Signal::KILL);
    conversation.goes_on();
    run.go_on(&[]);
    conversation.goes_on();
    // A call that has every rule read again does not touch it either.
    run.ec2.instance(&subnet);
    conversation.goes_on();
    conversation.end();
}

/// Sends datagrams from one instance to another, all of one flow, and waits for each.
fn send(from: &UdpSocket, to: &UdpSocket, count: usize) {
    for _ in 0..count {
        from.send(b"hello").unwrap();
        to.recv(&mut [0; 8]).unwrap();
    }
}

#[test]
fn packets_counted_before_a_kill_are_in_the_flow_log_once() {
    let options = ["--flow-log-window", "1h"];
    let mut run = Run::start_with(&options);
    let (vpc, subnet) = run.ec2.vpc_with_subnet();
    let (one, _) = run.ec2.instance(&subnet);
    let (two, address) = run.ec2.instance(&subnet);
    let log = [
        ("ResourceType", "VPC"),
        ("ResourceId.1", vpc.as_str()),
        ("TrafficType", "ALL"),
        ("LogDestinationType", "s3"),
        ("LogDestination", "arn:aws:s3:::logs"),
        (
            "LogFormat",
            "${pkt-dstaddr} ${dstport} ${flow-direction} ${packets}",
        ),
    ];
    run.ec2.call("CreateFlowLogs", &log);
    let bind = |name: &str, port| {
        let socket = netns::run_in(namespace(name).as_fd(), || {
            UdpSocket::bind(("0.0.0.0", port)).unwrap()
        });
        let socket = socket.unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        socket
    };
    let (from, to) = (bind(&one, 0), bind(&two, 9));
    from.connect((address.as_str(), 9)).unwrap();
    let lines = |run: &Run| {
        let files = printed(&run.command(&["flush-flow-logs"]));
        let shown = Command::new("zcat").args(files.lines()).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let flow = format!("{address} 9 ");
        let mut lines: Vec<_> = shown
            .lines()
            .filter_map(|line| line.strip_prefix(&flow).map(str::to_owned))
            .collect();
        lines.sort_unstable();
        lines
    };

    send(&from, &to, 7);
    run.end(Signal::KILL);
    send(&from, &to, 5);
    run.go_on(&options);
    send(&from, &to, 3);
    assert_eq!(lines(&run), ["egress 15", "ingress 15"]);

    // What was written is not written again.
    send(&from, &to, 2);
    run.end(Signal::KILL);
    run.go_on(&options);
    assert_eq!(lines(&run), ["egress 2", "ingress 2"]);
}

#[test]
fn a_killed_run_is_gone_on_with_and_packets_do_not_notice() {
    let mut run = Run::start();
    let (vpc, subnet) = run.ec2.vpc_with_subnet();
    let group = [
        ("Filter.1.Name", "vpc-id"),
        ("Filter.1.Value.1", vpc.as_str()),
    ];
    let group = run.ec2.ask("DescribeSecurityGroups", &group, "groupId");
    let (one, _) = run.ec2.instance(&subnet);
    let (two, address) = run.ec2.instance(&subnet);
    let url = printed(&run.command(&["endpoint", "--subnet", &subnet, "--groups", &group]));
    let eni = run.ec2.ask(
        "CreateNetworkInterface",
        &[("SubnetId", &subnet)],
        "networkInterfaceId",
    );
    let attach = [
        ("NetworkInterfaceId", eni.as_str()),
        ("InstanceId", &one),
        ("DeviceIndex", "1"),
    ];
    run.ec2.call("AttachNetworkInterface", &attach);
    let before = (objects(&run), devices(&run, &[&one, &two]));
    let stop = Arc::new(AtomicBool::new(false));
    let streaming = stream(&one, &two, &address, &stop);

    assert_eq!(run.end(Signal::KILL).code(), None);
    run.go_on(&[]);

    assert_eq!((objects(&run), devices(&run, &[&one, &two])), before);
    stop.store(true, Ordering::Relaxed);
    let (sent, got) = streaming.join().unwrap();
    assert_eq!(sent, got);
    assert!(sent > 0);
    // The endpoint and the metadata service serve again, and calls go on.
    inside(&one, &["curl", "-sS", "-m", "5", &url]).unwrap();
    let token = [
        "curl",
        "-sSf",
        "-m",
        "5",
        "-X",
        "PUT",
        "-H",
        "X-aws-ec2-metadata-token-ttl-seconds: 60",
        "http://169.254.169.254/latest/api/token",
    ];
    inside(&one, &token).unwrap();
    let (three, _) = run.ec2.instance(&subnet);
    assert!(exists(&three));
    run.ec2
        .call("TerminateInstances", &[("InstanceId.1", &one)]);
    assert!(!exists(&one));
    let names = run.recorded_namespaces();
    printed(&run.command(&["stop"]));
    assert!(names.iter().all(|name| !exists(name)));
    assert!(!run.folder().exists());
}

#[test]
fn a_run_that_is_kept_or_restarted_stays_and_stop_removes_it() {
    let mut run = Run::start_with(&["--keep"]);
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (one, _) = run.ec2.instance(&subnet);
    let before = (objects(&run), devices(&run, &[&one]));
    assert_eq!(run.end(Signal::TERM).code(), Some(0));
    assert_eq!(devices(&run, &[&one]), before.1);
    run.go_on(&["--keep"]);
    assert_eq!((objects(&run), devices(&run, &[&one])), before);

    let pid = run.pid();
    printed(&run.command(&["restart"]));
    let serves = || {
        let status = run.command(&["status"]);
        status.status.success().then_some(status)
    };
    let status = printed(&wait_for("the server to be back", serves));
    assert!(status.contains(&format!("process {pid}")), "{status}");
    assert_eq!((objects(&run), devices(&run, &[&one])), before);
    printed(&run.command(&["stop"]));
    assert!(!exists(&one) && !run.folder().exists());
}

#[test]
fn a_run_that_lost_its_namespaces_says_so() {
    let mut run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    run.ec2.instance(&subnet);
    assert_eq!(run.end(Signal::KILL).code(), None);
    netns::remove_named(&format!("underlay-{}-fabric", run.id)).unwrap();
    let again = crate::run::program(&["serve", "--api", "127.0.0.1:0", "--run-id", &run.id]);
    let text = crate::run::complaint(&again);
    assert!(
        text.contains("is gone, as after a restart of the machine"),
        "{text}"
    );
    printed(&run.command(&["clean"]));
    assert!(!run.folder().exists());
}
