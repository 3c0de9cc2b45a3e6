//! Drift: what somebody else changed of what is ours is noticed and put right.
//!
//! A look reads everything by dumps and disturbs nobody. Only when it finds something it is
//! repeated alone, since a pod that comes or goes meanwhile looks like drift, and put right. What
//! stands inside pods is not looked at: that costs a visit to each namespace, and CHECK does it.

mod survey;

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd as _, OwnedFd},
};

use underlay_netlink::{Errno, IfIndex, KernelError, Request, link};
use underlay_netplan::{
    Drift, NodeState, Object, Op, Plan,
    devices::{Lack, Mend},
    diff, eni, pod,
};
use underlay_types::{LeaseKey, Mac};

use self::survey::{Survey, sysctls, wanted};
use super::{
    Failure, Kernel, execute::Execution, lock, observe::Observed, rules::Rules, workers::Context,
};

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Whether there is nothing to put right, besides what is lost.
    pub clean: bool,
    /// Pods without a device. Those whose namespace lives can be wired anew.
    pub lost: Vec<LeaseKey>,
    /// The names of the node's devices.
    pub names: BTreeSet<String>,
    /// Their Ethernet addresses.
    pub macs: BTreeSet<Mac>,
}

/// What was put right.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repaired {
    /// What was wrong, as text for the log.
    pub repaired: Vec<(Drift, String)>,
    /// What the kernel refused; the rest was done.
    pub refused: Vec<KernelError>,
}

impl Kernel {
    /// Looks whether everything of ours on the node is as it must be. Changes and delays nothing.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn look(&self) -> Result<Look, Failure> {
        let (state, rules) = (lock(&self.state).clone(), lock(&self.rules).clone());
        let looked = self
            .workers
            .run(move |context| Survey::take(context, &state, &rules).map(Survey::into_look));
        looked
            .and_then(|looked| looked)
            .map_err(|error| Failure::clean("look at the node's pods", error))
    }

    /// Puts right what is not as it must be; `namespaces` are those of lost pods. No pod comes or
    /// goes meanwhile; packets of others are not held up. Changes nothing where nothing is wrong.
    ///
    /// # Errors
    /// When the kernel cannot be read; what it refused to change stands in [`Repaired::refused`].
    pub fn repair(&self, namespaces: BTreeMap<LeaseKey, OwnedFd>) -> Result<Repaired, Failure> {
        let doing = "put the node's pods right";
        let _alone = self.write_topology();
        let mut rules = lock(&self.rules);
        let (mut state, mut wanted) = (lock(&self.state).clone(), rules.clone());
        let done = self.workers.run(move |context| {
            let done = Repair::of(context, &mut state, &mut wanted).run(&namespaces)?;
            Ok((state, wanted, done))
        });
        let (state, wanted, (repaired, rewritten)) = done
            .and_then(|done| done)
            .map_err(|error| Failure::clean(doing, error))?;
        *lock(&self.state) = state;
        *rules = wanted;
        if !rewritten.is_empty() {
            self.learn(doing, &mut rules, |chain| rewritten.contains(chain))?;
        }
        let mut counts = lock(&self.repairs);
        for (drift, _) in &repaired.repaired {
            *counts.entry(*drift).or_default() += 1;
        }
        Ok(repaired)
    }

    /// How many things were put right since the start, by kind.
    #[must_use]
    pub fn repairs(&self) -> BTreeMap<Drift, u64> {
        lock(&self.repairs).clone()
    }
}

/// A repair under way.
struct Repair<'a> {
    context: &'a mut Context,
    state: &'a mut NodeState,
    rules: &'a mut Rules,
    done: Repaired,
}

impl<'a> Repair<'a> {
    fn of(context: &'a mut Context, state: &'a mut NodeState, rules: &'a mut Rules) -> Self {
        Self {
            context,
            state,
            rules,
            done: Repaired::default(),
        }
    }

    /// Devices first, then settings and chains, then what stands on them. Returns the chains that
    /// were written, too.
    fn run(
        mut self,
        namespaces: &BTreeMap<LeaseKey, OwnedFd>,
    ) -> Result<(Repaired, BTreeSet<String>), KernelError> {
        let survey = Survey::take(self.context, self.state, self.rules)?;
        for mend in &survey.compared.mends {
            self.note(mend.drift, mend.to_string());
            self.mend(mend);
        }
        for slot in survey.unaddressed {
            if let Some(eni) = self.state.enis().get(&slot).cloned() {
                self.note(Drift::Eni, format!("{}: without its address", eni.device));
                self.carry_out(vec![eni::raise_device(&eni)]);
            }
        }
        for (slot, name) in survey.compared.renamed {
            if let Some(mut eni) = self.state.enis().get(&slot).cloned() {
                self.note(Drift::Eni, format!("{} is called {name} now", eni.device));
                self.rules.rename(&eni.device, &name);
                eni.device = name;
                self.state.insert_eni(eni);
            }
        }
        if let Some(name) = survey.compared.trunk_renamed
            && let Some(mut trunk) = self.state.trunk().cloned()
        {
            self.note(Drift::Eni, format!("{} is called {name} now", trunk.device));
            trunk.device = name;
            self.state.set_trunk(Some(trunk));
        }
        // By the names that devices have now: one that was attached again is new.
        for sysctl in sysctls(self.state, self.rules) {
            self.note(Drift::Sysctl, format!("was not so: {sysctl}"));
            self.carry_out(vec![sysctl]);
        }
        // The primary ENI's new name stands in the node's chains.
        let chains = survey.chains;
        for chain in &chains {
            self.note(Drift::Ruleset, format!("chain {chain} was changed"));
        }
        self.carry_out(self.rules.rewrite(&chains));
        for key in &survey.compared.lost {
            if let Some(netns) = namespaces.get(key) {
                self.wire(key, netns);
            }
        }
        for stray in survey.compared.strays {
            self.note(Drift::Device, format!("{stray}: belongs to no pod"));
            self.carry_out(vec![Op::DeleteDevice(stray)]);
        }
        self.put_objects_right()?;
        Ok((self.done, chains))
    }

    /// What has come with its device is right by now.
    fn put_objects_right(&mut self) -> Result<(), KernelError> {
        let observed = Observed::read(self.context)?;
        let wanted = wanted(self.state, &observed);
        let wrong = |object: &Object, what: &str| (Drift::of(object), format!("{what}: {object}"));
        let missing = wanted.difference(&observed.objects);
        let mut lines: Vec<_> = missing.map(|object| wrong(object, "missing")).collect();
        let surplus = observed.objects.difference(&wanted);
        lines.extend(surplus.map(|object| wrong(object, "unexpected")));
        self.done.repaired.extend(lines);
        self.carry_out(diff::plan(&wanted, &observed.objects).0);
        Ok(())
    }

    fn wire(&mut self, key: &LeaseKey, netns: &OwnedFd) {
        let Some(lost) = self.state.pods().get(key) else {
            return;
        };
        let Ok(plan) = pod::wire(self.state, lost) else {
            return;
        };
        self.note(Drift::Pod, format!("{key}: its device was deleted"));
        let wired = Execution::new(self.context, Some(netns.as_fd())).all_or_nothing(&plan);
        if let Err((error, left)) = wired {
            self.done.refused.push(error);
            self.done.refused.extend(left);
        }
    }

    fn mend(&mut self, mend: &Mend) {
        let index = IfIndex(mend.index);
        for lack in &mend.lacks {
            let request = match lack {
                Lack::Name => link::rename(index, &mend.name),
                Lack::Mac(mac) => link::set_mac(index, *mac),
                Lack::Mtu(mtu) => link::set_mtu(index, *mtu),
                Lack::Group(group) => link::set_group(index, *group),
                Lack::Up => link::set_up(index, true),
            };
            let mut done = self.send(std::slice::from_ref(&request));
            if done.as_ref().is_err_and(|error| error.errno == Errno::BUSY) {
                // Before Linux 6.2 a device must be down for that; its routes come back below.
                let (down, up) = (link::set_up(index, false), link::set_up(index, true));
                done = self.send(&[down, request, up]);
            }
            self.done.refused.extend(done.err());
        }
    }

    fn send(&mut self, requests: &[Request]) -> Result<(), KernelError> {
        self.context.socket.run(requests)
    }

    fn carry_out(&mut self, ops: Vec<Op>) {
        let refused = Execution::new(self.context, None).all_possible(&Plan(ops));
        self.done.refused.extend(refused);
    }

    fn note(&mut self, drift: Drift, what: String) {
        self.done.repaired.push((drift, what));
    }
}
