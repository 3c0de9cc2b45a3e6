//! What a person may ask of a server and change in it while it runs.

use underlay_vpc_model::{
    BucketState, Budgets, CallCount, Fault, FaultError, FaultRequest, HazardScope,
};

use super::ApiServer;

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
    /// When the request makes no fault, or there are too many.
    pub fn switch_fault_on(&self, request: FaultRequest) -> Result<Fault, FaultError> {
        let of_objects = request.hazard.scope() == HazardScope::Objects;
        let mut model = self.model.lock();
        let now = self.tick(&mut model);
        let mut admission = self.admission.lock();
        let id = model.faults().last_id().max(admission.faults().last_id()) + 1;
        let fault = if of_objects {
            model.switch_fault_on(id, request, now)
        } else {
            admission.switch_on(id, request, now)
        };
        drop(admission);
        if of_objects {
            self.write_anew(&model);
        }
        drop(model);
        self.outages.send_replace(());
        fault
    }

    /// Switches off those that `which` names. Returns how many.
    pub fn switch_faults_off(&self, which: impl Fn(&Fault) -> bool) -> usize {
        let of_calls = self.admission.lock().switch_off(&which);
        let mut model = self.model.lock();
        let of_objects = model.switch_faults_off(&which);
        self.write_anew(&model);
        drop(model);
        self.outages.send_replace(());
        of_calls + of_objects
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
