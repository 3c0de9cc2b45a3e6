//! Creating and deleting flow logs.

use underlay_types::{FlowLogId, Timestamp};

use crate::{
    Change, DeliveryError, Ec2Error, ErrorCode, FlowLog, FlowLogDestination, FlowLogResource,
    Model, Tags, TrafficType,
};

/// The fields of the default format, in its order.
const DEFAULT_FIELDS: [&str; 14] = [
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
];

/// The fields of versions 3 to 11 (Amazon VPC User Guide, "Flow log records").
const FURTHER_FIELDS: &[&str] = &[
    "vpc-id",
    "subnet-id",
    "instance-id",
    "tcp-flags",
    "type",
    "pkt-srcaddr",
    "pkt-dstaddr",
    "region",
    "az-id",
    "sublocation-type",
    "sublocation-id",
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
    "flow-direction",
    "traffic-path",
    "ecs-cluster-arn",
    "ecs-cluster-name",
    "ecs-container-instance-arn",
    "ecs-container-instance-id",
    "ecs-container-id",
    "ecs-second-container-id",
    "ecs-service-name",
    "ecs-task-definition-arn",
    "ecs-task-arn",
    "ecs-task-id",
    "reject-reason",
    "resource-id",
    "encryption-status",
    "instance-tag",
    "instance-tag-2",
    "interface-tag",
    "interface-tag-2",
    "asg-tag",
    "asg-tag-2",
    "interface-type",
    "next-hop-interface-id",
    "next-hop-subnet-id",
    "next-hop-az-id",
    "next-hop-vpc-id",
    "next-hop-interface-type",
];

/// Resources of one call at most (API reference, CreateFlowLogs).
const RESOURCES_PER_CALL: usize = 1000;

/// What a flow log shall record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowLogRequest {
    /// Whose traffic; one flow log each, 1 to 1,000.
    pub resources: Vec<FlowLogResource>,
    /// Which verdicts.
    pub traffic: TrafficType,
    /// `${field}`s with blanks between them; `None` is the default format.
    pub format: Option<String>,
    /// Seconds per window: 60 or 600.
    pub aggregation_secs: u32,
    /// Where records go.
    pub destination: FlowLogDestination,
    /// Tags of each.
    pub tags: Tags,
}

impl Model {
    /// CreateFlowLogs: one per resource, all or none.
    ///
    /// # Errors
    /// The `NotFound` of a resource; `InvalidParameter` for a format with an unknown field, a
    /// window other than 60 or 600, or no or too many resources; `FlowLogAlreadyExists`.
    pub fn create_flow_logs(
        &mut self,
        request: &FlowLogRequest,
        now: Timestamp,
    ) -> Result<Vec<FlowLogId>, Ec2Error> {
        let fields = parse_format(request.format.as_deref())?;
        if ![60, 600].contains(&request.aggregation_secs) {
            let text = "Invalid Flow Log Max Aggregation Interval";
            return Err(Ec2Error::new(ErrorCode::InvalidParameter, text));
        }
        if !(1..=RESOURCES_PER_CALL).contains(&request.resources.len()) {
            let text = "ResourceIds must name 1 to 1000 resources";
            return Err(Ec2Error::new(ErrorCode::InvalidParameter, text));
        }
        for (index, resource) in request.resources.iter().enumerate() {
            self.check_flow_log_resource(resource)?;
            let same = |log: &FlowLog| {
                &log.resource == resource
                    && log.traffic == request.traffic
                    && log.fields == fields
                    && log.aggregation_secs == request.aggregation_secs
                    && log.destination == request.destination
            };
            let repeated = request
                .resources
                .iter()
                .take(index)
                .any(|each| each == resource);
            if repeated || self.flow_logs.values().any(same) {
                let text = "Error. There is an existing Flow Log with the same configuration and log \
                            destination.";
                return Err(Ec2Error::new(ErrorCode::FlowLogAlreadyExists, text));
            }
        }
        let ids = request.resources.iter().map(|resource| {
            let id = FlowLogId::from_serial(self.rng.next());
            let log = FlowLog {
                id: id.clone(),
                resource: resource.clone(),
                traffic: request.traffic,
                fields: fields.clone(),
                custom_format: request.format.is_some(),
                aggregation_secs: request.aggregation_secs,
                destination: request.destination.clone(),
                delivery_error: None,
                creation_time: now,
                tags: request.tags.clone(),
            };
            self.flow_logs.insert(id.clone(), log);
            id
        });
        let ids = ids.collect();
        self.changes.push(Change::FlowLogsChanged);
        Ok(ids)
    }

    fn check_flow_log_resource(&self, resource: &FlowLogResource) -> Result<(), Ec2Error> {
        match resource {
            FlowLogResource::Eni(id) => self.require_eni(id).map(|_| ()),
            FlowLogResource::Subnet(id) => self.require_subnet(id).map(|_| ()),
            FlowLogResource::Vpc(id) => self.require_vpc(id).map(|_| ()),
        }
    }

    /// DeleteFlowLogs: all or none.
    ///
    /// # Errors
    /// `InvalidFlowLogId.NotFound`.
    pub fn delete_flow_logs(&mut self, ids: &[FlowLogId]) -> Result<(), Ec2Error> {
        for id in ids {
            self.require_flow_log(id)?;
        }
        self.flow_logs.retain(|id, _| !ids.contains(id));
        self.changes.push(Change::FlowLogsChanged);
        Ok(())
    }

    /// Notes how the last delivery of a flow log's records went. A flow log that is gone has none.
    pub fn note_flow_log_delivery(&mut self, id: &FlowLogId, error: Option<DeliveryError>) {
        if let Some(log) = self.flow_logs.get_mut(id) {
            log.delivery_error = error;
        }
    }

    /// A flow log ends with the resource it records.
    pub(crate) fn drop_flow_logs_of(&mut self, resource: &str) {
        let before = self.flow_logs.len();
        self.flow_logs
            .retain(|_, log| log.resource.as_str() != resource);
        if self.flow_logs.len() != before {
            self.changes.push(Change::FlowLogsChanged);
        }
    }
}

/// Reads `${a} ${b}` into known field names, none twice.
fn parse_format(format: Option<&str>) -> Result<Vec<String>, Ec2Error> {
    let Some(format) = format else {
        return Ok(DEFAULT_FIELDS.map(str::to_owned).to_vec());
    };
    let mut fields: Vec<String> = Vec::new();
    for word in format.split_whitespace() {
        let name = word
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'));
        let known =
            name.filter(|name| DEFAULT_FIELDS.contains(name) || FURTHER_FIELDS.contains(name));
        match known {
            Some(name) if !fields.iter().any(|each| each == name) => fields.push(name.to_owned()),
            _ => {
                let text = format!("Invalid log format: unknown or repeated field {word}");
                return Err(Ec2Error::new(ErrorCode::InvalidParameter, text));
            }
        }
    }
    if fields.is_empty() {
        let text = "Invalid log format: it names no field";
        return Err(Ec2Error::new(ErrorCode::InvalidParameter, text));
    }
    Ok(fields)
}
