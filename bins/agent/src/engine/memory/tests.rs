use tempfile::TempDir;
use underlay_cloud::ec2::{CardLimits, Tags};
use underlay_ipam::{Grant, Place as AttachedAt};
use underlay_types::{AttachmentId, PoolKey, SecurityGroupId, SubnetId, VpcId};

use super::*;

const OP: OpId = OpId(7);

fn place() -> Place {
    Place {
        instance: InstanceId::from_serial(1),
        primary_mac: Mac([2, 0, 0, 0, 0, 1]),
        limits: InstanceTypeLimits {
            instance_type: "m5.large".to_owned(),
            interfaces: 3,
            ipv4_per_interface: 10,
            cards: vec![CardLimits {
                index: 0,
                interfaces: 3,
            }],
            prefixes: true,
            ipv6: true,
        },
        subnet_cidr: "10.0.0.0/24".parse().unwrap(),
        subnet_has_ipv6: false,
    }
}

fn eni(serial: u64) -> NetworkInterface {
    NetworkInterface {
        id: EniId::from_serial(serial),
        subnet: SubnetId::from_serial(1),
        vpc: VpcId::from_serial(1),
        zone: "eu-west-1a".to_owned(),
        mac: Mac::local(serial),
        status: InterfaceStatus::Available,
        description: String::new(),
        groups: vec![SecurityGroupId::from_serial(1)],
        primary: Some([10, 0, 0, 4].into()),
        secondary: Vec::new(),
        prefixes: Vec::new(),
        ipv6: Vec::new(),
        ipv6_prefixes: Vec::new(),
        source_dest_check: true,
        interface_type: "interface".to_owned(),
        requester_managed: false,
        tags: Tags::new(),
        attachment: None,
    }
}

fn subnet(serial: u64) -> Subnet {
    Subnet {
        id: SubnetId::from_serial(serial),
        vpc: VpcId::from_serial(1),
        zone: "eu-west-1a".to_owned(),
        cidr: "10.0.0.0/24".parse().unwrap(),
        ipv6_cidrs: Vec::new(),
        available_addresses: 9,
        tags: Tags::from([("team".to_owned(), "pods".to_owned())]),
    }
}

struct Lab {
    _folder: TempDir,
    memory: Memory,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = beside(&folder.path().join("journal"));
        let known = Remembered {
            place: place(),
            interfaces: vec![eni(1)],
            subnets: vec![subnet(1)],
        };
        let memory = Memory::new(path, known);
        memory.write();
        Self {
            _folder: folder,
            memory,
        }
    }

    /// What a successor would go by.
    fn left(&self) -> Option<Vec<NetworkInterface>> {
        read(&self.memory.path).map(|found| {
            assert_eq!(found.place, place());
            found.interfaces
        })
    }

    fn call(&mut self, call: &Ec2Op, answer: Option<&Answer>) {
        self.memory.begins(OP);
        assert_eq!(self.left(), None, "nothing to go by during {call}");
        self.memory.ended(OP, Some(call), answer);
    }

    fn first(&self) -> NetworkInterface {
        self.left().unwrap().swap_remove(0)
    }
}

#[test]
fn each_change_is_known_once_its_call_is_answered() {
    let mut lab = Lab::new();
    assert_eq!(lab.left(), Some(vec![eni(1)]));
    let id = eni(1).id;
    let given = Holding {
        addresses: vec![[10, 0, 0, 9].into(), [10, 0, 0, 8].into()],
        prefixes: vec!["10.0.0.16/28".parse().unwrap()],
        ..Holding::default()
    };
    let assign = Ec2Op::Assign {
        eni: id.clone(),
        grant: Grant::Addresses(2),
    };
    lab.call(&assign, Some(&Answer::Assigned(given.clone())));
    assert_eq!(lab.first().secondary, given.addresses);
    let unassign = Ec2Op::UnassignAddresses {
        eni: id.clone(),
        addresses: vec![[10, 0, 0, 9].into()],
    };
    lab.call(&unassign, Some(&Answer::Done));
    let unassign = Ec2Op::UnassignPrefixes {
        eni: id.clone(),
        prefixes: given.prefixes,
    };
    lab.call(&unassign, Some(&Answer::Done));
    let first = lab.first();
    assert_eq!(
        (first.secondary, first.prefixes),
        (vec![[10, 0, 0, 8].into()], vec![])
    );

    let attach = Ec2Op::AttachEni {
        eni: id.clone(),
        place: AttachedAt { card: 0, index: 2 },
    };
    lab.call(
        &attach,
        Some(&Answer::Attached(AttachmentId::from_serial(3))),
    );
    lab.call(
        &Ec2Op::SetDeleteOnTermination { eni: id.clone() },
        Some(&Answer::Done),
    );
    let attachment = lab.first().attachment.unwrap();
    assert_eq!(attachment.id, AttachmentId::from_serial(3));
    assert_eq!(
        (attachment.device_index, attachment.delete_on_termination),
        (2, true)
    );
    lab.call(&Ec2Op::DetachEni { eni: id.clone() }, Some(&Answer::Done));
    assert_eq!(lab.first().attachment, None);
    lab.call(&Ec2Op::DeleteEni { eni: id }, Some(&Answer::Done));
    assert_eq!(lab.left(), Some(vec![]));
    let create = Ec2Op::CreateEni {
        pool: PoolKey::default_pool(),
        grant: Grant::Addresses(0),
        ipv6_prefix: false,
    };
    lab.call(&create, Some(&Answer::Created(Box::new(eni(2)))));
    assert_eq!(lab.left(), Some(vec![eni(2)]));
}

#[test]
fn after_a_failure_only_a_look_at_ec2_helps() {
    let mut lab = Lab::new();
    let detach = Ec2Op::DetachEni { eni: eni(1).id };
    lab.call(&detach, None);
    assert_eq!(lab.left(), None);
    // A look that was under way while a call was may not have seen its end.
    lab.memory.asks();
    lab.call(&detach, Some(&Answer::Done));
    lab.memory.observed(&[eni(3)]);
    assert_eq!(lab.left(), None);
    lab.memory.asks();
    lab.memory.observed(&[eni(3)]);
    assert_eq!(lab.left(), Some(vec![eni(3)]));
}

#[test]
fn two_calls_at_a_time_leave_nothing_to_go_by_until_both_ended() {
    let mut lab = Lab::new();
    let detach = Ec2Op::DetachEni { eni: eni(1).id };
    lab.memory.begins(OpId(8));
    lab.call(&detach, Some(&Answer::Done));
    assert_eq!(lab.left(), None);
    lab.memory
        .ended(OpId(8), Some(&detach), Some(&Answer::Done));
    assert_eq!(lab.left(), Some(vec![eni(1)]));
}

#[test]
fn subnets_are_remembered_as_ec2_last_said() {
    let mut lab = Lab::new();
    let left = |lab: &Lab| read(&lab.memory.path).unwrap().subnets;
    assert_eq!(left(&lab), [subnet(1)]);
    lab.memory.note_subnets(vec![subnet(1), subnet(2)]);
    lab.memory.asks();
    lab.memory.observed(&[eni(1)]);
    assert_eq!(left(&lab), [subnet(1), subnet(2)]);
}

#[test]
fn what_is_not_of_this_format_is_not_gone_by() {
    let lab = Lab::new();
    let good = fs::read_to_string(&lab.memory.path).unwrap();
    let other = good.replace(&format!("\"format\":{FORMAT}"), "\"format\":1");
    assert_ne!(good, other);
    for content in ["", "{}", r#"{"format":2,"place":{}}"#, &other] {
        fs::write(&lab.memory.path, content).unwrap();
        assert_eq!(lab.left(), None, "{content}");
    }
}
