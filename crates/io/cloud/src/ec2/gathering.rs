//! Questions about single ENIs: those that come while one is under way go together in the next.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;
use underlay_types::EniId;

use super::{Ec2, Ec2Error, InterfaceQuery, NetworkInterface, actions::FILTER_VALUES_MAX};

/// What is known of the ENIs of one question.
type Answer = Result<Arc<[NetworkInterface]>, Ec2Error>;

/// The next question.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    next: Mutex<Option<Question>>,
    /// Held by who asks: one question at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Question {
    enis: BTreeSet<EniId>,
    answer: watch::Receiver<Option<Answer>>,
}

/// Who asks, and who waits for somebody else's asking.
enum Part {
    Asks(watch::Sender<Option<Answer>>),
    Waits(watch::Receiver<Option<Answer>>),
}

impl Gathering {
    fn join(&self, eni: &EniId) -> Part {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        // The channel is closed where who was to ask has given up.
        if let Some(question) = next
            .as_mut()
            .filter(|next| next.answer.has_changed().is_ok())
        {
            question.enis.insert(eni.clone());
            return Part::Waits(question.answer.clone());
        }
        let (told, answer) = watch::channel(None);
        *next = Some(Question {
            enis: BTreeSet::from([eni.clone()]),
            answer,
        });
        Part::Asks(told)
    }

    /// Closes the question: whoever comes now is in the next one.
    fn take(&self) -> Vec<EniId> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = next.take().map(|question| question.enis);
        taken.into_iter().flatten().collect()
    }
}

impl Ec2 {
    /// An ENI; `None` if EC2 shows none of this id. Never older than the call: what is asked while
    /// an earlier question is under way is asked after it, in one request for all who came.
    ///
    /// # Errors
    /// As every call.
    pub async fn describe_network_interface(
        &self,
        eni: &EniId,
    ) -> Result<Option<NetworkInterface>, Ec2Error> {
        loop {
            let answer = match self.shared.gathering.join(eni) {
                Part::Asks(told) => Some(self.ask(&told).await),
                Part::Waits(mut answer) => {
                    let told = answer.wait_for(Option::is_some).await;
                    // An error: who was to ask has given up.
                    told.ok().and_then(|told| told.clone())
                }
            };
            if let Some(answer) = answer {
                return Ok(answer?.iter().find(|found| found.id == *eni).cloned());
            }
        }
    }

    async fn ask(&self, told: &watch::Sender<Option<Answer>>) -> Answer {
        let _turn = self.shared.gathering.turn.lock().await;
        let answer = self.describe_all(self.shared.gathering.take()).await;
        told.send_replace(Some(answer.clone()));
        answer
    }

    async fn describe_all(&self, enis: Vec<EniId>) -> Answer {
        let mut all = Vec::new();
        for enis in enis.chunks(FILTER_VALUES_MAX) {
            // By filter: by id EC2 refuses all where one does not exist.
            let query = InterfaceQuery::any_of(enis);
            all.extend(self.describe_network_interfaces(&query).await?);
        }
        Ok(all.into())
    }
}

#[cfg(test)]
mod tests;
