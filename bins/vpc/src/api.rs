//! The EC2 Query API: a request becomes a call, a call runs on the model, an answer becomes XML.
//!
//! Amazon EC2 API Reference, "Query requests". Nothing here knows of sockets.

mod actions;
mod auth;
mod call;
mod catalogue;
mod credentials;
mod describe;
mod elastic_addresses;
mod eni_filters;
mod eni_permissions;
mod eni_request;
mod eni_v6;
mod enis;
mod filter;
mod flow_log_destination;
mod flow_logs;
mod group_filters;
mod group_peers;
mod groups;
mod ids;
mod images;
mod instance_attributes;
mod instance_filters;
mod instance_types;
mod instances;
mod instant;
mod internet_gateways;
mod keys;
mod launch;
mod metadata_options;
mod nat_gateways;
mod network_acls;
mod page;
mod params;
mod peerings;
mod power;
mod prefix_lists;
mod request;
mod reservations;
mod route_tables;
mod routes;
mod rule_changes;
mod rules;
mod shape;
mod sts;
mod subnet_cidrs;
mod subnets;
mod tags;
mod trunks;
mod vpc_cidrs;
mod vpcs;
mod xml;

use underlay_types::Timestamp;
use underlay_vpc_model::{CallFacts, Ec2Error, ErrorCode, Model};

pub use credentials::{Credentials, HeldKey, KeyPair, RoleKey};
pub use request::{ApiRequest, ApiResponse};
pub(crate) use shape::halved;

use self::{
    call::{Call, Context},
    params::Params,
    shape::Shape,
    xml::Xml,
};

/// The namespace of EC2's answers.
const EC2_NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// When a request is read.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// By the VPC's clock, which credentials end by.
    pub vpc: Timestamp,
    /// By the machine's, which callers sign by.
    pub wall: Timestamp,
}

/// A request that has been read: who calls, and what for.
pub struct Prepared {
    call: Call,
    context: Context,
    form: String,
    namespace: &'static str,
    broad: bool,
    shape: Shape,
}

impl Prepared {
    /// The action.
    pub fn action(&self) -> &str {
        &self.context.action
    }

    /// Whether it may change the model.
    pub fn may_change(&self) -> bool {
        let reads = ["Describe", "Get"];
        !reads.iter().any(|verb| self.action().starts_with(verb))
    }

    /// Who calls, and with which parameters: enough to prepare it again.
    pub(crate) fn input(&self) -> (String, String) {
        (self.context.caller.clone(), self.form.clone())
    }

    /// What its admission goes by.
    pub fn facts(&self) -> CallFacts<'_> {
        CallFacts {
            action: self.action(),
            broad: self.broad,
            resources: self.shape.resources,
            names: &self.shape.names,
            divisible: self.shape.divisible && self.may_change(),
        }
    }

    /// Whether its refusal names only the first of several unknown ids.
    pub(crate) const fn name_one_missing(&mut self, one: bool) {
        self.context.one_missing = one;
    }

    /// Runs the call at `now`.
    ///
    /// # Errors
    /// The model's refusal.
    pub fn run(
        mut self,
        model: &mut Model,
        request_id: &str,
        now: Timestamp,
    ) -> Result<ApiResponse, Ec2Error> {
        self.context.now = now;
        let body = self.call.run(model, &self.context)?;
        let mut xml = Xml::default();
        let Context { action, .. } = &self.context;
        xml.tree(
            &format!("{action}Response xmlns=\"{}\"", self.namespace),
            |xml| {
                if self.namespace == EC2_NAMESPACE {
                    xml.leaf("requestId", request_id);
                    xml.append(&body);
                } else {
                    xml.tree(&format!("{action}Result"), |xml| xml.append(&body));
                    xml.tree("ResponseMetadata", |xml| xml.leaf("RequestId", request_id));
                }
            },
        );
        Ok(ApiResponse {
            status: 200,
            body: with_declaration(xml),
        })
    }
}

/// Reads a request: its signature, its action and all its parameters.
///
/// # Errors
/// `AuthFailure`, `IncompleteSignature` and `SignatureDoesNotMatch`; `MissingAction` and
/// `InvalidAction`; those of parameters; `DryRunOperation` when the caller only wants to know whether he may.
pub fn prepare(
    request: &ApiRequest,
    credentials: &Credentials,
    require_auth: bool,
    model_account: &str,
    at: Moment,
) -> Result<Prepared, Ec2Error> {
    let access_key = auth::authenticate(request, credentials, require_auth, at)?;
    let form = form_of(request)?;
    let root = || format!("arn:aws:iam::{model_account}:root");
    let caller = credentials.role_arn(&access_key).unwrap_or_else(root);
    read(form, caller, at.vpc)
}

/// A call as it was when [`Prepared::input`] told of it; `None` if there is no such call.
pub(crate) fn prepare_again(form: &str, caller: &str, now: Timestamp) -> Option<Prepared> {
    read(form.as_bytes(), caller.to_owned(), now).ok()
}

fn form_of(request: &ApiRequest) -> Result<&[u8], Ec2Error> {
    Ok(match request.method.as_str() {
        "GET" => request.query.as_bytes(),
        "POST" if request.body.is_empty() => request.query.as_bytes(),
        "POST" => &request.body,
        other => {
            let text = format!("The method {other} is not supported: use GET or POST");
            return Err(Ec2Error::new(ErrorCode::InvalidAction, text));
        }
    })
}

fn read(form: &[u8], caller: String, now: Timestamp) -> Result<Prepared, Ec2Error> {
    let mut params = Params::parse(form)?;
    let action = params
        .text("Action")
        .filter(|action| !action.is_empty())
        .ok_or_else(|| {
            let text = "The request is missing an action or a required parameter";
            Ec2Error::new(ErrorCode::MissingAction, text)
        })?;
    params.text("Version");
    let (namespace, read) = match (sts::named(&action), actions::named(&action)) {
        (Some(read), _) => (sts::NAMESPACE, read),
        (None, Some(read)) => (EC2_NAMESPACE, read),
        (None, None) => {
            let text = format!("The action {action} is not valid for this web service.");
            return Err(Ec2Error::new(ErrorCode::InvalidAction, text));
        }
    };
    // Whether to try only is no part of what is asked for.
    let dry_run = params.flag("DryRun")?.unwrap_or(false);
    let token = if actions::takes_token(&action) {
        let token = params.text("ClientToken").filter(|token| !token.is_empty());
        token.map(|token| (token, params.fingerprint()))
    } else {
        None
    };
    let broad = params.is_empty();
    let shape = params.shape(&action);
    let call = read(&mut params)?;
    params.finish()?;
    if dry_run {
        let text = "Request would have succeeded, but DryRun flag is set.";
        return Err(Ec2Error::new(ErrorCode::DryRunOperation, text));
    }
    Ok(Prepared {
        call,
        form: String::from_utf8_lossy(form).into_owned(),
        context: Context {
            now,
            action,
            token,
            caller,
            one_missing: true,
        },
        namespace,
        broad,
        shape,
    })
}

/// The action that a request names, if the API has it.
pub(crate) fn action_of(request: &ApiRequest) -> Option<String> {
    let form = if request.body.is_empty() {
        request.query.as_bytes()
    } else {
        &request.body
    };
    let (_, action) = form_urlencoded::parse(form).find(|(name, _)| name == "Action")?;
    has_action(&action).then(|| action.into_owned())
}

/// The names of all actions.
pub fn action_names() -> impl Iterator<Item = &'static str> {
    actions::names()
}

/// Whether the API has an action of this name.
pub(crate) fn has_action(name: &str) -> bool {
    sts::named(name).is_some() || actions::named(name).is_some()
}

/// The answer that says why a request is refused.
pub fn refusal(error: &Ec2Error, request_id: &str) -> ApiResponse {
    let mut xml = Xml::default();
    xml.tree("Response", |xml| {
        xml.tree("Errors", |xml| {
            xml.tree("Error", |xml| {
                xml.leaf("Code", error.code);
                xml.leaf("Message", &error.message);
            });
        });
        xml.leaf("RequestID", request_id);
    });
    ApiResponse {
        status: error.code.status(),
        body: with_declaration(xml),
    }
}

fn with_declaration(xml: Xml) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}",
        xml.into_string()
    )
}
