//! Instances that are stopped and started again.

use rustix::process::Signal;

use crate::run::{Run, exists, inside, wait_for};

/// The Ethernet addresses of an instance's devices, by name; with the configured IPv4 addresses.
fn devices(instance: &str) -> Vec<String> {
    let shown = inside(instance, &["ip", "-br", "link"]).unwrap();
    let links = shown.lines().filter(|line| line.starts_with("eth"));
    let mut all: Vec<_> = links
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let name = words[0].split('@').next().unwrap();
            format!("{name} {}", words[2])
        })
        .collect();
    let addresses = inside(instance, &["ip", "-4", "-br", "address"]).unwrap();
    let addresses = addresses.lines().filter(|line| line.starts_with("eth"));
    all.extend(addresses.map(|line| line.split_whitespace().skip(2).collect::<String>()));
    all
}

#[test]
fn a_stopped_instance_is_off_the_network_and_comes_back_with_its_interfaces() {
    let mut run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (one, address) = run.ec2.instance(&subnet);
    let (two, _) = run.ec2.instance(&subnet);
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
    let dial = || {
        let url = format!("http://{address}:81");
        inside(&two, &["curl", "-s", "-m", "1", &url])
    };
    // curl's codes: 7 when the instance refuses, 28 when nothing comes back.
    let reaches = || {
        wait_for("the instance to answer", || {
            (dial() == Err(Some(7))).then_some(())
        });
    };
    let before = devices(&one);
    assert_eq!(before.len(), 3, "two devices and an address: {before:?}");
    reaches();

    let named = [("InstanceId.1", one.as_str())];
    run.ec2.call("StopInstances", &named);
    assert!(!exists(&one));
    assert_eq!(dial(), Err(Some(28)));
    let shown = run.ec2.call("DescribeInstances", &named);
    assert!(shown.contains("<name>stopped</name>") && shown.contains(&eni));

    // Another process knows that it is stopped.
    run.end(Signal::KILL);
    run.go_on(&[]);
    assert!(!exists(&one));

    run.ec2.call("StartInstances", &named);
    assert_eq!(devices(&one), before);
    reaches();
}
