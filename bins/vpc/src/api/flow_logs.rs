//! Flow log actions.

use underlay_flowlog::Destination;
use underlay_types::FlowLogId;
use underlay_vpc_model::{
    Ec2Error, ErrorCode, FlowLog, FlowLogRequest, FlowLogResource, Model, TrafficType,
};

use super::{
    call::Call,
    describe::Describe,
    filter::FilterTable,
    ids::parse_id,
    instant::iso8601,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<FlowLog> = FilterTable {
    fields: &[
        ("deliver-log-status", |_, _| vec!["SUCCESS".to_owned()]),
        ("flow-log-id", |_, log| vec![log.id.to_string()]),
        ("log-destination-type", |_, _| vec!["s3".to_owned()]),
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
pub(super) static DESCRIBE: Describe<FlowLog, FlowLogId> = Describe {
    action: "DescribeFlowLogs",
    ids: "FlowLogId",
    set: "flowLogSet",
    filters: &FILTERS,
    all: |model| Box::new(model.flow_logs()),
    require: |model, id| model.require_flow_log(id).map(drop),
    id: |log| &log.id,
    write,
};

fn write(xml: &mut Xml, _: &Model, log: &FlowLog) {
    xml.leaf("flowLogId", &log.id);
    xml.leaf("flowLogStatus", "ACTIVE");
    xml.leaf("deliverLogsStatus", "SUCCESS");
    xml.leaf("creationTime", iso8601(log.creation_time));
    xml.leaf("resourceId", log.resource.as_str());
    xml.leaf("trafficType", log.traffic.as_str());
    xml.leaf("logDestinationType", "s3");
    xml.optional("logDestination", log.destination.as_ref());
    let format: Vec<_> = log
        .fields
        .iter()
        .map(|field| format!("${{{field}}}"))
        .collect();
    xml.leaf("logFormat", format.join(" "));
    xml.leaf("maxAggregationInterval", log.aggregation_secs);
    xml.tree("destinationOptions", |xml| {
        xml.leaf("fileFormat", "plain-text");
        xml.leaf("hiveCompatiblePartitions", false);
        xml.leaf("perHourPartition", false);
    });
    write_tags(xml, &log.tags);
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
        destination: Some(destination),
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

/// Records go to files, laid out as in a bucket: the destination has to be one.
fn take_destination(params: &mut Params) -> Result<String, Ec2Error> {
    match params.text("LogDestinationType").as_deref() {
        Some("s3") => {}
        None | Some("cloud-watch-logs" | "kinesis-data-firehose") => {
            let text = "This VPC delivers flow logs to LogDestinationType s3 only.";
            return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
        }
        Some(other) => return Err(params.invalid("LogDestinationType", other)),
    }
    let destination = params.required("LogDestination")?;
    if destination.parse::<Destination>().is_err() {
        return Err(params.invalid("LogDestination", destination));
    }
    params.structure("DestinationOptions", |p| {
        super::vpcs::refuse_other_than(p, "FileFormat", "plain-text")?;
        super::vpcs::refuse_other_than(p, "HiveCompatiblePartitions", "false")?;
        super::vpcs::refuse_other_than(p, "PerHourPartition", "false")
    })?;
    Ok(destination)
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
