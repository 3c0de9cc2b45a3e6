//! Actions on reserved parts of subnets.

use ipnet::IpNet;
use underlay_types::{SubnetCidrReservationId, SubnetId};
use underlay_vpc_model::{
    CidrReservation, Ec2Error, Listed as _, Model, ReservationKind, ReservationRequest,
};

use super::{
    call::Call,
    filter::{FilterTable, Filters},
    page::Page,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<CidrReservation> = FilterTable {
    fields: &[
        ("reservationType", |_, each| {
            vec![each.kind.as_str().to_owned()]
        }),
        ("subnet-id", |_, each| vec![each.subnet.to_string()]),
    ],
    tags: Some(|each| &each.tags),
};

fn write(xml: &mut Xml, model: &Model, each: &CidrReservation) {
    xml.leaf("subnetCidrReservationId", &each.id);
    xml.leaf("subnetId", &each.subnet);
    xml.leaf("cidr", each.cidr);
    xml.leaf("reservationType", each.kind.as_str());
    xml.leaf("ownerId", &model.config().account);
    xml.optional("description", each.description.as_ref());
    write_tags(xml, &each.tags);
}

/// CreateSubnetCidrReservation.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let subnet: SubnetId = params.id("SubnetId")?;
    let cidr: IpNet = params.required_parsed("Cidr")?;
    let kind = match params.required("ReservationType")?.as_str() {
        "explicit" => ReservationKind::Explicit,
        "prefix" => ReservationKind::Prefix,
        other => return Err(params.invalid("ReservationType", other)),
    };
    let description = params.text("Description");
    let [tags] = take_specifications(params, ["subnet-cidr-reservation"])?;
    let request = ReservationRequest {
        subnet,
        cidr,
        kind,
        description,
        tags,
    };
    Ok(Call::new(move |model, _| {
        let id = model.reserve(request)?;
        let mut xml = Xml::default();
        if let Some(made) = model.reservations().find(|each| each.id == id) {
            xml.tree("subnetCidrReservation", |xml| write(xml, model, made));
        }
        Ok(xml)
    }))
}

/// DeleteSubnetCidrReservation.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: SubnetCidrReservationId = params.id("SubnetCidrReservationId")?;
    Ok(Call::new(move |model, _| {
        let gone = model.unreserve(&id)?;
        let mut xml = Xml::default();
        xml.tree("deletedSubnetCidrReservation", |xml| {
            write(xml, model, &gone);
        });
        Ok(xml)
    }))
}

/// GetSubnetCidrReservations. A page holds so many of both families together.
pub(super) fn get(params: &mut Params) -> Result<Call, Ec2Error> {
    let subnet: SubnetId = params.id("SubnetId")?;
    let filters = Filters::take(params, &FILTERS)?;
    let page = Page::take(params, "GetSubnetCidrReservations", 1_000)?;
    let after = page.after()?;
    Ok(Call::new(move |model, _| {
        model.require_subnet(&subnet)?;
        let wanted =
            |each: &&CidrReservation| each.subnet == subnet && filters.pass(model, &FILTERS, each);
        let all = CidrReservation::after(model, after.as_ref()).filter(wanted);
        let (found, next) = page.pick(all, |each| each.id.to_string());
        let is_v4 = |each: &&CidrReservation| matches!(each.cidr, IpNet::V4(_));
        let (v4, v6): (Vec<_>, Vec<_>) = found.into_iter().partition(is_v4);
        let mut xml = Xml::default();
        for (name, set) in [
            ("subnetIpv4CidrReservationSet", v4),
            ("subnetIpv6CidrReservationSet", v6),
        ] {
            xml.items(name, set, |xml, each| write(xml, model, each));
        }
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}
