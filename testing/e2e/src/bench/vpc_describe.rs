//! `vpc.describe.75000`: how long a page of 1,000 ENIs takes among 15,000 with 75,000 addresses.
//!
//! The pages are walked from the first to the last. The floor is the only page of a VPC that has as
//! many ENIs as the page: what is beyond it should cost nothing.

use std::time::Instant;

use anyhow::ensure;
use underlay_testkit::{ControlPlane, Ec2};

use super::{
    Sizes,
    row::{Better, Row, Samples, Subject},
    screen::Screen,
};

const PAGE: usize = 1_000;
/// Instances of a launch.
const LAUNCH: usize = 100;
/// ENIs of an instance in the large VPC; those of the small one have one.
const ENIS: usize = 3;
/// Addresses of an ENI.
const ADDRESSES: usize = 5;

pub(super) async fn measure(sizes: Sizes, screen: Screen) -> anyhow::Result<Vec<Row>> {
    screen.say("bench: pages of 15,000 ENIs");
    let large = ControlPlane::start_with(&["--quota", "enis=15000"])?;
    let small = ControlPlane::start()?;
    let (many, few) = (Ec2::new(large.endpoint())?, Ec2::new(small.endpoint())?);
    fill(&many, 50, ENIS).await?;
    fill(&few, PAGE / LAUNCH, 1).await?;
    let mut samples = Samples::default();
    // The first round warms both up and is dropped.
    for round in 0..=sizes.call_rounds {
        let walked = walk(&many, &few).await?;
        if round > 0 {
            samples.ours.extend(walked.ours);
            samples.floor.extend(walked.floor);
        }
    }
    let subject = Subject {
        id: "vpc.describe.75000",
        what: "a page of 1,000 of DescribeNetworkInterfaces among 15,000 ENIs with 75,000 \
               addresses, reading the answer included; floor: the only page of a VPC of 1,000 ENIs"
            .to_owned(),
        unit: "ms",
        better: Better::Lower,
        peer_name: None,
    };
    Ok(vec![Row::of(subject, &samples)])
}

/// Launches instances with as many ENIs each. The last fifth of them is in a second subnet: 75,000
/// addresses do not fit into one.
async fn fill(ec2: &Ec2, launches: usize, enis: usize) -> anyhow::Result<()> {
    let vpc = ec2.create_vpc("10.0.0.0/16".parse()?).await?;
    let block = [("VpcId", vpc.as_str()), ("CidrBlock", "10.1.0.0/16")];
    ec2.call("AssociateVpcCidrBlock", &block).await?;
    let mut subnets = Vec::new();
    for block in ["10.0.0.0/16", "10.1.0.0/16"] {
        let subnet = ec2
            .create_subnet(&vpc, block.parse()?, "us-east-1a")
            .await?;
        subnets.push(subnet);
    }
    let images = ec2.call("DescribeImages", &[]).await?;
    let image = images.text_at("imageId")?;
    for number in 0..launches {
        let subnet = &subnets[usize::from(number >= launches / 5 * 4)];
        let form = launch_form(&image, subnet.as_str(), enis);
        let form: Vec<_> = form
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        ec2.call("RunInstances", &form).await?;
    }
    Ok(())
}

fn launch_form(image: &str, subnet: &str, enis: usize) -> Vec<(String, String)> {
    let count = LAUNCH.to_string();
    let mut form = vec![
        ("ImageId".to_owned(), image.to_owned()),
        ("InstanceType".to_owned(), "m5.large".to_owned()),
        ("MinCount".to_owned(), count.clone()),
        ("MaxCount".to_owned(), count),
    ];
    for index in 0..enis {
        let name = |field: &str| format!("NetworkInterface.{}.{field}", index + 1);
        let secondary = (ADDRESSES - 1).to_string();
        form.extend([
            (name("DeviceIndex"), index.to_string()),
            (name("SubnetId"), subnet.to_owned()),
            (name("SecondaryPrivateIpAddressCount"), secondary),
        ]);
    }
    form
}

/// All pages of the large VPC, each with the page of the small one before it.
async fn walk(many: &Ec2, few: &Ec2) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    let mut token = Some(String::new());
    while let Some(from) = token {
        let (millis, _) = page(few, "").await?;
        samples.floor.push(millis);
        let (millis, next) = page(many, &from).await?;
        samples.ours.push(millis);
        token = next;
    }
    ensure!(samples.ours.len() == 15, "{} pages", samples.ours.len());
    Ok(samples)
}

/// How long a page takes, and the token of the next.
async fn page(ec2: &Ec2, token: &str) -> anyhow::Result<(f64, Option<String>)> {
    let size = PAGE.to_string();
    let parameters = [("MaxResults", size.as_str()), ("NextToken", token)];
    let start = Instant::now();
    let answer = ec2.call("DescribeNetworkInterfaces", &parameters).await?;
    let millis = start.elapsed().as_secs_f64() * 1_000.0;
    let count = answer.items("networkInterfaceSet").count();
    ensure!(count == PAGE, "a page of {count}");
    Ok((millis, answer.text_of("nextToken").map(str::to_owned)))
}
