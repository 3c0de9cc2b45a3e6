//! A node whose leases live in memory and which notes what it is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{Condvar, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use underlay_agent::{
    service::{Attachment, HostEnd, ListedLease, Measures, NodeService, PodRequest, ServiceError},
    waiting::while_waiting,
};
use underlay_types::{EniId, LeaseKey, Mac, NetworkName, PodAddresses};

/// Makes the answer of a node that fails.
pub(crate) type Failure = Box<dyn Fn() -> ServiceError + Send>;

#[derive(Default)]
pub(crate) struct MemoryNode {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    leases: BTreeMap<LeaseKey, Attachment>,
    log: Vec<String>,
    failure: Option<Failure>,
    gated: Option<String>,
    /// What ADDs of other pods do until the gate opens.
    others: Others,
    /// How long an ADD waits for another call of its key, which must not come.
    dawdle: Duration,
}

/// What ADDs of pods do that the gate is not for.
#[derive(Default, Clone, Copy, PartialEq)]
pub(crate) enum Others {
    #[default]
    Pass,
    /// Wait at the gate, and say that they do.
    Wait,
    /// Are at work until it opens.
    Work,
}

impl State {
    /// How many lines of the log are about `key`.
    fn of_key(&self, key: &LeaseKey) -> usize {
        let key = key.to_string();
        self.log.iter().filter(|line| line.contains(&key)).count()
    }

    /// How many ADDs of `key` are done.
    fn adds(&self, key: &LeaseKey) -> u64 {
        let done = format!("added {key}");
        let adds = self.log.iter().filter(|line| **line == done).count();
        adds.try_into().unwrap()
    }
}

impl MemoryNode {
    /// What was asked so far, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }

    pub(crate) fn leases(&self) -> Vec<String> {
        self.state
            .lock()
            .unwrap()
            .leases
            .keys()
            .map(ToString::to_string)
            .collect()
    }

    /// Lets calls fail from now on: `kind` is the variant, `message` what it says.
    pub(crate) fn fail<K>(&self, kind: K, message: &'static str)
    where
        K: Fn(String) -> ServiceError + Send + 'static,
    {
        let failure = move || kind(message.to_owned());
        self.state.lock().unwrap().failure = Some(Box::new(failure));
    }

    /// Lets calls succeed again.
    pub(crate) fn recover(&self) {
        self.state.lock().unwrap().failure = None;
    }

    /// Lets ADDs of `container` wait until [`MemoryNode::open`].
    pub(crate) fn gate(&self, container: &str) {
        self.state.lock().unwrap().gated = Some(container.to_owned());
    }

    /// Keeps the ADDs of all pods until [`MemoryNode::open`].
    pub(crate) fn gate_all(&self, others: Others) {
        self.state.lock().unwrap().others = others;
    }

    pub(crate) fn open(&self) {
        let mut state = self.state.lock().unwrap();
        state.gated = None;
        state.others = Others::Pass;
        drop(state);
        self.opened.notify_all();
    }

    /// Lets each ADD wait so long for another call of its key, which must not come meanwhile.
    pub(crate) fn dawdle(&self, time: Duration) {
        self.state.lock().unwrap().dawdle = time;
    }

    fn note(&self, details: String) -> Result<(), ServiceError> {
        let mut state = self.state.lock().unwrap();
        state.log.push(details);
        self.opened.notify_all();
        state
            .failure
            .as_ref()
            .map_or(Ok(()), |failure| Err(failure()))
    }
}

impl NodeService for MemoryNode {
    fn add(&self, request: PodRequest, wait: Duration) -> Result<Attachment, ServiceError> {
        let PodRequest {
            key,
            pool,
            netns_path,
            pod,
            ..
        } = request;
        let pod = pod.map_or_else(
            || "no pod".to_owned(),
            |pod| format!("{}/{} {:?}", pod.namespace, pod.name, pod.uid),
        );
        let place = if netns_path.starts_with('/') {
            "in a namespace"
        } else {
            "nowhere"
        };
        self.note(format!(
            "add {key} from {pool} {place} for {pod} within {wait:?}"
        ))?;
        let gated = |state: &mut State| {
            state.others != Others::Pass || state.gated.as_deref() == Some(key.container.as_str())
        };
        let state = self.state.lock().unwrap();
        let at_gate = |state| self.opened.wait_while(state, gated).unwrap();
        let state = match state.others {
            Others::Wait => while_waiting(|| at_gate(state)),
            Others::Pass | Others::Work => at_gate(state),
        };
        let (dawdle, noted) = (state.dawdle, state.of_key(&key));
        let alone = |state: &mut State| state.of_key(&key) == noted;
        let waited = self.opened.wait_timeout_while(state, dawdle, alone);
        let mut state = waited.unwrap().0;
        let last = u8::try_from(state.leases.len() + 10).unwrap();
        let attachment = Attachment {
            addresses: PodAddresses::new(Some([10, 0, 1, last].into()), None).unwrap(),
            ips: vec![(
                IpAddr::from([10, 0, 1, last]).into(),
                IpAddr::from([169, 254, 1, 1]),
            )],
            second_in: None,
            eni: EniId::from_serial(1),
            host: Some(HostEnd {
                ifname: "ul0123456789ab".into(),
                mac: Mac([2, 0, 0, 0, 0, 1]),
            }),
            pod_mac: Mac([2, 0, 0, 0, 0, 2]),
            mtu: 9001,
        };
        state.log.push(format!("added {key}"));
        Ok(state.leases.entry(key).or_insert(attachment).clone())
    }

    fn del(&self, key: &LeaseKey, netns: Option<OwnedFd>) -> Result<(), ServiceError> {
        let netns = if netns.is_some() { "with" } else { "without" };
        self.note(format!("del {key} {netns} a namespace"))?;
        self.state.lock().unwrap().leases.remove(key);
        Ok(())
    }

    fn check(&self, key: &LeaseKey, _netns: OwnedFd) -> Result<Attachment, ServiceError> {
        self.note(format!("check {key}"))?;
        let message = "no lease".to_owned();
        let leases = &self.state.lock().unwrap().leases;
        leases
            .get(key)
            .cloned()
            .ok_or(ServiceError::Differs { message })
    }

    fn garbage(
        &self,
        network: &NetworkName,
        valid: &BTreeSet<LeaseKey>,
    ) -> Result<Vec<ListedLease>, ServiceError> {
        let keys: Vec<String> = valid.iter().map(ToString::to_string).collect();
        self.note(format!("gc {network} but {}", keys.join(" ")))?;
        let state = self.state.lock().unwrap();
        let keys = state.leases.keys().filter(|key| key.network == *network);
        let keys = keys.filter(|key| !valid.contains(key));
        Ok(keys
            .map(|key| ListedLease {
                key: key.clone(),
                turn: state.adds(key),
            })
            .collect())
    }

    fn collect(&self, lease: &ListedLease) -> Result<(), ServiceError> {
        self.note(format!("collect {}", lease.key))?;
        let mut state = self.state.lock().unwrap();
        if state.adds(&lease.key) == lease.turn {
            state.leases.remove(&lease.key);
        }
        Ok(())
    }

    fn status(&self) -> Result<(), ServiceError> {
        self.note("status".into())
    }

    fn node_status(&self) -> Value {
        json!({"leases": self.leases()})
    }

    fn measures(&self) -> Result<Measures, ServiceError> {
        let message = "nothing is counted".to_owned();
        Err(ServiceError::NotReady { message })
    }

    fn drain(&self, deadline: Duration) -> Result<(), ServiceError> {
        self.note(format!("drain within {deadline:?}"))
    }

    fn resume(&self) -> Result<(), ServiceError> {
        self.note("resume".into())
    }

    fn uninstall(&self, deadline: Duration) -> Result<(), ServiceError> {
        self.note(format!("uninstall within {deadline:?}"))
    }
}
