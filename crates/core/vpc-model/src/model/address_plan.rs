//! What addresses a call asks for, and taking them before the model changes.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::v6_plan::V6Plan;
use crate::{AddressOrder, Ec2Error, ErrorCode, address_pool::AddressPool, rng::Rng};

/// Addresses beyond the primary one that a caller asks for: of exactly one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum V4Request {
    /// None.
    Nothing,
    /// These addresses.
    Addresses(Vec<Ipv4Addr>),
    /// So many addresses, whichever are free.
    Count(u32),
    /// These /28 prefixes.
    Prefixes(Vec<Ipv4Net>),
    /// So many /28 prefixes, whichever are free.
    PrefixCount(u32),
}

impl V4Request {
    /// How many of the interface's slots it takes.
    pub(crate) fn slots(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Addresses(addresses) => addresses.len(),
            Self::Prefixes(prefixes) => prefixes.len(),
            Self::Count(count) | Self::PrefixCount(count) => {
                usize::try_from(*count).unwrap_or(usize::MAX)
            }
        }
    }

    pub(crate) const fn has_prefixes(&self) -> bool {
        matches!(self, Self::Prefixes(_) | Self::PrefixCount(_))
    }
}

/// What an assignment added, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assigned {
    /// Addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// Prefixes.
    pub prefixes: Vec<Ipv4Net>,
}

/// A subnet's addresses while a call is planned: taken here first, in the model on success only.
#[derive(Debug, Clone)]
pub(crate) struct AddressPlan {
    pub(crate) pool: AddressPool,
    pub(crate) v6: V6Plan,
    pub(crate) rng: Rng,
    pub(crate) order: AddressOrder,
}

impl AddressPlan {
    /// Takes a primary address: this one, or any.
    pub(crate) fn take_primary(&mut self, wanted: Option<Ipv4Addr>) -> Result<Ipv4Addr, Ec2Error> {
        match wanted {
            Some(address) => {
                self.take_address(address)?;
                Ok(address)
            }
            None => self
                .pool
                .take_any(self.order, &mut self.rng)
                .ok_or_else(no_free_address),
        }
    }

    /// Takes what is asked for beyond the primary address.
    pub(crate) fn take(&mut self, request: &V4Request) -> Result<Assigned, Ec2Error> {
        let mut assigned = Assigned::default();
        match request {
            V4Request::Nothing => {}
            V4Request::Addresses(addresses) => {
                for address in addresses {
                    self.take_address(*address)?;
                    assigned.addresses.push(*address);
                }
            }
            V4Request::Count(count) => {
                self.check_enough(*count)?;
                for _ in 0..*count {
                    assigned.addresses.push(self.take_primary(None)?);
                }
            }
            V4Request::Prefixes(prefixes) => {
                for prefix in prefixes {
                    self.take_prefix(*prefix)?;
                    assigned.prefixes.push(*prefix);
                }
            }
            V4Request::PrefixCount(count) => {
                if !self.pool.keeps_prefixes() {
                    self.check_enough(count.saturating_mul(16))?;
                }
                for _ in 0..*count {
                    let prefix = self.pool.take_any_prefix(self.order, &mut self.rng);
                    assigned.prefixes.push(prefix.ok_or_else(no_free_block)?);
                }
            }
        }
        Ok(assigned)
    }

    fn check_enough(&self, wanted: u32) -> Result<(), Ec2Error> {
        match self.pool.free() {
            0 => Err(no_free_address()),
            free if free < wanted => Err(Ec2Error::new(
                ErrorCode::InvalidParameterValue,
                "There aren't sufficient free Ipv4 addresses or prefixes",
            )),
            _ => Ok(()),
        }
    }

    fn take_address(&mut self, address: Ipv4Addr) -> Result<(), Ec2Error> {
        let block = Ipv4Net::from(address);
        if !self.pool.has(block) {
            return Err(invalid(
                "Address does not fall within the subnet's address range",
            ));
        }
        if !self.pool.is_assignable(block) {
            return Err(invalid("Address is in subnet's reserved address range"));
        }
        if !self.pool.is_free(block) {
            let text = format!("Address {address} is in use.");
            return Err(Ec2Error::new(ErrorCode::InvalidIpAddressInUse, text));
        }
        self.pool.take(block);
        Ok(())
    }

    fn take_prefix(&mut self, prefix: Ipv4Net) -> Result<(), Ec2Error> {
        if prefix.prefix_len() != 28 || prefix != prefix.trunc() {
            return Err(invalid(format!("{prefix} is not an aligned /28 prefix")));
        }
        if !self.pool.has(prefix) {
            return Err(invalid(
                "Prefix does not fall within the subnet's address range",
            ));
        }
        if !self.pool.is_assignable(prefix) {
            return Err(invalid("Prefix is in subnet's reserved address range"));
        }
        if !self.pool.is_free(prefix) {
            let text = format!("Prefix {prefix} is in use.");
            return Err(Ec2Error::new(ErrorCode::InvalidIpAddressInUse, text));
        }
        self.pool.take(prefix);
        Ok(())
    }
}

/// A request that no state of the subnet could make right.
pub(crate) fn check_sane(request: &V4Request) -> Result<(), Ec2Error> {
    let repeats = match request {
        V4Request::Addresses(each) => each.iter().collect::<BTreeSet<_>>().len() != each.len(),
        V4Request::Prefixes(each) => each.iter().collect::<BTreeSet<_>>().len() != each.len(),
        V4Request::Count(0) | V4Request::PrefixCount(0) => {
            return Err(invalid(
                "The number of addresses or prefixes must be at least 1",
            ));
        }
        _ => false,
    };
    if repeats {
        Err(invalid("Duplicate addresses or prefixes are not allowed"))
    } else {
        Ok(())
    }
}

pub(super) fn no_free_address() -> Ec2Error {
    Ec2Error::new(
        ErrorCode::InsufficientFreeAddressesInSubnet,
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )
}

pub(super) fn no_free_block() -> Ec2Error {
    Ec2Error::new(
        ErrorCode::InsufficientCidrBlocks,
        "The specified subnet does not have enough free cidr blocks to satisfy the request.",
    )
}

fn invalid(text: impl Into<String>) -> Ec2Error {
    Ec2Error::new(ErrorCode::InvalidParameterValue, text)
}
