//! A running service of one instance.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use underlay_types::{EniId, ImageId, InstanceId, ReservationId, Timestamp};
use underlay_vpc::imds::{Caller, Metadata, MetadataServer, serve};
use underlay_vpc_model::{AvailabilityZone, InstanceView, MetadataOptions, RoleCredentials, Tags};

/// A service that takes everyone for its one instance. It ends when dropped.
pub(crate) struct Service {
    instance: Arc<Instance>,
    stop: CancellationToken,
    _runtime: Runtime,
}

pub(crate) struct Instance {
    hop_limit: AtomicU8,
}

impl Service {
    /// Serves `listener`; `knows` says whose connections are taken.
    pub(crate) fn start(
        listener: TcpListener,
        knows: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        let instance = Arc::new(Instance {
            hop_limit: AtomicU8::new(1),
        });
        let metadata: Arc<dyn Metadata> = Arc::<Instance>::clone(&instance);
        let server = Arc::new(MetadataServer::new(metadata));
        let resolve = Arc::new(move |peer| {
            knows(peer).then(|| Caller {
                instance: InstanceId::from_serial(1),
                eni: EniId::from_serial(1),
            })
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        runtime.spawn(async move { serve(listener, resolve, server, stopped).await.unwrap() });
        Self {
            instance,
            stop,
            _runtime: runtime,
        }
    }

    pub(crate) fn set_hop_limit(&self, limit: u8) {
        self.instance.hop_limit.store(limit, Ordering::SeqCst);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Metadata for Instance {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        Timestamp::ZERO + since.unwrap()
    }

    fn view(&self, instance: &InstanceId) -> Option<InstanceView> {
        Some(InstanceView {
            id: instance.clone(),
            options: MetadataOptions {
                tokens_required: true,
                hop_limit: self.hop_limit.load(Ordering::SeqCst),
                enabled: true,
                tags: false,
            },
            account: "123456789012".parse().unwrap(),
            region: "us-east-1".into(),
            zone: AvailabilityZone {
                name: "us-east-1a".into(),
                id: "use1-az1".into(),
            },
            reservation: ReservationId::from_serial(1),
            launch_index: 0,
            launch_time: Timestamp::from_secs(1_700_000_000),
            image: ImageId::from_serial(1),
            architecture: "x86_64".into(),
            instance_type: "m5.large".into(),
            role: "node-role".into(),
            profile: "node-profile".into(),
            key_name: None,
            user_data: None,
            tags: Tags::new(),
            interfaces: Vec::new(),
        })
    }

    fn credentials(&self, instance: &InstanceId, role: &str, now: Timestamp) -> RoleCredentials {
        RoleCredentials {
            access_key_id: format!("ASIA{role}"),
            secret_access_key: format!("secret of {instance}"),
            session_token: "session".into(),
            last_updated: now,
            expiration: now + Duration::from_secs(6 * 3600),
        }
    }
}
