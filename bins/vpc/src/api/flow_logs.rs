//! Flow log actions.

use underlay_types::FlowLogId;
use underlay_vpc_model::{
    Ec2Error, FlowLog, FlowLogDestination, FlowLogRequest, FlowLogResource, Model, TrafficType,
};

use super::{
    call::Call,
    describe::Describe,
    filter::FilterTable,
    flow_log_destination::{take_destination, type_of},
    ids::parse_id,
    instant::iso8601,
    keys::Keys,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<FlowLog> = FilterTable {
    fields: &[
        ("deliver-log-status", |_, log| {
            vec![delivery_status(log).to_owned()]
        }),
        ("flow-log-id", |_, log| vec![log.id.to_string()]),
        ("log-destination-type", |_, log| {
            vec![type_of(&log.destination).to_owned()]
        }),
        ("log-group-name", |_, log| match &log.destination {
            FlowLogDestination::CloudWatchLogs { group, .. } => vec![group.clone()],
            FlowLogDestination::S3 { .. } => Vec::new(),
        }),
        ("resource-id", |_, log| {
            vec![log.resource.as_str().to_owned()]
        }),
        ("traffic-type", |_, log| {
            vec![log.traffic.as_str().to_owned()]
        }),
    ],
    tags: Some(|log| &log.tags),
};

/// DescribeFlowLogs, but for the filter's name: EC2 reads `Filter.N` here as everywhere.
pub(super) static DESCRIBE: Describe<FlowLog> = Describe {
    action: "DescribeFlowLogs",
    ids: "FlowLogId",
    set: "flowLogSet",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_flow_log(id).map(drop),
    write,
};

fn delivery_status(log: &FlowLog) -> &'static str {
    match log.delivery_error {
        None => "SUCCESS",
        Some(_) => "FAILED",
    }
}

fn write(xml: &mut Xml, model: &Model, log: &FlowLog) {
    xml.leaf("flowLogId", &log.id);
    xml.leaf("flowLogStatus", "ACTIVE");
    xml.leaf("deliverLogsStatus", delivery_status(log));
    let error = log.delivery_error.map(|error| error.as_str());
    xml.optional("deliverLogsErrorMessage", error);
    xml.leaf("creationTime", iso8601(log.creation_time));
    xml.leaf("resourceId", log.resource.as_str());
    xml.leaf("trafficType", log.traffic.as_str());
    write_destination(xml, model, &log.destination);
    let format: Vec<_> = log
        .fields
        .iter()
        .map(|field| format!("${{{field}}}"))
        .collect();
    xml.leaf("logFormat", format.join(" "));
    xml.leaf("maxAggregationInterval", log.aggregation_secs);
    write_tags(xml, &log.tags);
}

fn write_destination(xml: &mut Xml, model: &Model, destination: &FlowLogDestination) {
    xml.leaf("logDestinationType", type_of(destination));
    match destination {
        FlowLogDestination::CloudWatchLogs { group, role } => {
            let config = model.config();
            let (region, account) = (&config.region, &config.account);
            let arn = format!("arn:aws:logs:{region}:{account}:log-group:{group}");
            xml.leaf("logDestination", arn);
            xml.leaf("logGroupName", group);
            xml.leaf("deliverLogsPermissionArn", role);
        }
        FlowLogDestination::S3 { arn, options } => {
            xml.leaf("logDestination", arn);
            xml.tree("destinationOptions", |xml| {
                let format = if options.parquet {
                    "parquet"
                } else {
                    "plain-text"
                };
                xml.leaf("fileFormat", format);
                xml.leaf("hiveCompatiblePartitions", options.hive_compatible);
                xml.leaf("perHourPartition", options.per_hour);
            });
        }
    }
}

/// CreateFlowLogs.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let resources = take_resources(params)?;
    let traffic = match params.required("TrafficType")?.as_str() {
        "ACCEPT" => TrafficType::Accept,
        "ALL" => TrafficType::All,
        "REJECT" => TrafficType::Reject,
        other => return Err(params.invalid("TrafficType", other)),
    };
    let destination = take_destination(params)?;
    let format = params.text("LogFormat");
    let aggregation_secs: Option<u32> = params.parsed("MaxAggregationInterval")?;
    let [tags] = take_specifications(params, ["vpc-flow-log"])?;
    let request = FlowLogRequest {
        resources,
        traffic,
        format,
        aggregation_secs: aggregation_secs.unwrap_or(600),
        destination,
        tags,
    };
    Ok(Call::new(move |model, context| {
        let made = context.once(model, |model| {
            let ids = model.create_flow_logs(&request, context.now)?;
            Ok(ids.iter().map(ToString::to_string).collect())
        })?;
        let mut xml = Xml::default();
        xml.optional(
            "clientToken",
            context.token.as_ref().map(|(token, _)| token),
        );
        xml.tree("flowLogIdSet", |xml| {
            made.iter().for_each(|id| xml.leaf("item", id))
        });
        xml.items("unsuccessful", std::iter::empty::<()>(), |_, ()| {});
        Ok(xml)
    }))
}

fn take_resources(params: &mut Params) -> Result<Vec<FlowLogResource>, Ec2Error> {
    let ids = params.list("ResourceId")?;
    let kind = params.required("ResourceType")?;
    if ids.is_empty() {
        return Err(params.missing("ResourceId"));
    }
    ids.iter()
        .map(|text| match kind.as_str() {
            "NetworkInterface" => parse_id(text).map(FlowLogResource::Eni),
            "Subnet" => parse_id(text).map(FlowLogResource::Subnet),
            "VPC" => parse_id(text).map(FlowLogResource::Vpc),
            other => Err(params.invalid("ResourceType", other)),
        })
        .collect()
}

/// DeleteFlowLogs.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let ids: Vec<FlowLogId> = params.ids("FlowLogId")?;
    if ids.is_empty() {
        return Err(params.missing("FlowLogId"));
    }
    Ok(Call::new(move |model, _| {
        model.delete_flow_logs(&ids)?;
        let mut xml = Xml::default();
        xml.items("unsuccessful", std::iter::empty::<()>(), |_, ()| {});
        Ok(xml)
    }))
}
