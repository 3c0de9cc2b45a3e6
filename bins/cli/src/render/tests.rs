use super::*;

fn status(json: serde_json::Value) -> NodeStatus {
    serde_json::from_value(json).unwrap()
}

fn busy_node() -> NodeStatus {
    let key = |container: &str| {
        serde_json::json!({
            "network": "underlay",
            "container": container,
            "ifname": "eth0",
        })
    };
    status(serde_json::json!({
        "instance": {"instance_id": "i-0123456789abcdef0", "instance_type": "m5.large", "zone": "eu-west-1a"},
        "draining": false,
        "enis": [
            {"eni": "eni-00000000000000001", "pool": "default", "primary": true, "index": 0, "stage": "active", "standing": "emptying",
             "suspended": false, "total": 9, "free": 7, "leased": 1, "cooling": 1},
            {"eni": "eni-00000000000000002", "pool": "sg-0000000a,sg-0000000b", "primary": false, "index": 1,
             "stage": "active", "suspended": true, "total": 9, "free": 9, "leased": 0, "cooling": 0},
            {"eni": "eni-00000000000000003", "pool": "default", "primary": false, "index": null,
             "stage": "attaching", "suspended": false, "total": 0, "free": 0, "leased": 0, "cooling": 0},
        ],
        "pools": [
            {"pool": {"groups": "default", "subnets": "node", "card": 0}, "free": 7, "leased": 1, "cooling": 1,
             "total": 9, "enis": 1, "waiting": 1, "last_failure":
             {"code": "InsufficientFreeAddressesInSubnet", "message": "The subnet is full."}},
            {"pool": {"groups": {"exactly": ["sg-0000000a", "sg-0000000b"]}, "subnets": "node", "card": 0},
             "free": 9, "leased": 0, "cooling": 0, "total": 9, "enis": 1, "waiting": 0, "last_failure": null},
        ],
        "leases": [
            {"key": key("0123456789abcdef0123"), "addresses": ["10.0.0.11"], "eni": "eni-00000000000000001",
             "missing": false, "pod": {"namespace": "shop", "name": "web-1"}},
            {"key": key("c2"), "addresses": ["10.0.0.12", "2600::12"], "eni": "eni-00000000000000001", "interface": "whole", "missing": true},
        ],
        "waiting": [{"key": key("c3"), "pool": "default", "waited_ms": 1250, "waits_for": "eni-3 to attach"}],
        "calls": ["attach eni-00000000000000003 at index 2"],
        "ec2": {
            "AttachNetworkInterface": {"results": {"ok": 2, "RequestLimitExceeded": 3}, "budget_wait": {"secs": 0, "nanos": 0}},
            "DescribeNetworkInterfaces": {"results": {"ok": 12}},
        },
        "notices": [
            {"wall_ms": 1, "text": "six shown would be one too many"},
            {"wall_ms": 2_000_000, "text": "EC2 throttled a call"},
            {"wall_ms": 9_000_000, "text": "EC2 throttled a call"},
            {"wall_ms": 9_500_000, "text": "eni-00000000000000002 carries other groups"},
            {"wall_ms": 9_990_000, "text": "EC2 throttled a call"},
            {"wall_ms": 11_000_000, "text": "the clock went back"},
        ],
        "new_in_a_later_version": true,
    }))
}

#[test]
fn a_busy_node() {
    insta::assert_snapshot!(node_status(&busy_node(), 10_000_000), @r"
    node i-0123456789abcdef0 (m5.large, eu-west-1a): 2 pods

    ENI                    INDEX  STATE                           ADDRESSES  FREE  PODS  COOLING  POOL
    eni-00000000000000001  0      active, emptying                9          7     1     1        default
    eni-00000000000000002  1      suspended (its groups changed)  9          9     0     0        sg-0000000a,sg-0000000b
    eni-00000000000000003  -      attaching                       0          0     0     0        default

    POOL                     FREE  OF  PODS  COOLING  ENIS  WAITING  NOTE
    default                  7     9   1     1        1     1        growth failed: InsufficientFreeAddressesInSubnet: The subnet is full.
    sg-0000000a,sg-0000000b  9     9   0     0        1     0

    EC2 ACTION                 OK  OTHER RESULTS
    AttachNetworkInterface     2   RequestLimitExceeded 3
    DescribeNetworkInterfaces  12

    waits for:
      EC2: attach eni-00000000000000003 at index 2
      c3 for an address of default since 1.2s: eni-3 to attach
    trouble lately:
      2h ago: EC2 throttled a call
      16m ago: EC2 throttled a call
      8m ago: eni-00000000000000002 carries other groups
      10s ago: EC2 throttled a call
      0s ago: the clock went back
    ");
}

#[test]
fn pods_that_are_cut_off_come_first() {
    let status = status(serde_json::json!({
        "cut_off": ["2 pods of eni-1, which is not attached", "3 drifts cannot be put right"],
    }));
    insta::assert_snapshot!(node_status(&status, 0), @r"
    node: 0 pods

    running pods may be cut off:
      2 pods of eni-1, which is not attached
      3 drifts cannot be put right

    no ENIs known yet

    no pools yet

    waits for nothing
    ");
}

#[test]
fn pods_of_a_busy_node() {
    insta::assert_snapshot!(pods(&busy_node()), @r"
    ADDRESSES            POD         ENI                    CONTAINER      INTERFACE  NOTE
    10.0.0.11            shop/web-1  eni-00000000000000001  0123456789abc  eth0
    10.0.0.12, 2600::12  -           eni-00000000000000001  c2             eth0       owns the ENI, not in EC2 any more
    ");
}

#[test]
fn a_node_that_knows_nothing_yet() {
    let empty = status(serde_json::json!({"draining": true}));
    insta::assert_snapshot!(node_status(&empty, 0), @r"
    node: 0 pods, draining

    no ENIs known yet

    no pools yet

    waits for nothing
    ");
    assert_eq!(pods(&empty), "no pods have addresses here\n");
}
