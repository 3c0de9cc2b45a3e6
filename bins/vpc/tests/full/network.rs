//! Instances, ENIs and metadata as the kernel shows them.

use std::os::fd::AsFd;

use underlay_netlink::{Socket, link, netns};

use crate::{
    ec2::{launch, text_of},
    run::{Run, exists, inside, namespace, printed, wait_for},
};

/// Names of the devices of a namespace but the loopback.
fn devices(name: &str) -> Vec<(String, bool)> {
    let mut socket = Socket::open_in(namespace(name).as_fd()).unwrap();
    let mut links = link::dump(&mut socket).unwrap();
    links.retain(|link| link.name != "lo");
    links.sort_by(|one, other| one.name.cmp(&other.name));
    links.into_iter().map(|link| (link.name, link.up)).collect()
}

fn device(name: &str, up: bool) -> (String, bool) {
    (name.to_owned(), up)
}

#[test]
fn an_attached_eni_appears_down_and_a_detached_one_is_gone_when_the_call_returns() {
    let run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (instance, address) = run.ec2.instance(&subnet);
    assert_eq!(devices(&instance), [device("eth0", true)]);
    let configured = inside(&instance, &["ip", "-4", "-br", "addr", "show", "eth0"]).unwrap();
    assert!(
        configured.contains(&format!("{address}/24")),
        "{configured}"
    );
    let route = inside(&instance, &["ip", "route", "show", "default"]).unwrap();
    assert!(route.contains("via 10.0.1.1 dev eth0"), "{route}");

    let created = run
        .ec2
        .call("CreateNetworkInterface", &[("SubnetId", &subnet)]);
    let (eni, mac) = (
        text_of(&created, "networkInterfaceId").unwrap(),
        text_of(&created, "macAddress").unwrap(),
    );
    let place = [
        ("NetworkInterfaceId", eni.as_str()),
        ("InstanceId", &instance),
        ("DeviceIndex", "1"),
    ];
    let attachment = run
        .ec2
        .ask("AttachNetworkInterface", &place, "attachmentId");
    assert_eq!(
        devices(&instance),
        [device("eth0", true), device("eth1", false)]
    );
    let mut socket = Socket::open_in(namespace(&instance).as_fd()).unwrap();
    let found = link::by_mac(&mut socket, mac.parse().unwrap()).unwrap();
    assert_eq!((found.altnames, found.mtu), (vec![eni], 9001));

    run.ec2
        .call("DetachNetworkInterface", &[("AttachmentId", &attachment)]);
    assert_eq!(devices(&instance), [device("eth0", true)]);
    run.ec2
        .call("TerminateInstances", &[("InstanceId.1", &instance)]);
    assert!(!exists(&instance));
}

#[test]
fn a_launch_into_bare_metal_state_leaves_its_device_down() {
    let run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let bare = [
        ("ImageId", "ami-0ba0000000000000a"),
        ("InstanceType", "m5.large"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("SubnetId", &subnet),
    ];
    let instance = run.ec2.ask("RunInstances", &bare, "instanceId");
    assert_eq!(devices(&instance), [device("eth0", false)]);
}

#[test]
fn each_instance_reads_its_own_metadata() {
    let run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let base = "http://169.254.169.254/latest";
    let token = |instance: &str| {
        let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 60";
        let url = format!("{base}/api/token");
        inside(
            instance,
            &["curl", "-sS", "-m", "5", "-X", "PUT", "-H", ttl, &url],
        )
        .unwrap()
    };
    let read = |instance: &str, token: &str| {
        let header = format!("X-aws-ec2-metadata-token: {token}");
        let url = format!("{base}/meta-data/instance-id");
        inside(
            instance,
            &["curl", "-sS", "-f", "-m", "5", "-H", &header, &url],
        )
    };
    let ((one, _), (two, _)) = (run.ec2.instance(&subnet), run.ec2.instance(&subnet));
    let tokens = [token(&one), token(&two)];
    assert_eq!(read(&one, &tokens[0]), Ok(one.clone()));
    assert_eq!(read(&two, &tokens[1]), Ok(two.clone()));
    // curl's code for an answer from 400 on.
    assert_eq!(
        read(&two, &tokens[0]),
        Err(Some(22)),
        "a token is its instance's"
    );
}

#[test]
fn a_device_that_died_with_a_pods_namespace_comes_back_in_the_instance() {
    let run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (instance, _) = run.ec2.instance(&subnet);
    let pod = netns::create().unwrap();
    let mut socket = Socket::open_in(namespace(&instance).as_fd()).unwrap();
    let eth0 = link::by_name(&mut socket, "eth0").unwrap();
    socket
        .run(&[link::move_to(eth0.index, pod.as_fd())])
        .unwrap();
    assert_eq!(devices(&instance), []);
    drop(pod);
    wait_for("the device to come back", || {
        (devices(&instance) == [device("eth0", false)]).then_some(())
    });
}

#[test]
fn one_device_that_cannot_come_back_does_not_keep_the_others() {
    let run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let instances: Vec<_> = (0..5).map(|_| run.ec2.instance(&subnet).0).collect();
    let pod = netns::create().unwrap();
    for instance in &instances {
        let mut socket = Socket::open_in(namespace(instance).as_fd()).unwrap();
        let eth0 = link::by_name(&mut socket, "eth0").unwrap().index;
        let name = link::rename(eth0, &format!("x{}", &instance[10..]));
        socket
            .run(&[name, link::move_to(eth0, pod.as_fd())])
            .unwrap();
    }
    // Behind the server's back: there is no place for this one's device.
    let (homeless, others) = instances.split_first().unwrap();
    netns::remove_named(homeless).unwrap();
    drop(pod);
    for instance in others {
        wait_for("the device to come back", || {
            (devices(instance) == [device("eth0", false)]).then_some(())
        });
    }
}

#[test]
fn a_namespace_of_another_run_is_neither_used_nor_removed_and_the_launch_leaves_nothing() {
    let (one, two) = (
        Run::start_with(&["--seed", "4711"]),
        Run::start_with(&["--seed", "4711"]),
    );
    let (_, subnet) = one.ec2.vpc_with_subnet();
    let (instance, _) = one.ec2.instance(&subnet);
    assert_eq!(two.ec2.vpc_with_subnet().1, subnet);
    let shown = |action| two.ec2.call(action, &[]);
    let before = shown("DescribeNetworkInterfaces");

    let refused = two.ec2.answer("RunInstances", &launch(&subnet));
    assert!(refused.starts_with("HTTP/1.1 500"), "{refused}");
    assert!(
        refused.contains(&instance) && refused.contains("File exists"),
        "{refused}"
    );
    assert_eq!(devices(&instance), [device("eth0", true)]);
    assert!(!shown("DescribeInstances").contains("<instanceId>"));
    let enis = |answer: &str| answer.matches("<networkInterfaceId>").count();
    assert_eq!(enis(&shown("DescribeNetworkInterfaces")), enis(&before));

    two.ec2
        .answer("TerminateInstances", &[("InstanceId.1", &instance)]);
    printed(&two.command(&["stop"]));
    assert_eq!(devices(&instance), [device("eth0", true)]);
}
