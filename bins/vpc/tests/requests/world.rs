//! A server in this process, with something in it to ask for.

use std::sync::Arc;

use quick_xml::{Reader, events::Event};
use underlay_vpc::{
    api::{ApiRequest, ApiResponse},
    serve::{ApiServer, Clock},
};
use underlay_vpc_model::{Budgets, Model, ModelConfig, Speed};

const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/ec2/aws4_request, \
                      SignedHeaders=host, Signature=00";

/// A server with a VPC, a subnet, an instance and two interfaces.
pub(crate) struct World {
    pub(crate) server: Arc<ApiServer>,
    /// The ids of what there is.
    pub(crate) ids: Vec<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let model = Model::new(ModelConfig::default());
        let clock = Clock::new(Speed::STOPPED);
        let server = ApiServer::new(model, clock, Budgets::default(), None, false);
        let mut world = Self {
            server,
            ids: Vec::new(),
        };
        let vpc = world.made("Action=CreateVpc&CidrBlock=10.0.0.0/16", "vpcId");
        let subnet = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.1.0/24");
        let subnet = world.made(&subnet, "subnetId");
        let group =
            format!("Action=CreateSecurityGroup&VpcId={vpc}&GroupName=a&GroupDescription=a");
        world.made(&group, "groupId");
        let eni = format!("Action=CreateNetworkInterface&SubnetId={subnet}");
        world.made(&eni, "networkInterfaceId");
        let run = format!(
            "Action=RunInstances&ImageId=ami-0dc0000000000000a&InstanceType=m5.large&MinCount=1\
             &MaxCount=1&SubnetId={subnet}"
        );
        world.made(&run, "instanceId");
        world.note_ids();
        world
    }

    fn made(&self, form: &str, element: &str) -> String {
        let answer = self.post(form.as_bytes());
        assert_eq!(answer.status, 200, "{form}: {}", answer.body);
        let (_, rest) = answer.body.split_once(&format!("<{element}>")).unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    }

    fn note_ids(&mut self) {
        self.ids = self.server.read(|model| {
            let mut ids: Vec<String> = model.vpcs().map(|each| each.id.to_string()).collect();
            ids.extend(model.subnets().map(|each| each.id.to_string()));
            ids.extend(model.groups().map(|each| each.id.to_string()));
            ids.extend(model.enis().map(|each| each.id.to_string()));
            ids.extend(model.instances().map(|each| each.id.to_string()));
            ids.extend(model.route_tables().map(|each| each.id.to_string()));
            let attachments = model.enis().filter_map(|each| each.attachment.as_ref());
            ids.extend(attachments.map(|each| each.id.to_string()));
            ids
        });
    }

    pub(crate) fn post(&self, form: &[u8]) -> ApiResponse {
        let request = ApiRequest {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: vec![("authorization".to_owned(), SIGNED.to_owned())],
            body: form.to_vec(),
            ..ApiRequest::default()
        };
        self.server.answer(&request).unwrap()
    }

    /// Asks, and checks all that is true of every answer.
    pub(crate) fn ask(&self, form: &[u8]) {
        let shown = String::from_utf8_lossy(form);
        let shown: String = shown.chars().take(2_000).collect();
        let before = self.server.read(Clone::clone);
        let answer = self.post(form);
        let root = root_of(&answer.body).unwrap_or_else(|error| {
            panic!(
                "{shown}\nis answered with broken XML ({error}):\n{}",
                answer.body
            )
        });
        match answer.status {
            200 => assert!(root.ends_with("Response"), "{shown}: {root}"),
            400..500 => {
                assert_eq!(root, "Response", "{shown}");
                let after = self.server.read(Clone::clone);
                assert!(
                    after == before,
                    "{shown}\nwas refused and changed something"
                );
            }
            status => panic!("{shown}\nis answered with {status}:\n{}", answer.body),
        }
    }
}

/// The name of a document's root, if all of it is well-formed.
fn root_of(body: &str) -> Result<String, quick_xml::Error> {
    let mut reader = Reader::from_str(body);
    reader.config_mut().check_end_names = true;
    let mut root = None;
    loop {
        match reader.read_event()? {
            Event::Start(start) => {
                let name = start.name().0.to_owned();
                root.get_or_insert(name);
            }
            Event::Eof => return Ok(root.unwrap_or_default()),
            _ => {}
        }
    }
}
