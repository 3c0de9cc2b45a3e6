//! How long the flows of interfaces are tracked while idle.

use underlay_types::EniId;

use super::addresses::check_not_managed;
use crate::{ConnectionTracking, Ec2Error, Eni, ErrorCode, Model, TrackingTimeouts};

impl Model {
    /// ModifyNetworkInterfaceAttribute `connectionTrackingSpecification`: what it does not name
    /// stays.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidParameterValue` for times out of range;
    /// `OperationNotPermitted`.
    pub fn set_tracking(&mut self, id: &EniId, asked: ConnectionTracking) -> Result<(), Ec2Error> {
        check_not_managed(self.require_eni(id)?)?;
        check_tracking(asked)?;
        self.change_eni(id, |eni| eni.tracking = asked.or(eni.tracking));
        Ok(())
    }

    /// How long an interface's flows are tracked while idle: as it was told, else as the
    /// interface's instance type has it, else as documented for most.
    #[must_use]
    pub fn tracking_timeouts(&self, eni: &Eni) -> TrackingTimeouts {
        let kind = eni.instance().and_then(|id| self.type_of(id));
        let of_type = kind.map_or(432_000, |kind| kind.tcp_established_secs);
        TrackingTimeouts {
            tcp_established_secs: eni.tracking.tcp_established_secs.unwrap_or(of_type),
            udp_stream_secs: eni.tracking.udp_stream_secs.unwrap_or(180),
            udp_secs: eni.tracking.udp_secs.unwrap_or(30),
        }
    }
}

pub(super) fn check_tracking(asked: ConnectionTracking) -> Result<(), Ec2Error> {
    for (name, secs, range) in [
        (
            "TcpEstablishedTimeout",
            asked.tcp_established_secs,
            60..=432_000,
        ),
        ("UdpStreamTimeout", asked.udp_stream_secs, 60..=180),
        ("UdpTimeout", asked.udp_secs, 30..=60),
    ] {
        if let Some(secs) = secs.filter(|secs| !range.contains(secs)) {
            let text = format!(
                "Value ({secs}) for parameter {name} is invalid. It must be between {} and {} \
                 seconds.",
                range.start(),
                range.end()
            );
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
    }
    Ok(())
}
