//! What an ADD asks for: which pod, which interface, which security groups.

use underlay_cni_spec::{
    CniArgs, CniError, ENI, Environment, ErrorCode, NetworkConfig, SECURITY_GROUPS,
};
use underlay_types::{EniUse, KubernetesPod, LeaseKey, PoolKey, SecurityGroupId, SecurityGroupSet};

use crate::config::Access;

/// The pod annotation that names a pod's security groups, separated by commas.
const GROUPS_ANNOTATION: &str = "underlay.dev/security-groups";
/// The pod annotation that says whether the pod gets a whole ENI: `own`, or `shared`.
const ENI_ANNOTATION: &str = "underlay.dev/eni";

/// Which interface of which container on which network.
pub(super) fn lease_key(
    environment: &Environment,
    config: &NetworkConfig,
) -> Result<LeaseKey, CniError> {
    let (container, ifname) = environment.attachment.clone().ok_or_else(|| {
        let command = environment.command;
        let msg = format!("CNI_CONTAINERID: is required for {command}");
        CniError::new(ErrorCode::InvalidEnvironment, msg)
    })?;
    Ok(LeaseKey {
        network: config.name.clone(),
        container,
        ifname,
    })
}

/// Where the pod's address must come from: an ENI with the groups that it asks for, of its own if it
/// asks for that.
pub(super) fn pool_key(
    config: &NetworkConfig,
    groups_per_eni: usize,
    own_eni: Access,
) -> Result<PoolKey, CniError> {
    let mut pool = groups(config, groups_per_eni)?;
    if let Some(card) = config.network_card {
        pool = pool.on_card(card);
    }
    Ok(match eni_use(config, own_eni)? {
        EniUse::Shared => pool,
        EniUse::Whole => pool.whole(),
    })
}

/// Whether the pod gets a whole ENI: as the conflist says, which the node's owner wrote, else as the
/// pod's annotation says, if pods may ask for one. A wish that cannot be read never becomes another.
fn eni_use(config: &NetworkConfig, own_eni: Access) -> Result<EniUse, CniError> {
    let wrong = |source: &str, what: String| {
        CniError::new(ErrorCode::InvalidConfig, format!("{source}: {what}"))
    };
    let read = |source: &str, text: &str| match text {
        "own" => Ok(EniUse::Whole),
        "shared" => Ok(EniUse::Shared),
        other => Err(wrong(
            source,
            format!("must be \"own\" or \"shared\", not {other:?}"),
        )),
    };
    if let Some(text) = &config.eni {
        return read(ENI, text);
    }
    let source = format!("annotation {ENI_ANNOTATION}");
    let annotation = config.annotations.get(ENI_ANNOTATION);
    match annotation
        .map(|text| read(&source, text.trim()))
        .transpose()?
    {
        Some(EniUse::Whole) if own_eni == Access::Deny => {
            let what = "pods may not ask for an ENI of their own on this node; own_eni = \"allow\" \
                        in [pods] lets them";
            Err(wrong(&source, what.to_owned()))
        }
        wish => Ok(wish.unwrap_or_default()),
    }
}

/// The conflist's groups, else those of the pod's annotation, else the node's own. A set that cannot
/// be read never becomes another one.
fn groups(config: &NetworkConfig, groups_per_eni: usize) -> Result<PoolKey, CniError> {
    let (source, ids) = if let Some(ids) = &config.security_groups {
        (
            SECURITY_GROUPS.to_owned(),
            ids.iter().map(String::as_str).collect(),
        )
    } else if let Some(text) = config.annotations.get(GROUPS_ANNOTATION) {
        (format!("annotation {GROUPS_ANNOTATION}"), annotated(text))
    } else {
        return Ok(PoolKey::default_pool());
    };
    let wrong = |what: String| CniError::new(ErrorCode::InvalidConfig, format!("{source}: {what}"));
    let ids: Vec<_> = ids
        .into_iter()
        .map(str::parse::<SecurityGroupId>)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    SecurityGroupSet::new(ids, groups_per_eni)
        .map(PoolKey::exactly)
        .map_err(|error| wrong(error.to_string()))
}

fn annotated(text: &str) -> Vec<&str> {
    text.split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .collect()
}

/// Who the pod is, where the runtime says so.
pub(super) fn kubernetes_pod(environment: &Environment) -> Result<Option<KubernetesPod>, CniError> {
    let args = CniArgs::parse(&environment.args)
        .map_err(|error| CniError::new(ErrorCode::InvalidEnvironment, error.to_string()))?;
    let names = args
        .value("K8S_POD_NAMESPACE")
        .zip(args.value("K8S_POD_NAME"));
    Ok(names.map(|(namespace, name)| KubernetesPod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: args.value("K8S_POD_UID").map(str::to_owned),
    }))
}

#[cfg(test)]
mod tests {
    use underlay_cni_spec::{Command, Variables};

    use super::*;

    const ANNOTATED: &str =
        r#""runtimeConfig":{"io.kubernetes.cri.pod-annotations":{"underlay.dev/security-groups":"#;

    fn pool(rest: &str) -> Result<String, String> {
        pool_where(rest, Access::Allow)
    }

    fn pool_where(rest: &str, own_eni: Access) -> Result<String, String> {
        let stdin = format!(r#"{{"cniVersion":"1.0.0","name":"n"{rest}}}"#);
        let config = NetworkConfig::parse(Command::Add, &stdin).unwrap();
        pool_key(&config, 2, own_eni)
            .map(|pool| pool.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_conflist_goes_before_the_annotation_and_neither_is_the_default() {
        let annotation = format!(r#",{ANNOTATED}" sg-0000000b, sg-0000000a,"}}}}"#);
        assert_eq!(pool("").unwrap(), "default");
        assert_eq!(pool(&annotation).unwrap(), "sg-0000000a,sg-0000000b");
        let both = format!(r#","securityGroups":["sg-0000000c"]{annotation}"#);
        assert_eq!(pool(&both).unwrap(), "sg-0000000c");
    }

    #[test]
    fn a_set_that_cannot_be_read_is_code_7_and_never_the_default() {
        let annotation = |text: &str| format!(r#",{ANNOTATED}"{text}"}}}}"#);
        for (rest, error) in [
            (
                annotation("web"),
                "code 7: annotation underlay.dev/security-groups: \"web\" is not an id of the form \
                 sg-<8 or 17 lower-case hex digits>",
            ),
            (
                annotation(" , "),
                "code 7: annotation underlay.dev/security-groups: a security-group set needs at \
                 least one group",
            ),
            (
                r#","securityGroups":[]"#.to_owned(),
                "code 7: securityGroups: a security-group set needs at least one group",
            ),
            (
                r#","securityGroups":["sg-0000000a","sg-0000000b","sg-0000000c"]"#.to_owned(),
                "code 7: securityGroups: 3 security groups, but an ENI carries at most 2",
            ),
        ] {
            assert_eq!(pool(&rest).unwrap_err(), error);
        }
    }

    #[test]
    fn a_whole_eni_is_asked_for_by_the_conflist_or_where_allowed_by_annotation() {
        let annotated = |text: &str| {
            format!(
                r#","runtimeConfig":{{"io.kubernetes.cri.pod-annotations":{{"underlay.dev/eni":"{text}","underlay.dev/security-groups":"sg-0000000b"}}}}"#
            )
        };
        let pool = |rest: &str, own_eni| pool_where(rest, own_eni);
        let own = annotated("own");
        assert_eq!(pool(&own, Access::Allow).unwrap(), "whole/sg-0000000b");
        assert_eq!(
            pool(&own, Access::Deny).unwrap_err(),
            "code 7: annotation underlay.dev/eni: pods may not ask for an ENI of their own on this \
             node; own_eni = \"allow\" in [pods] lets them"
        );
        let shared = annotated("shared");
        assert_eq!(pool(&shared, Access::Deny).unwrap(), "sg-0000000b");
        let conflist = r#","eni":"own""#;
        assert_eq!(pool(conflist, Access::Deny).unwrap(), "whole/default");
        let pinned = format!(r#","eni":"shared"{own}"#);
        assert_eq!(pool(&pinned, Access::Deny).unwrap(), "sg-0000000b");
        assert_eq!(
            pool(&annotated("mine"), Access::Allow).unwrap_err(),
            "code 7: annotation underlay.dev/eni: must be \"own\" or \"shared\", not \"mine\""
        );
        assert_eq!(
            pool(r#","eni":"""#, Access::Allow).unwrap_err(),
            "code 7: eni: must be \"own\" or \"shared\", not \"\""
        );
    }

    #[test]
    fn a_network_may_be_pinned_to_a_card() {
        let pinned = r#","networkCard":3"#;
        assert_eq!(pool(pinned).unwrap(), "card3/default");
        let all = r#","networkCard":0,"eni":"own","securityGroups":["sg-0000000c"]"#;
        assert_eq!(pool(all).unwrap(), "whole/card0/sg-0000000c");
    }

    #[test]
    fn the_pod_is_known_by_namespace_and_name() {
        let pod = |args: &str| {
            let variables: Variables = [("CNI_ARGS".to_owned(), args.to_owned())].into();
            kubernetes_pod(&Environment::parse(Command::Status, &variables).unwrap())
        };
        let known = pod("K8S_POD_NAME=web-0;IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_UID=u");
        assert_eq!(
            known.unwrap(),
            Some(KubernetesPod {
                namespace: "shop".into(),
                name: "web-0".into(),
                uid: Some("u".into())
            })
        );
        assert_eq!(pod("").unwrap(), None);
        assert_eq!(
            pod("web").unwrap_err().to_string(),
            "code 4: CNI_ARGS: \"web\" is not of the form KEY=VALUE"
        );
    }
}
