//! What the model says and the kernel refused: it is tried again, less and less often.
//!
//! Time goes by in rounds, which whoever carries it out counts.

use std::fmt;

use underlay_types::EniId;
use underlay_vpc_model::Change;

/// Rounds between two tries, at most: a minute of half seconds.
const ROUNDS_MAX: u32 = 120;
/// Tries before it is left to a person: some five minutes.
const TRIES_MAX: u32 = 14;

/// Something that the kernel is to be made to follow the model in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owed {
    /// Maps of the fabric: the change is carried out again.
    Maps(Change),
    /// The namespace of an instance or a host.
    Namespace(String),
    /// An interface's device, or what stands for one.
    Port(EniId),
}

/// What was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Debt {
    pub(super) owed: Owed,
    /// The last answer.
    pub(super) error: String,
    /// How often it was tried again.
    pub(super) tries: u32,
    /// Until the next try.
    rounds: u32,
}

/// Everything that was refused and is not done yet, in the order in which it was.
#[derive(Debug, Default)]
pub(super) struct Debts(Vec<Debt>);

impl Owed {
    /// What a change leaves undone when it is refused; `None` for one that asks nothing of the
    /// kernel.
    pub(super) fn of(change: &Change) -> Option<Self> {
        Some(match change {
            Change::BranchAttached { branch: eni, .. }
            | Change::BranchDetached { branch: eni, .. }
            | Change::EniAttached { eni, .. }
            | Change::EniChanged(eni)
            | Change::EniDetached { eni, .. }
            | Change::EniDeleted(eni) => Self::Port(eni.clone()),
            Change::InstanceStarted(instance)
            | Change::InstanceStopped(instance)
            | Change::InstanceTerminated(instance) => Self::Namespace(instance.to_string()),
            Change::EgressOnlyInternetGatewayChanged(_)
            | Change::GroupChanged(_)
            | Change::InternetGatewayChanged(_)
            | Change::NatGatewayChanged(_)
            | Change::NetworkAclChanged(_)
            | Change::PrefixListChanged(_)
            | Change::PublicAddressChanged(_)
            | Change::RouteTableChanged(_)
            | Change::SubnetChanged(_)
            | Change::VpcChanged(_) => Self::Maps(change.clone()),
            Change::EniCreated(_) | Change::FlowLogsChanged | Change::PeeringChanged(_) => {
                return None;
            }
        })
    }
}

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Maps(Change::EgressOnlyInternetGatewayChanged(id)) => id.fmt(f),
            Self::Maps(Change::GroupChanged(id)) => id.fmt(f),
            Self::Maps(Change::InternetGatewayChanged(id)) => id.fmt(f),
            Self::Maps(Change::NatGatewayChanged(id)) => id.fmt(f),
            Self::Maps(Change::NetworkAclChanged(id)) => id.fmt(f),
            Self::Maps(Change::PrefixListChanged(id)) => id.fmt(f),
            Self::Maps(Change::PublicAddressChanged(address)) => address.fmt(f),
            Self::Maps(Change::RouteTableChanged(id)) => id.fmt(f),
            Self::Maps(Change::SubnetChanged(id)) => id.fmt(f),
            Self::Maps(Change::VpcChanged(id)) => id.fmt(f),
            Self::Maps(change) => write!(f, "{change:?}"),
            Self::Namespace(name) => name.fmt(f),
            Self::Port(eni) => eni.fmt(f),
        }
    }
}

impl Debt {
    /// Whether it is not tried any more.
    pub(super) const fn is_given_up(&self) -> bool {
        self.tries >= TRIES_MAX
    }
}

impl Debts {
    /// Notes a refusal; the first further try is in the next round.
    pub(super) fn note(&mut self, owed: Owed, error: String) {
        self.settle(&owed);
        self.0.push(Debt {
            owed,
            error,
            tries: 0,
            rounds: 1,
        });
    }

    /// Forgets what is done.
    pub(super) fn settle(&mut self, owed: &Owed) {
        self.0.retain(|debt| debt.owed != *owed);
    }

    /// A round goes by: what is to be tried now.
    pub(super) fn due(&mut self) -> Vec<Owed> {
        let mut due = Vec::new();
        for debt in self.0.iter_mut().filter(|debt| !debt.is_given_up()) {
            debt.rounds = debt.rounds.saturating_sub(1);
            if debt.rounds == 0 {
                due.push(debt.owed.clone());
            }
        }
        due
    }

    /// Notes that a try was refused, too. Answers what is known of it now.
    pub(super) fn refused_again(&mut self, owed: &Owed, error: String) -> Option<&Debt> {
        let debt = self.0.iter_mut().find(|debt| debt.owed == *owed)?;
        debt.error = error;
        debt.tries += 1;
        debt.rounds = 2_u32.saturating_pow(debt.tries).min(ROUNDS_MAX);
        Some(debt)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Debt> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use underlay_types::InstanceId;

    use super::*;

    fn port(serial: u64) -> Owed {
        Owed::Port(EniId::from_serial(serial))
    }

    #[test]
    fn a_refusal_is_tried_less_and_less_often_and_given_up_in_the_end() {
        let mut debts = Debts::default();
        debts.note(port(1), "busy".to_owned());
        let mut rounds = Vec::new();
        for round in 1..2_000 {
            for owed in debts.due() {
                assert_eq!(owed, port(1));
                rounds.push(round);
                debts.refused_again(&owed, "still busy".to_owned()).unwrap();
            }
        }
        let gaps: Vec<_> = rounds.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(rounds[0], 1);
        assert_eq!(gaps[..7], [2, 4, 8, 16, 32, 64, 120]);
        assert!(gaps[7..].iter().all(|gap| *gap == ROUNDS_MAX));
        assert_eq!(rounds.len(), usize::try_from(TRIES_MAX).unwrap());
        let debt = debts.iter().next().unwrap();
        assert!(debt.is_given_up());
        assert_eq!(debt.error, "still busy");
    }

    #[test]
    fn what_is_done_otherwise_is_owed_no_more_and_a_new_refusal_begins_anew() {
        let mut debts = Debts::default();
        debts.note(port(1), "busy".to_owned());
        debts.note(port(2), "busy".to_owned());
        assert_eq!(debts.due(), [port(1), port(2)]);
        debts.refused_again(&port(1), "busy".to_owned());
        debts.settle(&port(2));
        assert_eq!(debts.due(), []);
        debts.note(port(1), "busy".to_owned());
        assert_eq!(debts.due(), [port(1)]);
        assert!(debts.refused_again(&port(2), "busy".to_owned()).is_none());
    }

    #[test]
    fn a_start_and_an_end_of_an_instance_owe_the_same() {
        let instance: InstanceId = "i-00000001".parse().unwrap();
        let owed = [
            Change::InstanceStarted(instance.clone()),
            Change::InstanceTerminated(instance),
        ];
        let owed = owed.each_ref().map(Owed::of);
        assert_eq!(owed[0], owed[1]);
        assert_eq!(Owed::of(&Change::FlowLogsChanged), None);
    }
}
