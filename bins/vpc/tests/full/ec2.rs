//! A caller of the EC2 API that needs nothing but a socket.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// An API at `host:port`.
#[derive(Debug, Clone)]
pub(crate) struct Ec2(pub(crate) String);

/// Signed by nobody in particular; the server does not verify signatures unless told to.
pub(crate) const HEADERS: &str = "X-Amz-Date: 20260101T000000Z\r\n\
    Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/ec2/aws4_request, \
    SignedHeaders=host;x-amz-date, \
    Signature=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";

impl Ec2 {
    /// Calls an action and answers the XML.
    pub(crate) fn call(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        let answer = self.answer(action, parameters);
        assert!(answer.starts_with("HTTP/1.1 200"), "{action}: {answer}");
        answer
    }

    /// Calls an action and answers what came, whether it succeeded or not.
    pub(crate) fn answer(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        let pairs = parameters.iter().map(|(name, value)| {
            let value = value
                .replace('$', "%24")
                .replace('{', "%7B")
                .replace('}', "%7D");
            format!("&{name}={}", value.replace(' ', "%20"))
        });
        let query: String = pairs.collect();
        let date = time_stamp();
        let headers = HEADERS
            .replace("20260101T000000Z", &date)
            .replace("20260101", &date[..8]);
        let mut stream = TcpStream::connect(&self.0).unwrap();
        let target = format!("/?Action={action}&Version=2016-11-15{query}");
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n",
            self.0
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Calls an action and answers the text of the first `tag` of the XML.
    pub(crate) fn ask(&self, action: &str, parameters: &[(&str, &str)], tag: &str) -> String {
        let answer = self.call(action, parameters);
        text_of(&answer, tag).unwrap_or_else(|| panic!("no {tag} in {answer}"))
    }

    /// A VPC 10.0.0.0/16 and its subnet 10.0.1.0/24.
    pub(crate) fn vpc_with_subnet(&self) -> (String, String) {
        let vpc = self.ask("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "vpcId");
        let within = [("VpcId", vpc.as_str()), ("CidrBlock", "10.0.1.0/24")];
        let subnet = self.ask("CreateSubnet", &within, "subnetId");
        (vpc, subnet)
    }

    /// An instance whose primary interface is configured; its id and its address.
    pub(crate) fn instance(&self, subnet: &str) -> (String, String) {
        let answer = self.call("RunInstances", &launch(subnet));
        let field = |tag| text_of(&answer, tag).unwrap();
        (field("instanceId"), field("privateIpAddress"))
    }
}

/// The parameters of a launch of one instance whose primary interface is configured.
pub(crate) fn launch(subnet: &str) -> [(&str, &str); 5] {
    [
        ("ImageId", "ami-0dc0000000000000a"),
        ("InstanceType", "m5.large"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("SubnetId", subnet),
    ]
}

/// The text of the first `tag`.
pub(crate) fn text_of(xml: &str, tag: &str) -> Option<String> {
    let (_, after) = xml.split_once(&format!("<{tag}>"))?;
    Some(after.split_once('<')?.0.to_owned())
}

fn time_stamp() -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "+%Y%m%dT%H%M%SZ"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
