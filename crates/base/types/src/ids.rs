//! EC2 resource ids: a prefix, a dash, and 8 or 17 lower-case hexadecimal digits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not a resource id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id of the form {prefix}<8 or 17 lower-case hex digits>")]
pub struct ResourceIdError {
    /// The prefix the kind requires, with its dash.
    pub prefix: &'static str,
    /// The text as given.
    pub text: String,
}

fn has_id_shape(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        matches!(digits.len(), 8 | 17)
            && digits
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

macro_rules! resource_ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The prefix of this kind of id, with its dash.
            pub const PREFIX: &'static str = $prefix;

            /// The id made of this kind's prefix and `serial` as 17 hexadecimal digits.
            #[must_use]
            pub fn from_serial(serial: u64) -> Self {
                Self(format!("{}{serial:017x}", Self::PREFIX).into())
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ResourceIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if has_id_shape(text, Self::PREFIX) {
                    Ok(Self(text.into()))
                } else {
                    Err(ResourceIdError { prefix: Self::PREFIX, text: text.to_owned() })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ResourceIdError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }
    )+};
}

resource_ids! {
    /// An elastic address, as the account holds it.
    AllocationId "eipalloc-",
    /// The attachment of an ENI to an instance.
    AttachmentId "eni-attach-",
    /// An egress-only internet gateway.
    EgressOnlyInternetGatewayId "eigw-",
    /// The association of an elastic address with a private one.
    ElasticAssociationId "eipassoc-",
    /// An elastic network interface.
    EniId "eni-",
    /// A flow log.
    FlowLogId "fl-",
    /// A machine image.
    ImageId "ami-",
    /// An instance.
    InstanceId "i-",
    /// An internet gateway.
    InternetGatewayId "igw-",
    /// A permission that another account or a service has on an interface.
    EniPermissionId "eni-perm-",
    /// A NAT gateway.
    NatGatewayId "nat-",
    /// The association of a network ACL with a subnet.
    NetworkAclAssociationId "aclassoc-",
    /// A network ACL.
    NetworkAclId "acl-",
    /// A managed prefix list.
    PrefixListId "pl-",
    /// A reservation: the instances of one launch.
    ReservationId "r-",
    /// The association of a route table with a subnet or a VPC.
    RouteTableAssociationId "rtbassoc-",
    /// A route table.
    RouteTableId "rtb-",
    /// A security group.
    SecurityGroupId "sg-",
    /// A rule of a security group.
    SecurityGroupRuleId "sgr-",
    /// The association of an IPv6 CIDR block with a subnet.
    SubnetCidrAssociationId "subnet-cidr-assoc-",
    /// A part of a subnet's addresses kept for one use.
    SubnetCidrReservationId "scr-",
    /// A subnet.
    SubnetId "subnet-",
    /// The association of a branch interface with a trunk interface.
    TrunkAssociationId "trunk-assoc-",
    /// The association of a CIDR block with a VPC.
    VpcCidrAssociationId "vpc-cidr-assoc-",
    /// A VPC.
    VpcId "vpc-",
    /// A VPC peering connection.
    VpcPeeringConnectionId "pcx-",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_through_text_and_json() {
        let id: EniId = "eni-0123456789abcdef0".parse().unwrap();
        assert_eq!(id.to_string(), "eni-0123456789abcdef0");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"eni-0123456789abcdef0\"");
        assert_eq!(serde_json::from_str::<EniId>(&json).unwrap(), id);
        assert_eq!(
            "sg-01234567".parse::<SecurityGroupId>().unwrap().as_str(),
            "sg-01234567"
        );
        assert_eq!(EniId::from_serial(255).as_str(), "eni-000000000000000ff");
    }

    #[test]
    fn other_shapes_are_refused_and_named() {
        for text in [
            "",
            "eni-",
            "eni-012",
            "eni-0123456789abcdef",
            "eni-0123456789ABCDEF0",
            "sg-01234567",
        ] {
            let error = text.parse::<EniId>().unwrap_err();
            assert_eq!(
                error,
                ResourceIdError {
                    prefix: "eni-",
                    text: text.to_owned()
                }
            );
        }
        assert!(serde_json::from_str::<EniId>("\"eni-x\"").is_err());
        // An attachment's prefix begins with an ENI's: neither passes for the other.
        assert!("eni-attach-01234567".parse::<EniId>().is_err());
        assert!("eni-01234567".parse::<AttachmentId>().is_err());
    }
}
