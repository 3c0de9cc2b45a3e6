//! What the engine answers, in the runtime's words.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_cni_spec::{AddResult, CniError, Command, ErrorCode, Interface, IpConfig, Route};
use underlay_types::{Family, IfName};

use crate::service::{Attachment, ServiceError};

/// The result of an ADD: the veth end on the node if there is one, the pod's device, its addresses
/// and the default routes that are its own.
pub(super) fn add_result(attachment: &Attachment, ifname: &IfName, netns_path: &str) -> AddResult {
    let host = attachment.host.iter().map(|host| Interface {
        name: host.ifname.clone(),
        mac: host.mac,
        sandbox: None,
        mtu: attachment.mtu,
    });
    let mut interfaces: Vec<_> = host.collect();
    let position = interfaces.len();
    interfaces.push(Interface {
        name: ifname.to_string(),
        mac: attachment.pod_mac,
        sandbox: Some(netns_path.to_owned()),
        mtu: attachment.mtu,
    });
    let ips = attachment.ips.iter();
    let (ips, mut routes): (_, Vec<Route>) = ips.map(|ip| ip_and_route(*ip, position)).unzip();
    routes.retain(|route| {
        let family = Family::of(route.dst.addr());
        !attachment
            .second_in
            .is_some_and(|families| families.has(family))
    });
    AddResult {
        interfaces,
        ips,
        routes,
    }
}

/// An address of the interface at `position` of the list, and the default route of its family.
fn ip_and_route((address, gateway): (IpNet, IpAddr), position: usize) -> (IpConfig, Route) {
    let gateway = Some(gateway);
    let ip = IpConfig {
        address,
        gateway,
        interface: position,
    };
    let dst = match Family::of(address.addr()) {
        Family::V4 => IpNet::V4(Ipv4Net::default()),
        Family::V6 => IpNet::V6(Ipv6Net::default()),
    };
    (ip, Route { dst, gw: gateway })
}

/// The error answer to `command`.
pub(super) fn error(command: Command, error: &ServiceError) -> CniError {
    let code = match error {
        ServiceError::CutOff { .. } if command == Command::Status => ErrorCode::LimitedConnectivity,
        _ if command == Command::Status => ErrorCode::NotAvailable,
        ServiceError::NoAddress { .. }
        | ServiceError::NotReady { .. }
        | ServiceError::CutOff { .. } => ErrorCode::TryAgainLater,
        ServiceError::Group { .. } | ServiceError::Interface { .. } => ErrorCode::InvalidConfig,
        ServiceError::Refused { .. } => ErrorCode::RefusedByEc2,
        ServiceError::Kernel { .. } | ServiceError::Journal { .. } => ErrorCode::Io,
        ServiceError::Differs { .. } => ErrorCode::Differs,
    };
    CniError::new(code, error.to_string())
}

/// The same error in words that a runtime does not take for a success: containerd swallows errors
/// of a DEL that say "not found" or "no such file or directory".
pub(super) fn worded_for_del(error: CniError) -> CniError {
    CniError {
        msg: reworded(&error.msg),
        details: reworded(&error.details),
        ..error
    }
}

fn reworded(text: &str) -> String {
    [
        ("no such file or directory", "absent (ENOENT)"),
        ("not found", "absent"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (words, instead)| {
        replace_any_case(&text, words, instead)
    })
}

/// Replaces `words` (ASCII) in any case.
fn replace_any_case(text: &str, words: &str, instead: &str) -> String {
    // Lower-casing ASCII keeps every byte's place.
    let lower = text.to_ascii_lowercase();
    let mut replaced = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in lower.match_indices(words) {
        replaced.push_str(&text[from..at]);
        replaced.push_str(instead);
        from = at + words.len();
    }
    replaced.push_str(&text[from..]);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_error_has_its_code() {
        let message = || "m".to_owned();
        let table = [
            (ServiceError::NoAddress { message: message() }, 11),
            (ServiceError::Group { message: message() }, 7),
            (ServiceError::Refused { message: message() }, 100),
            (ServiceError::Kernel { message: message() }, 5),
            (ServiceError::Journal { message: message() }, 5),
            (ServiceError::Differs { message: message() }, 101),
            (ServiceError::NotReady { message: message() }, 11),
        ];
        for (service_error, code) in table {
            let answer = error(Command::Add, &service_error);
            assert_eq!((answer.code.number(), answer.msg.as_str()), (code, "m"));
            assert_eq!(error(Command::Status, &service_error).code.number(), 50);
        }
        let cut_off = ServiceError::CutOff { message: message() };
        assert_eq!(error(Command::Status, &cut_off).code.number(), 51);
    }

    #[test]
    fn a_del_never_says_what_a_runtime_would_swallow() {
        let error = CniError::new(
            ErrorCode::Io,
            "route Not Found: é no such file OR directory!",
        )
        .with_details("netns not found");
        let worded = worded_for_del(error);
        assert_eq!(worded.msg, "route absent: é absent (ENOENT)!");
        assert_eq!(worded.details, "netns absent");
    }
}
