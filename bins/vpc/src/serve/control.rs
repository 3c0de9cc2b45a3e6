//! What a person may ask of a server and change in it while it runs.

use underlay_vpc_model::{
    BucketState, Budgets, CallCount, Ec2Error, Event, Fault, FaultError, FaultRequest, HazardScope,
};

use super::{ApiServer, HookError};

/// Why a server is not changed as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The request makes no fault.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The model refuses.
    #[error(transparent)]
    Model(#[from] Ec2Error),
    /// It could not be noted.
    #[error(transparent)]
    Note(#[from] HookError),
    /// It was over before anybody looked.
    #[error("the fault is over already")]
    Over,
}

impl ApiServer {
    /// The faults that are on.
    pub fn faults(&self) -> Vec<Fault> {
        let now = self.now();
        let mut faults: Vec<_> = self.read(|model| model.faults().list(now).cloned().collect());
        faults.extend(self.admission.lock().faults().list(now).cloned());
        faults.sort_unstable_by_key(|fault| fault.id);
        faults
    }

    /// Switches a fault on.
    ///
    /// # Errors
    /// When the request makes no fault, or there are too many, or it cannot be noted.
    pub fn switch_fault_on(&self, request: FaultRequest) -> Result<Fault, ControlError> {
        request.check()?;
        // One at a time: numbers are given once.
        let _numbering = self.numbering.lock();
        let last = self.faults().last().map_or(0, |fault| fault.id);
        let id = last + 1;
        let now = self.now();
        if request.hazard.scope() == HazardScope::Objects {
            self.change(Event::SwitchFaultOn { id, request })??;
        } else {
            let mut admission = self.admission.lock();
            admission.switch_on(id, request, now)?;
        }
        self.outages.send_replace(());
        let on = self.faults().into_iter().find(|fault| fault.id == id);
        on.ok_or(ControlError::Over)
    }

    /// Switches off those that `which` names. Returns how many.
    ///
    /// # Errors
    /// When it cannot be noted.
    pub fn switch_faults_off(&self, which: impl Fn(&Fault) -> bool) -> Result<usize, ControlError> {
        let now = self.now();
        let of_objects: Vec<u64> = self.read(|model| {
            let named = model.faults().list(now).filter(|fault| which(fault));
            named.map(|fault| fault.id).collect()
        });
        let mut faults = of_objects.len();
        if faults > 0 {
            self.change(Event::SwitchFaultsOff(of_objects))??;
        }
        faults += self.admission.lock().switch_off(&which);
        self.outages.send_replace(());
        Ok(faults)
    }

    /// The buckets that were used, and what is left in each.
    pub fn buckets(&self) -> Vec<BucketState> {
        self.admission.lock().buckets(self.now())
    }

    /// What calls came to so far.
    pub fn calls(&self) -> Vec<CallCount> {
        self.admission.lock().calls()
    }

    /// Whether buckets throttle, and what calls cost.
    pub fn budgets(&self) -> (bool, Budgets) {
        let admission = self.admission.lock();
        (admission.throttles(), admission.budgets().clone())
    }

    /// Changes what calls cost.
    pub fn set_budgets(&self, change: impl FnOnce(&mut Budgets)) {
        let mut admission = self.admission.lock();
        let mut budgets = admission.budgets().clone();
        change(&mut budgets);
        admission.set_budgets(budgets);
    }

    /// Has buckets throttle, beginning with full ones, or not.
    pub fn set_throttles(&self, throttles: bool) {
        self.admission.lock().set_throttles(throttles);
    }
}
