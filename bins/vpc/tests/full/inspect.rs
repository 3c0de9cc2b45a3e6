//! What a person sees of a running VPC.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
};

use serde_json::{Value, json};
use underlay_netlink::netns;

use crate::run::{Run, namespace, printed};

#[test]
fn the_flows_of_an_instance_are_shown() {
    let run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (one, own) = run.ec2.instance(&subnet);
    let (two, address) = run.ec2.instance(&subnet);
    let listen = || TcpListener::bind(("0.0.0.0", 9)).unwrap();
    let listener = netns::run_in(namespace(&two).as_fd(), listen).unwrap();
    let connect = || TcpStream::connect((address.as_str(), 9)).unwrap();
    let mut stream = netns::run_in(namespace(&one).as_fd(), connect).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    stream.write_all(b"x").unwrap();
    accepted.read_exact(&mut [0; 1]).unwrap();

    let inspect = |of: &[&str]| -> Value {
        let command = [&["inspect", "--json"], of].concat();
        serde_json::from_str(&printed(&run.command(&command))).unwrap()
    };
    // Both take part in one rule's traffic: the group of the VPC lets its members in, so that the
    // receiver tracks; the sender may send everything to everybody, and answers need it too.
    let mine = inspect(&[&one]);
    let eni = &mine["enis"][0]["tracked"];
    let flow = |flow: &Value| {
        let fields = ["protocol", "local", "remote", "begun", "phase"];
        fields.map(|field| flow[field].clone())
    };
    let port = stream.local_addr().unwrap().port();
    let expected = [
        json!(6),
        json!(format!("{own}:{port}")),
        json!(format!("{address}:9")),
        json!("egress"),
        json!("established"),
    ];
    assert_eq!(eni["flows"], 1, "{mine}");
    assert_eq!(flow(&eni["latest"][0]), expected);
    let counted = json!([{"id": one, "flows": 1, "dropped": 0}]);
    assert_eq!(mine["instances"], counted);
    assert_eq!(mine["refused"], json!([]));

    // Without a name, only how many there are.
    let all = inspect(&[]);
    let enis = all["enis"].as_array().unwrap();
    assert_eq!(enis.len(), 2);
    for eni in enis {
        assert_eq!(eni["tracked"], json!({"flows": 1, "latest": []}), "{all}");
    }
    let shown = printed(&run.command(&["inspect", &one]));
    assert!(shown.contains(&format!("{own}:{port}")), "{shown}");
}
