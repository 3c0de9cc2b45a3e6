//! Which IPv4 blocks a VPC may have beside those it has.
//!
//! Amazon VPC User Guide, "IPv4 CIDR block association restrictions". What the table calls the
//! existing range is taken to be the primary block's, as earlier editions said: by any block's, a
//! VPC of 10.0.0.0/8 could not grow within it once it has a block of 100.64.0.0/10.

use ipnet::Ipv4Net;

use crate::{Ec2Error, ErrorCode};

const fn net(a: u8, b: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, 0, 0), length)
}

const BENCHMARK: Ipv4Net = net(198, 19, 16);
const TEN: Ipv4Net = net(10, 0, 8);
const TEN_FIRST: Ipv4Net = net(10, 0, 16);
const TEN_FIRST_TWO: Ipv4Net = net(10, 0, 15);
const DEFAULT_VPC: Ipv4Net = net(172, 31, 16);
const PRIVATE: [Ipv4Net; 3] = [TEN, net(172, 16, 12), net(192, 168, 16)];

/// Whether a VPC with the blocks `held`, the primary first, may have `wanted` too.
///
/// # Errors
/// `InvalidVpc.Range` when it overlaps one of them, or is of a range that one of them excludes.
pub(crate) fn check_beside(held: &[Ipv4Net], wanted: Ipv4Net) -> Result<(), Ec2Error> {
    let overlaps = |each: &&Ipv4Net| each.contains(&wanted) || wanted.contains(*each);
    if let Some(other) = held.iter().find(overlaps) {
        // The documentation forbids it and does not say in which words.
        let text = format!("The CIDR '{wanted}' conflicts with '{other}', which the VPC has.");
        return Err(Ec2Error::new(ErrorCode::InvalidVpcRange, text));
    }
    let excluded = held
        .first()
        .is_some_and(|primary| excludes(*primary, wanted));
    let first_two = held.iter().any(|each| TEN_FIRST_TWO.contains(each));
    if excluded || (first_two && TEN_FIRST.contains(&wanted)) {
        let text = format!(
            "The CIDR '{wanted}' is restricted. Use a CIDR from the same private address range as \
             the current VPC CIDR, or use a publicly-routable CIDR. For additional restrictions, \
             see https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html"
        );
        return Err(Ec2Error::new(ErrorCode::InvalidVpcRange, text));
    }
    Ok(())
}

fn excludes(primary: Ipv4Net, wanted: Ipv4Net) -> bool {
    let private = |block: Ipv4Net| PRIVATE.iter().find(|range| range.contains(&block));
    let other_private = private(wanted).is_some_and(|range| !range.contains(&primary));
    let benchmark = BENCHMARK.contains(&wanted) && !BENCHMARK.contains(&primary);
    let default_vpc = private(primary).is_some() && DEFAULT_VPC.contains(&wanted);
    other_private || benchmark || default_vpc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_block_says_which_ranges_fit() {
        let held = ["10.2.0.0/16", "100.64.0.0/16"].map(|text| text.parse().unwrap());
        assert_eq!(check_beside(&held, "10.3.0.0/16".parse().unwrap()), Ok(()));
        let held = ["10.2.0.0/16", "10.1.0.0/24"].map(|text| text.parse().unwrap());
        assert!(check_beside(&held, "10.0.0.0/24".parse().unwrap()).is_err());
    }

    #[test]
    fn ranges_exclude_each_other_as_documented() {
        for (held, wanted, allowed) in [
            ("10.2.0.0/16", "10.3.0.0/16", true),
            ("10.2.0.0/16", "10.0.0.0/16", true),
            ("10.1.0.0/16", "10.0.0.0/16", false),
            ("10.0.0.0/24", "10.0.1.0/24", false),
            ("10.0.0.0/16", "10.1.0.0/16", true),
            ("10.0.0.0/16", "172.16.0.0/16", false),
            ("10.0.0.0/16", "192.168.0.0/24", false),
            ("10.0.0.0/16", "198.19.0.0/24", false),
            ("10.0.0.0/16", "100.64.0.0/16", true),
            ("10.0.0.0/16", "198.18.0.0/24", true),
            ("10.0.0.0/16", "8.8.0.0/16", true),
            ("172.16.0.0/16", "172.17.0.0/16", true),
            ("172.16.0.0/16", "172.31.0.0/24", false),
            ("172.16.0.0/16", "10.0.0.0/16", false),
            ("192.168.0.0/24", "192.168.1.0/24", true),
            ("192.168.0.0/24", "172.16.0.0/16", false),
            ("198.19.0.0/24", "198.19.1.0/24", true),
            ("198.19.0.0/24", "10.0.0.0/16", false),
            ("198.19.0.0/24", "100.64.0.0/16", true),
            ("100.64.0.0/16", "100.65.0.0/16", true),
            ("100.64.0.0/16", "10.0.0.0/16", false),
            ("8.8.0.0/16", "198.19.0.0/16", false),
            ("10.0.0.0/16", "10.0.128.0/17", false),
        ] {
            let outcome = check_beside(&[held.parse().unwrap()], wanted.parse().unwrap());
            let code = outcome.err().map(|error| error.code);
            let expected = (!allowed).then_some(ErrorCode::InvalidVpcRange);
            assert_eq!(code, expected, "{wanted} beside {held}");
        }
    }
}
