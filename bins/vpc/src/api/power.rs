//! Stopping, starting and rebooting instances.

use underlay_types::InstanceId;
use underlay_vpc_model::{Ec2Error, InstanceState, Model};

use super::{
    call::{Call, done},
    instances::write_state,
    params::Params,
    xml::Xml,
};

/// StopInstances.
pub(super) fn stop(params: &mut Params) -> Result<Call, Ec2Error> {
    let ids = take_ids(params)?;
    params.flag("Force")?;
    params.flag("SkipOsShutdown")?;
    // No instance here was launched for hibernation: then EC2 stops it plainly.
    params.flag("Hibernate")?;
    Ok(Call::new(move |model, context| {
        let before = model.stop(&ids, context.now)?;
        Ok(changes(model, &before))
    }))
}

/// StartInstances.
pub(super) fn start(params: &mut Params) -> Result<Call, Ec2Error> {
    let ids = take_ids(params)?;
    params.text("AdditionalInfo");
    Ok(Call::new(move |model, context| {
        let before = model.start(&ids, context.now)?;
        Ok(changes(model, &before))
    }))
}

/// RebootInstances.
pub(super) fn reboot(params: &mut Params) -> Result<Call, Ec2Error> {
    let ids = take_ids(params)?;
    Ok(Call::new(move |model, _| {
        model.reboot(&ids)?;
        Ok(done())
    }))
}

/// Takes `InstanceId.N`, at least one.
pub(super) fn take_ids(params: &mut Params) -> Result<Vec<InstanceId>, Ec2Error> {
    let ids: Vec<InstanceId> = params.ids("InstanceId")?;
    if ids.is_empty() {
        Err(params.missing("InstanceId"))
    } else {
        Ok(ids)
    }
}

/// The states of instances before a call and now.
pub(super) fn changes(model: &Model, before: &[(InstanceId, InstanceState)]) -> Xml {
    let mut xml = Xml::default();
    xml.items("instancesSet", before, |xml, (id, state)| {
        xml.leaf("instanceId", id);
        let now = model.instance(id).map_or(*state, |instance| instance.state);
        write_state(xml, "currentState", now);
        write_state(xml, "previousState", *state);
    });
    xml
}
