//! The one action of the Security Token Service that programs ask to learn who they are.

use underlay_vpc_model::Ec2Error;

use super::{actions::Read, call::Call, params::Params, xml::Xml};

/// The namespace of the service's answers.
pub(super) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// How to read the parameters of an action of the service.
pub(super) fn named(action: &str) -> Option<Read> {
    (action == "GetCallerIdentity").then_some(caller_identity as Read)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is one of the table of actions"
)]
fn caller_identity(_: &mut Params) -> Result<Call, Ec2Error> {
    Ok(Call::new(|model, context| {
        let mut xml = Xml::default();
        xml.leaf("Arn", &context.caller);
        xml.leaf(
            "UserId",
            context.caller.rsplit('/').next().unwrap_or_default(),
        );
        xml.leaf("Account", &model.config().account);
        Ok(xml)
    }))
}
