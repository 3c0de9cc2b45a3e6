//! Addresses of both families in 16 bytes.

use core::net::IpAddr;

use crate::V4_BITS;

/// The bytes of an address, an IPv4 address as a v4-mapped one (::ffff:a.b.c.d).
#[must_use]
pub const fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The address that has these bytes.
#[must_use]
pub fn address_of(bytes: [u8; 16]) -> IpAddr {
    IpAddr::from(bytes).to_canonical()
}

/// How many of the 128 bits the prefix of an address has.
#[must_use]
pub const fn prefix_bits(address: IpAddr, length: u8) -> u8 {
    match address {
        IpAddr::V4(_) => V4_BITS + length,
        IpAddr::V6(_) => length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_come_back() {
        for text in [
            "0.0.0.0",
            "10.0.1.2",
            "255.255.255.255",
            "::",
            "fd00:ec2::254",
        ] {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(address_of(address_bytes(address)), address);
        }
    }

    #[test]
    fn prefixes_count_from_the_first_of_all_bits() {
        let (v4, v6) = (IpAddr::from([0; 4]), IpAddr::from([0; 16]));
        assert_eq!((prefix_bits(v4, 0), prefix_bits(v4, 32)), (96, 128));
        assert_eq!((prefix_bits(v6, 0), prefix_bits(v6, 128)), (0, 128));
    }
}
