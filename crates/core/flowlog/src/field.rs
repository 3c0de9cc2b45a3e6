//! The fields a flow log can carry, in the order and with the names of the documentation.

use std::{fmt, str::FromStr};

use crate::FormatError;

macro_rules! fields {
    ($($version:literal { $($name:ident $text:literal),+ $(,)? })+) => {
        /// A field of a flow-log line.
        ///
        /// Fields of version 2 to 5, and `interface-type`, are filled in. The other later ones are
        /// known by name and read `-`: they tell of things that this VPC does not have (container
        /// tasks, block public access, encryption controls, tags on records).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each variant is the documented field of the same name")]
        pub enum Field { $($($name),+),+ }

        impl Field {
            /// Every field, in documentation order.
            pub const ALL: &'static [Self] = &[$($(Self::$name),+),+];

            /// The name, as in `${name}` and in header lines.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$name => $text),+),+ }
            }

            /// The version of the record format that brought the field.
            #[must_use]
            pub const fn version(self) -> u8 {
                match self { $($(Self::$name)|+ => $version),+ }
            }
        }
    };
}

fields! {
    2 {
        Version "version",
        AccountId "account-id",
        InterfaceId "interface-id",
        SrcAddr "srcaddr",
        DstAddr "dstaddr",
        SrcPort "srcport",
        DstPort "dstport",
        Protocol "protocol",
        Packets "packets",
        Bytes "bytes",
        Start "start",
        End "end",
        Action "action",
        LogStatus "log-status",
    }
    3 {
        VpcId "vpc-id",
        SubnetId "subnet-id",
        InstanceId "instance-id",
        TcpFlags "tcp-flags",
        Type "type",
        PktSrcAddr "pkt-srcaddr",
        PktDstAddr "pkt-dstaddr",
    }
    4 {
        Region "region",
        AzId "az-id",
        SublocationType "sublocation-type",
        SublocationId "sublocation-id",
    }
    5 {
        PktSrcAwsService "pkt-src-aws-service",
        PktDstAwsService "pkt-dst-aws-service",
        FlowDirection "flow-direction",
        TrafficPath "traffic-path",
    }
    7 {
        EcsClusterArn "ecs-cluster-arn",
        EcsClusterName "ecs-cluster-name",
        EcsContainerInstanceArn "ecs-container-instance-arn",
        EcsContainerInstanceId "ecs-container-instance-id",
        EcsContainerId "ecs-container-id",
        EcsSecondContainerId "ecs-second-container-id",
        EcsServiceName "ecs-service-name",
        EcsTaskDefinitionArn "ecs-task-definition-arn",
        EcsTaskArn "ecs-task-arn",
        EcsTaskId "ecs-task-id",
    }
    8 { RejectReason "reject-reason" }
    9 { ResourceId "resource-id" }
    10 { EncryptionStatus "encryption-status" }
    11 {
        InstanceTag "instance-tag",
        InstanceTag2 "instance-tag-2",
        InterfaceTag "interface-tag",
        InterfaceTag2 "interface-tag-2",
        AsgTag "asg-tag",
        AsgTag2 "asg-tag-2",
        InterfaceType "interface-type",
        NextHopInterfaceId "next-hop-interface-id",
        NextHopSubnetId "next-hop-subnet-id",
        NextHopAzId "next-hop-az-id",
        NextHopVpcId "next-hop-vpc-id",
        NextHopInterfaceType "next-hop-interface-type",
    }
}

/// What a field is in a Parquet file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// INT32.
    Int32,
    /// INT64.
    Int64,
    /// UTF-8 text.
    Text,
}

impl Field {
    /// What it is in a Parquet file (Amazon VPC User Guide, "Available fields").
    #[must_use]
    pub const fn column(self) -> Column {
        match self {
            Self::Version
            | Self::SrcPort
            | Self::DstPort
            | Self::Protocol
            | Self::TcpFlags
            | Self::TrafficPath
            | Self::EncryptionStatus => Column::Int32,
            Self::Packets | Self::Bytes | Self::Start | Self::End => Column::Int64,
            _ => Column::Text,
        }
    }

    /// Its column's name in a Parquet file: that of the tables that Athena's guide makes of them.
    #[must_use]
    pub fn column_name(self) -> String {
        self.name().replace('-', "_")
    }

    /// The field of a column.
    #[must_use]
    pub fn of_column(name: &str) -> Option<Self> {
        name.replace('_', "-").parse().ok()
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Field {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|field| field.name() == text)
            .ok_or_else(|| FormatError::UnknownField {
                name: text.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_54_fields_in_order_of_their_versions() {
        assert_eq!(Field::ALL.len(), 54);
        assert_eq!(Field::ALL[28], Field::TrafficPath, "field 29");
        assert!(Field::ALL.is_sorted_by_key(|field| field.version()));
        for field in Field::ALL {
            assert_eq!(field.to_string().parse(), Ok(*field));
            assert_eq!(Field::of_column(&field.column_name()), Some(*field));
        }
    }
}
