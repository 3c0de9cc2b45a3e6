//! What a person may say about the VPC when starting it.

use clap::{Args, ValueEnum};
use ipnet::Ipv4Net;
use serde_json::{Map, Value};
use underlay_types::AccountId;
use underlay_vpc_model::{
    AddressOrder, AvailabilityZone, Budgets, InstanceType, Limits, ModelConfig, Preset,
};

use super::LimitsFile;

/// What a person may say about the VPC when starting it.
#[derive(Debug, Clone, Args)]
pub struct ModelOptions {
    /// How fast things happen
    #[arg(long, value_enum, default_value_t = PresetOption::Instant)]
    preset: PresetOption,
    /// The Region
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// How many availability zones the Region has (1 to 6)
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=6))]
    zones: u8,
    /// The account, 12 digits
    #[arg(long, default_value = "123456789012")]
    account: AccountId,
    /// Which free address is taken when a call names none
    #[arg(long, value_enum, default_value_t = OrderOption::Sequential)]
    address_order: OrderOption,
    /// Seed of ids and random choices; without it they differ from run to run
    #[arg(long)]
    seed: Option<u64>,
    /// Security groups an interface carries at most (1 to 16)
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=16))]
    groups_per_eni: u8,
    /// Sets a quota, such as enis=20000; may be given for several
    #[arg(long = "quota", value_name = "NAME=NUMBER", value_parser = named_number)]
    quotas: Vec<(String, u32)>,
    /// Where public addresses come from
    #[arg(long, value_name = "CIDR", default_value = "198.18.0.0/15", value_parser = public_pool)]
    public_pool: Ipv4Net,
    /// Sets how many branch interfaces the trunks of an instance type carry, such as m5.large=9
    #[arg(long = "branch-limit", value_name = "TYPE=NUMBER", value_parser = branch_limit)]
    branch_limits: Vec<(String, u32)>,
    /// Flows that an instance tracks at most, in full mode; without it they are not limited
    #[arg(long, value_name = "FLOWS")]
    tracking_allowance: Option<u32>,
    /// A file that sets budgets, quotas and times; see docs/local-vpc.md
    #[arg(long, value_name = "FILE", value_parser = LimitsFile::read)]
    limits: Option<LimitsFile>,
}

fn named_number(text: &str) -> Result<(String, u32), &'static str> {
    let (name, number) = text
        .split_once('=')
        .ok_or("expected a name, = and a number")?;
    let number = number
        .parse()
        .map_err(|_number| "expected a number after =")?;
    Ok((name.to_owned(), number))
}

fn branch_limit(text: &str) -> Result<(String, u32), String> {
    let (name, number) = named_number(text)?;
    match InstanceType::named(&name) {
        Some(_) => Ok((name, number)),
        None => Err(format!("there is no instance type {name:?}")),
    }
}

fn public_pool(text: &str) -> Result<Ipv4Net, &'static str> {
    let wrong =
        "expected a block of /8 to /32 that is not private or reserved, such as 198.18.0.0/15";
    let pool: Ipv4Net = text.parse().map_err(|_unparsable| wrong)?;
    let special = [pool.network(), pool.broadcast()].iter().any(|address| {
        address.is_private()
            || address.is_loopback()
            || address.is_link_local()
            || address.octets()[0] == 0
            || address.octets()[0] >= 224
    });
    if special || pool.prefix_len() < 8 {
        return Err(wrong);
    }
    Ok(pool.trunc())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PresetOption {
    /// Every transition is over when the call returns
    Instant,
    /// Transitions, calls and throttling as on EC2
    Realistic,
    /// As realistic, slower, and with every sort of fault now and then
    Hostile,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderOption {
    /// Any, as EC2 does
    Random,
    /// The lowest
    Sequential,
}

/// Why options make no VPC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The file of limits does not fit.
    #[error("--limits: {0}")]
    Limits(String),
    /// A Region's name is not one.
    #[error("--region {0:?} is not the name of a Region such as us-east-1")]
    Region(String),
    /// There is no such quota.
    #[error("--quota {name}: there is no such quota, but {known}")]
    Quota {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

impl ModelOptions {
    /// The model's configuration. `random` is the seed if none is named.
    ///
    /// # Errors
    /// When the options make no VPC.
    pub fn config(&self, random: u64) -> Result<ModelConfig, OptionsError> {
        let preset = match self.preset {
            PresetOption::Instant => Preset::Instant,
            PresetOption::Realistic => Preset::Realistic,
            PresetOption::Hostile => Preset::Hostile,
        };
        let mut config = ModelConfig {
            account: self.account.clone(),
            region: self.region.clone(),
            zones: zones(&self.region, self.zones)?,
            address_order: match self.address_order {
                OrderOption::Random => AddressOrder::Random,
                OrderOption::Sequential => AddressOrder::Sequential,
            },
            public_pool: self.public_pool,
            branch_limits: self.branch_limits.iter().cloned().collect(),
            tracking_allowance: self.tracking_allowance,
            seed: self.seed.unwrap_or(random),
            ..ModelConfig::of(preset)
        };
        config.limits.groups_per_eni = self.groups_per_eni.into();
        if let Some(limits) = &self.limits {
            let applied = limits.apply(&mut config);
            applied.map_err(|error| OptionsError::Limits(error.to_string()))?;
        }
        for (name, number) in &self.quotas {
            config.limits = with_quota(&config.limits, name, *number)?;
        }
        Ok(config)
    }

    /// What calls cost.
    ///
    /// # Errors
    /// When the options make no VPC.
    pub fn budgets(&self) -> Result<Budgets, OptionsError> {
        let budgets = self.limits.as_ref().map(LimitsFile::budgets).transpose();
        let budgets = budgets.map_err(|error| OptionsError::Limits(error.to_string()))?;
        Ok(budgets.unwrap_or_default())
    }
}

/// Limits with one of them changed, by its name.
fn with_quota(limits: &Limits, name: &str, number: u32) -> Result<Limits, OptionsError> {
    let mut fields = match serde_json::to_value(limits) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    };
    let known = fields.keys().cloned().collect::<Vec<_>>().join(", ");
    let unknown = || OptionsError::Quota {
        name: name.to_owned(),
        known,
    };
    match fields.get_mut(name) {
        Some(field) => *field = number.into(),
        None => return Err(unknown()),
    }
    serde_json::from_value(Value::Object(fields)).map_err(|_shape| unknown())
}

/// `us-east-1a` with id `use1-az1`, and so on.
fn zones(region: &str, count: u8) -> Result<Vec<AvailabilityZone>, OptionsError> {
    let wrong = || OptionsError::Region(region.to_owned());
    let parts: Vec<_> = region.split('-').collect();
    let plain = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric());
    let (Some((number, words)), true) = (parts.split_last(), parts.iter().all(plain)) else {
        return Err(wrong());
    };
    if words.len() < 2 || number.parse::<u8>().is_err() {
        return Err(wrong());
    }
    let short: String = words
        .iter()
        .enumerate()
        .filter_map(|(index, word)| word.get(..if index == 0 { 2 } else { 1 }))
        .collect();
    let zone = |index: u8| AvailabilityZone {
        name: format!("{region}{}", char::from(b'a' + index)),
        id: format!("{short}{number}-az{}", index + 1),
    };
    Ok((0..count).map(zone).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_set_by_its_name_and_an_unknown_one_is_refused() {
        let before = Limits::default();
        let after = with_quota(&before, "enis", 20_000).unwrap();
        let expected = Limits {
            enis: 20_000,
            ..Limits::default()
        };
        assert_eq!(after, expected);
        let error = with_quota(&before, "pods", 1).unwrap_err().to_string();
        assert!(
            error.contains("enis, ") || error.contains(", enis"),
            "{error}"
        );
    }

    #[test]
    fn pools_and_branch_limits_are_checked() {
        let pool = |text| public_pool(text).map(|pool| pool.to_string()).ok();
        assert_eq!(pool("203.0.113.9/24").as_deref(), Some("203.0.113.0/24"));
        assert_eq!(pool("203.0.113.9/32").as_deref(), Some("203.0.113.9/32"));
        for bad in [
            "",
            "10.0.0.0/24",
            "8.0.0.0/6",
            "169.254.0.0/16",
            "240.0.0.0/8",
            "::/64",
        ] {
            assert_eq!(pool(bad), None, "{bad}");
        }
        assert_eq!(branch_limit("m5.large=2"), Ok(("m5.large".to_owned(), 2)));
        for bad in ["m5.enormous=2", "m5.large", "m5.large=x"] {
            assert!(branch_limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn zones_are_named_after_their_region() {
        let named = zones("us-east-1", 2).unwrap();
        assert_eq!(
            (named[0].name.as_str(), named[0].id.as_str()),
            ("us-east-1a", "use1-az1")
        );
        assert_eq!(
            (named[1].name.as_str(), named[1].id.as_str()),
            ("us-east-1b", "use1-az2")
        );
        assert_eq!(zones("eu-central-1", 1).unwrap()[0].id, "euc1-az1");
        for bad in ["", "mars", "us-east", "us-east-x", "us--1", "-"] {
            assert_eq!(zones(bad, 1), Err(OptionsError::Region(bad.to_owned())));
        }
    }
}
