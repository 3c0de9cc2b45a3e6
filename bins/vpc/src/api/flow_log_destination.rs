//! Where CreateFlowLogs has records go.

use underlay_flowlog::{Destination, LogGroup};
use underlay_vpc_model::{Ec2Error, ErrorCode, FlowLogDestination, ObjectOptions};

use super::params::Params;

const S3: &str = "s3";
const CLOUD_WATCH_LOGS: &str = "cloud-watch-logs";

/// The type, as EC2 writes it.
pub(super) fn type_of(destination: &FlowLogDestination) -> &'static str {
    match destination {
        FlowLogDestination::CloudWatchLogs { .. } => CLOUD_WATCH_LOGS,
        FlowLogDestination::S3 { .. } => S3,
    }
}

/// Takes all parameters that say where to. Records go to files, laid out as in a bucket, or to
/// files that stand for the streams of a log group; Firehose has no such layout.
pub(super) fn take_destination(params: &mut Params) -> Result<FlowLogDestination, Ec2Error> {
    let kind = params.text("LogDestinationType");
    let arn = params.text("LogDestination");
    let group = params.text("LogGroupName");
    let role = params.text("DeliverLogsPermissionArn");
    match kind.as_deref() {
        Some(S3) => {
            if group.is_some() {
                return Err(must(
                    "LogDestination type must be cloud-watch-logs if LogGroupName is provided.",
                ));
            }
            let arn = arn.ok_or_else(|| {
                must("LogDestination can't be empty if LogGroupName is not provided.")
            })?;
            if arn.parse::<Destination>().is_err() {
                return Err(params.invalid("LogDestination", arn));
            }
            let options = take_options(params)?;
            Ok(FlowLogDestination::S3 { arn, options })
        }
        None | Some(CLOUD_WATCH_LOGS) => {
            let group = log_group(params, arn, group)?;
            let role = role.ok_or_else(|| {
                must(
                    "DeliverLogsPermissionArn can't be empty if LogDestinationType is \
                     cloud-watch-logs.",
                )
            })?;
            let group = group.to_string();
            Ok(FlowLogDestination::CloudWatchLogs { group, role })
        }
        Some("kinesis-data-firehose") => {
            let text = "This VPC delivers flow logs to LogDestinationType s3 and \
                        cloud-watch-logs only.";
            Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text))
        }
        Some(other) => Err(params.invalid("LogDestinationType", other)),
    }
}

fn log_group(
    params: &Params,
    arn: Option<String>,
    group: Option<String>,
) -> Result<LogGroup, Ec2Error> {
    match (arn, group) {
        (Some(_), Some(_)) => Err(must(
            "Please only provide LogGroupName or only provide LogDestination.",
        )),
        (Some(arn), None) => {
            LogGroup::from_arn(&arn).map_err(|_unreadable| params.invalid("LogDestination", arn))
        }
        (None, Some(name)) => name
            .parse()
            .map_err(|_unreadable| params.invalid("LogGroupName", name)),
        (None, None) => Err(must(
            "LogDestination can't be empty if LogGroupName is not provided.",
        )),
    }
}

fn take_options(params: &mut Params) -> Result<ObjectOptions, Ec2Error> {
    params.structure("DestinationOptions", |p| {
        Ok(ObjectOptions {
            parquet: match p.text("FileFormat").as_deref() {
                None | Some("plain-text") => false,
                Some("parquet") => true,
                Some(other) => return Err(p.invalid("FileFormat", other)),
            },
            hive_compatible: p.flag("HiveCompatiblePartitions")?.unwrap_or(false),
            per_hour: p.flag("PerHourPartition")?.unwrap_or(false),
        })
    })
}

fn must(text: &str) -> Ec2Error {
    Ec2Error::new(ErrorCode::InvalidParameter, text)
}
