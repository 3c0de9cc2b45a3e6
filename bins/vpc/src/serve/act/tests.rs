use std::{fs, path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use tempfile::TempDir;
use underlay_types::EniId;
use underlay_vpc_model::{Budgets, EniRequest, Event, Model, ModelConfig, Preset, Speed};

use crate::{
    api::ApiRequest,
    journal::{JournalError, replay},
    serve::{ApiServer, ChangeHook, Clock, HookError},
};

const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/ec2/aws4_request, \
                      SignedHeaders=host, Signature=00";

/// A server with a journal.
struct Kept {
    server: Arc<ApiServer>,
    folder: TempDir,
}

impl Kept {
    fn new(preset: Preset) -> Self {
        let config = ModelConfig::of(preset);
        let server = ApiServer::new(
            Model::new(config),
            Clock::new(Speed::STOPPED),
            Budgets::default(),
            None,
            false,
        );
        let folder = tempfile::tempdir().unwrap();
        let kept = Self { server, folder };
        kept.server.keep_journal(&kept.journal()).unwrap();
        kept
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// Answers a call's status and body.
    fn call(&self, form: &str) -> (u16, String) {
        let request = ApiRequest {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: vec![("authorization".to_owned(), SIGNED.to_owned())],
            body: form.as_bytes().to_vec(),
            ..ApiRequest::default()
        };
        let answer = self.server.answer(&request).unwrap();
        (answer.status, answer.body)
    }

    /// The element `name` of the answer to a call that succeeds.
    fn made(&self, form: &str, name: &str) -> String {
        let (status, body) = self.call(form);
        assert_eq!(status, 200, "{form}: {body}");
        let (_, rest) = body.split_once(&format!("<{name}>")).unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    }

    fn model(&self) -> Model {
        self.server.read(Clone::clone)
    }

    /// The model that another process would go on with.
    fn replayed(&self) -> Model {
        let mut model = replay(&self.journal()).unwrap().start.model;
        model.tick(self.server.now());
        model.take_changes();
        model
    }

    /// A VPC with a subnet, an instance and a free interface; answers the subnet, the instance,
    /// the interface.
    fn furnish(&self) -> (String, String, String) {
        let vpc = self.made("Action=CreateVpc&CidrBlock=10.0.0.0/16", "vpcId");
        let subnet = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.1.0/24");
        let subnet = self.made(&subnet, "subnetId");
        let image = self
            .server
            .read(|model| model.images().next().unwrap().id.clone());
        let launch = format!(
            "Action=RunInstances&ImageId={image}&InstanceType=m5.large&MinCount=1&MaxCount=1\
             &SubnetId={subnet}&ClientToken=once"
        );
        let instance = self.made(&launch, "instanceId");
        let eni = format!("Action=CreateNetworkInterface&SubnetId={subnet}");
        let eni = self.made(&eni, "networkInterfaceId");
        (subnet, instance, eni)
    }
}

/// A kernel that refuses from a certain moment on.
#[derive(Clone, Default)]
struct Moody(Arc<Mutex<bool>>);

impl ChangeHook for Moody {
    fn on_changes(
        &self,
        _model: &Model,
        _changes: Vec<underlay_vpc_model::Change>,
    ) -> Result<(), HookError> {
        if *self.0.lock() {
            return Err(HookError("no".to_owned()));
        }
        Ok(())
    }
}

#[test]
fn running_the_journal_again_makes_the_model_again() {
    for preset in [Preset::Instant, Preset::Realistic] {
        let kept = Kept::new(preset);
        let (subnet, instance, eni) = kept.furnish();
        kept.server
            .advance_clock(std::time::Duration::from_secs(60));
        kept.made(
            &format!(
                "Action=AttachNetworkInterface&NetworkInterfaceId={eni}&InstanceId={instance}\
                 &DeviceIndex=1"
            ),
            "attachmentId",
        );
        let (status, _) = kept.call(&format!("Action=DeleteSubnet&SubnetId={subnet}"));
        assert_eq!(status, 400, "a refused call is not noted");
        let endpoint = Event::CreateServiceEni {
            request: EniRequest::new(subnet.parse().unwrap()),
            requester: "amazon-vpce".to_owned(),
        };
        kept.server.change(endpoint).unwrap().unwrap();
        kept.server.advance_clock(std::time::Duration::from_secs(1));
        kept.made(
            &format!("Action=TerminateInstances&InstanceId.1={instance}"),
            "instanceId",
        );
        assert_eq!(kept.replayed(), kept.model(), "{preset:?}");
        // Written anew, it says the same without history.
        kept.server.keep_journal(&kept.journal()).unwrap();
        let replayed = replay(&kept.journal()).unwrap();
        assert_eq!((replayed.records, replayed.torn), (0, 0));
        assert_eq!(kept.replayed(), kept.model(), "{preset:?}");
    }
}

#[test]
fn a_call_that_the_kernel_refuses_did_not_happen_here_nor_after_a_restart() {
    let kept = Kept::new(Preset::Instant);
    let moody = Moody::default();
    kept.server.set_hook(moody.clone());
    let (subnet, instance, eni) = kept.furnish();
    let before = kept.model();
    *moody.0.lock() = true;
    let attach = format!(
        "Action=AttachNetworkInterface&NetworkInterfaceId={eni}&InstanceId={instance}&DeviceIndex=1"
    );
    let (status, body) = kept.call(&attach);
    assert!(status >= 500 && body.contains("InternalError"), "{body}");
    assert_eq!(kept.model(), before);
    assert_eq!(kept.replayed(), before);
    *moody.0.lock() = false;
    kept.made(&attach, "attachmentId");
    kept.made(
        &format!("Action=CreateNetworkInterface&SubnetId={subnet}"),
        "networkInterfaceId",
    );
    assert_eq!(kept.replayed(), kept.model());
}

#[test]
fn a_journal_that_is_cut_anywhere_leads_to_what_was_before_the_last_call() {
    let kept = Kept::new(Preset::Instant);
    let (subnet, ..) = kept.furnish();
    let before = (kept.model(), fs::read(kept.journal()).unwrap());
    kept.made(
        &format!("Action=CreateNetworkInterface&SubnetId={subnet}"),
        "networkInterfaceId",
    );
    let whole = fs::read(kept.journal()).unwrap();
    for length in before.1.len()..whole.len() {
        fs::write(kept.journal(), &whole[..length]).unwrap();
        assert_eq!(kept.replayed(), before.0, "cut at {length}");
    }
    fs::write(kept.journal(), &whole).unwrap();
    assert_eq!(kept.replayed(), kept.model());
}

#[test]
fn foreign_newer_and_diverging_journals_are_refused() {
    let kept = Kept::new(Preset::Instant);
    let path = kept.journal();
    fs::write(&path, "something else").unwrap();
    assert!(matches!(replay(&path), Err(JournalError::Foreign(_))));
    kept.server.keep_journal(&path).unwrap();
    // An event that changed something else than it does now.
    let event = Event::DeleteServiceEni(EniId::from_serial(1));
    let record = crate::journal::Record::Event {
        at: kept.server.now(),
        event,
        sum: 7,
    };
    kept.server.note(record).unwrap();
    assert!(matches!(replay(&path), Err(JournalError::Diverged(_))));
}

#[test]
fn what_the_clock_shows_and_the_keys_of_roles_are_kept() {
    let kept = Kept::new(Preset::Instant);
    let (_, instance, _) = kept.furnish();
    kept.server
        .advance_clock(std::time::Duration::from_secs(4_000));
    let instance = instance.parse().unwrap();
    let given = kept
        .server
        .role_credentials(&instance, "node", kept.server.now());
    let mut replayed = replay(&kept.journal()).unwrap();
    let clock = Clock::resumed(replayed.start.clock, replayed.last);
    assert_eq!(clock.now(), kept.server.now());
    let model = std::mem::replace(
        &mut replayed.start.model,
        Model::new(ModelConfig::default()),
    );
    let other = ApiServer::new(model, clock, Budgets::default(), None, false);
    other.restore_keys(&mut replayed);
    assert_eq!(
        other.role_credentials(&instance, "node", other.now()),
        given
    );
}

#[test]
fn a_restart_never_runs_more_than_some_records_however_many_calls_there_were() {
    let kept = Kept::new(Preset::Instant);
    let vpc = kept.made("Action=CreateVpc&CidrBlock=10.0.0.0/16", "vpcId");
    // What a kill in the middle of writing anew leaves.
    let beside = kept.journal().with_extension("new");
    fs::write(&beside, "half a journal").unwrap();
    let mut anew = 0;
    let mut before = 0;
    for number in 0..2_500 {
        let tag = format!("Action=CreateTags&ResourceId.1={vpc}&Tag.1.Key=n&Tag.1.Value={number}");
        kept.made(&tag, "return");
        let length = fs::metadata(kept.journal()).unwrap().len();
        anew += usize::from(length < before);
        before = length;
    }
    let replayed = replay(&kept.journal()).unwrap();
    assert!(replayed.records <= 1_024, "{} records", replayed.records);
    assert_eq!(kept.replayed(), kept.model());
    // As often as that takes, and not at each call.
    assert_eq!(anew, 2);
    assert!(!beside.exists());
}
