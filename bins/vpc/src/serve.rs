//! The EC2 API as a server: one model, any number of listeners, a clock, and a hook for whoever
//! makes what the model says come true.

mod act;
mod call;
mod clock;
mod control;
mod http;
mod limits_file;
mod options;
mod outage;
mod state;
mod undo;

use std::{
    fmt,
    net::TcpListener,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use underlay_types::{InstanceId, Timestamp};
use underlay_vpc_model::{Admission, Budgets, Change, InstanceView, Model, RoleCredentials, Speed};

use crate::{
    api::{Credentials, KeyPair},
    imds::Metadata,
    journal::Journal,
};

pub use clock::Clock;
pub use control::ControlError;
pub use http::Listening;
pub use limits_file::{LimitsFile, LimitsFileError};
pub use options::{ModelOptions, OptionsError};
pub use state::{StateDir, StateError};

/// Carries out what calls change: makes devices, compiles rules, and so on.
///
/// It is called with the model locked, after each call that changed something and before that
/// call's answer is sent, so that changes arrive complete and in order. While it works no other
/// call is served; it must not call back into the [`ApiServer`].
pub trait ChangeHook: Send + Sync + 'static {
    /// Carries out `changes`, in their order.
    ///
    /// # Errors
    /// When they cannot be carried out: the call is answered with `InternalError`, and what it did
    /// is taken back, by a further call with the model as it was, unless it removed something.
    fn on_changes(&self, model: &Model, changes: Vec<Change>) -> Result<(), HookError>;
}

/// Why changes could not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("carrying out a change: {0}")]
pub struct HookError(pub String);

/// The EC2 API of one account in one Region.
pub struct ApiServer {
    model: Mutex<Model>,
    /// Locked after the model, where both are.
    journal: Mutex<Option<Journal>>,
    clock: Clock,
    admission: Mutex<Admission>,
    /// Held while a fault gets its number.
    numbering: Mutex<()>,
    credentials: Credentials,
    hook: OnceLock<Box<dyn ChangeHook>>,
    /// Told when a deadline may have come nearer.
    deadline: Notify,
    /// Told when an outage may have begun or ended.
    outages: watch::Sender<()>,
    require_auth: bool,
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer")
            .field("require_auth", &self.require_auth)
            .finish_non_exhaustive()
    }
}

impl ApiServer {
    /// A server for `model`, whose time `clock` shows; calls cost `budgets`. `own` is the account's
    /// key pair; `require_auth` has every signature verified, by that key or one of a role.
    #[must_use]
    pub fn new(
        model: Model,
        clock: Clock,
        budgets: Budgets,
        own: Option<KeyPair>,
        require_auth: bool,
    ) -> Arc<Self> {
        let admission = Admission::new(model.config(), budgets);
        Arc::new(Self {
            model: Mutex::new(model),
            journal: Mutex::default(),
            clock,
            admission: Mutex::new(admission),
            numbering: Mutex::new(()),
            credentials: Credentials::new(own),
            hook: OnceLock::new(),
            deadline: Notify::new(),
            outages: watch::Sender::new(()),
            require_auth,
        })
    }

    /// Has `hook` carry out changes from now on. Only the first hook counts.
    pub fn set_hook(&self, hook: impl ChangeHook) {
        let taken = self.hook.set(Box::new(hook)).is_err();
        debug_assert!(!taken, "a hook is set once");
    }

    /// Serves connections of `listener`, of whatever network namespace, until `stop`.
    ///
    /// Needs a tokio runtime to be current; may be called for several listeners.
    ///
    /// # Errors
    /// When the listener cannot be handed to the runtime.
    pub fn serve_on(
        self: &Arc<Self>,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<Listening> {
        http::listen(Arc::clone(self), listener, stop)
    }

    /// Ends what is under way when its time has come, until `stop`. Run it once.
    pub async fn run_clock(self: Arc<Self>, stop: CancellationToken) {
        clock::run(&self, &stop).await;
    }

    /// Looks at the model.
    pub fn read<R>(&self, look: impl FnOnce(&Model) -> R) -> R {
        look(&self.model.lock())
    }

    /// The VPC's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The VPC's clock.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Moves the VPC's clock forward, and ends what is over then. Returns what it shows.
    pub fn advance_clock(&self, by: Duration) -> Timestamp {
        let now = self.clock.advance(by);
        self.note_clock();
        self.settle();
        now
    }

    /// Has the VPC's clock go at another speed.
    pub fn set_clock_speed(&self, speed: Speed) {
        self.clock.set_speed(speed);
        self.note_clock();
    }

    /// Ends what is over by now.
    fn settle(&self) {
        let mut model = self.model.lock();
        self.tick(&mut model);
    }

    /// Ends what is over by now, and has the hook carry it out. Nobody is there to hear that it
    /// could not.
    fn tick(&self, model: &mut Model) -> Timestamp {
        // Read under the model's lock: time passes in the order of what happens.
        let now = self.clock.now();
        model.tick(now);
        let changes = model.take_changes();
        if let Err(error) = self.carry_out(model, changes) {
            tracing::error!(%error, "a transition was not carried out");
        }
        now
    }

    fn carry_out(&self, model: &Model, changes: Vec<Change>) -> Result<(), HookError> {
        match self.hook.get() {
            Some(hook) if !changes.is_empty() => hook.on_changes(model, changes),
            _ => Ok(()),
        }
    }

    /// Whether calls may take long, since a hook carries out what they change.
    fn may_block(&self) -> bool {
        self.hook.get().is_some()
    }

    /// The credentials of an instance's role, which the API accepts.
    #[must_use]
    pub fn role_credentials(
        &self,
        instance: &InstanceId,
        role: &str,
        now: Timestamp,
    ) -> RoleCredentials {
        let account = self.read(|model| model.config().account.clone());
        let arn = || format!("arn:aws:sts::{account}:assumed-role/{role}/{instance}");
        let given = self.credentials.for_role(instance, role, arn, random, now);
        if given.issued == now {
            self.note_key(instance, role, &given);
        }
        RoleCredentials {
            access_key_id: given.key.access_key,
            secret_access_key: given.key.secret,
            session_token: given.key.token.unwrap_or_default(),
            last_updated: given.issued,
            expiration: given.expires,
        }
    }

    /// Ends the credentials of an instance that is gone.
    pub fn forget_credentials(&self, instance: &InstanceId) {
        self.credentials.forget(instance);
    }
}

impl Metadata for ApiServer {
    fn view(&self, instance: &InstanceId) -> Option<InstanceView> {
        self.read(|model| InstanceView::of(model, instance))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn credentials(&self, instance: &InstanceId, role: &str, now: Timestamp) -> RoleCredentials {
        self.role_credentials(instance, role, now)
    }
}

/// A seed that differs from run to run.
#[must_use]
pub fn random_seed() -> u64 {
    random()
        .iter()
        .take(8)
        .fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// The kernel's random bytes. It always has some once the machine is up.
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    if let Err(error) = getrandom(&mut bytes, GetRandomFlags::empty()) {
        tracing::error!(%error, "no random bytes");
    }
    bytes
}

fn request_id() -> String {
    let bytes = random();
    let hex = bytes
        .iter()
        .take(16)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!(
        "{}-{}-{}-{}-{}",
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32)
    )
}
