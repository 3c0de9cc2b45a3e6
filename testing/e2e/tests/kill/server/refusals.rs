//! What the kernel refuses while it lasts is made good by the server itself.

use std::process::Command;

use serde_json::Value;
use underlay_testkit::{LocalVpc, LocalVpcOptions, wait_for};

use super::{
    DEADLINE, Stage,
    calls::{Call, LAUNCHED, interface},
};
use crate::inject::{Injection, Victim};

/// Asks the server, or tells it something.
fn command(vpc: &LocalVpc, words: &[&str]) -> String {
    let program = vpc.binaries().program("underlay-vpc").unwrap();
    let output = Command::new(program)
        .args(words)
        .args(["--run", vpc.run_dir().id()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the server says that the kernel refused.
fn refused(vpc: &LocalVpc) -> Vec<Value> {
    let inspection = command(vpc, &["inspect", "--json"]);
    let inspection: Value = serde_json::from_str(&inspection).unwrap();
    inspection["refused"].as_array().unwrap().clone()
}

fn wait_until(vpc: &LocalVpc, what: &str, wanted: impl Fn(&[Value]) -> bool) {
    let waited = wait_for(what, DEADLINE, || Ok(wanted(&refused(vpc)).then_some(())));
    waited.unwrap_or_else(|error| panic!("{error}: {:?}\n{}", refused(vpc), vpc.log_tail()));
}

fn hold(vpc: &LocalVpc, kind: &str) -> Injection {
    Injection::refuse(&Victim::process(vpc.pid()), kind, "EPERM").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_refused_is_done_once_it_does_not_any_more() {
    let stage = Stage::build("e2e-refusals").await;
    let before = stage.state().await;

    // A removal: the call fails, the instance is gone, and its namespace follows.
    stage.call(Call::Launch).await;
    let instance = interface(stage.vpc.ec2(), LAUNCHED).await.unwrap();
    let instance = instance.text_at("instanceId").unwrap();
    let held = hold(&stage.vpc, "umount2");
    let answer = stage.site.call(stage.vpc.ec2(), Call::Terminate).await;
    let error = answer.unwrap_err().to_string();
    assert!(error.contains("InternalError"), "{error}");
    wait_until(&stage.vpc, "a further try", |refused| {
        refused
            .first()
            .is_some_and(|first| first["of"] == *instance && first["tries"].as_u64() > Some(0))
    });
    held.detach().unwrap();
    wait_until(&stage.vpc, "the namespace to go", <[_]>::is_empty);
    stage
        .assert_is(&before, "after a refused termination")
        .await;

    // What is not a removal is taken back, and so is what the kernel keeps of that.
    let held = hold(&stage.vpc, "bpf");
    let answer = stage.site.call(stage.vpc.ec2(), Call::Authorize).await;
    assert!(answer.is_err());
    held.detach().unwrap();
    wait_until(&stage.vpc, "the rules to be set", <[_]>::is_empty);
    stage.assert_is(&before, "after a refused rule").await;

    // A device goes although the maps that know it cannot be changed; they follow.
    stage.call(Call::Attach).await;
    let held = hold(&stage.vpc, "bpf");
    let answer = stage.site.call(stage.vpc.ec2(), Call::Detach).await;
    assert!(answer.is_err());
    held.detach().unwrap();
    wait_until(&stage.vpc, "the device to be forgotten", <[_]>::is_empty);
    stage.assert_is(&before, "after a refused detachment").await;
    stage.vpc.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_by_itself_and_is_refused_is_done_later() {
    let options = ["--preset", "realistic", "--clock-speed", "0"];
    let options = LocalVpcOptions {
        arguments: options.map(str::to_owned).to_vec(),
        ..LocalVpcOptions::unique("e2e-refused-ends")
    };
    let vpc = LocalVpc::start(&options).unwrap();
    let ec2 = vpc.ec2();
    let network = ec2
        .create_vpc("10.0.0.0/16".parse().unwrap())
        .await
        .unwrap();
    let block = "10.0.1.0/24".parse().unwrap();
    let subnet = ec2
        .create_subnet(&network, block, "us-east-1a")
        .await
        .unwrap();
    let instance = ec2
        .run_instance("m5.large", &subnet, &[], "one")
        .await
        .unwrap();
    command(&vpc, &["clock", "advance", "60s"]);
    let netns = std::path::Path::new("/run/netns").join(instance.as_str());
    assert!(netns.exists());
    let named = [("InstanceId.1", instance.as_str())];
    ec2.call("TerminateInstances", &named).await.unwrap();

    let held = hold(&vpc, "umount2");
    command(&vpc, &["clock", "advance", "120s"]);
    assert!(netns.exists());
    let of: Vec<_> = refused(&vpc)
        .iter()
        .map(|each| each["of"].clone())
        .collect();
    assert_eq!(of, [instance.as_str()]);
    held.detach().unwrap();
    wait_until(&vpc, "the namespace to go", <[_]>::is_empty);
    assert!(!netns.exists());
    vpc.stop().unwrap();
}
