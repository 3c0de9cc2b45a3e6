//! A question and its answer, as bytes.

use std::net::IpAddr;

use simple_dns::{
    CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, SimpleDnsError,
    TYPE,
    rdata::{A, AAAA, PTR, RData},
};
use underlay_vpc_model::Resolution;

/// How long an answer may be kept, in seconds: what the Amazon resolver gives its private names.
const TTL: u32 = 60;

/// What to do about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Send this.
    Answer(Vec<u8>),
    /// Ask somebody else, with the message as it came; on failure send this.
    Forward {
        /// The answer that says that nobody could be asked.
        failure: Vec<u8>,
    },
    /// Say nothing.
    Silence,
}

/// Reads a message and asks `resolve` what its name stands for.
pub(super) fn react(message: &[u8], resolve: impl FnOnce(&str) -> Resolution) -> Reaction {
    match try_react(message, resolve) {
        Ok(reaction) => reaction,
        Err(error) => {
            tracing::debug!(%error, "a DNS message that is not one");
            malformed(message)
        }
    }
}

fn try_react(
    message: &[u8],
    resolve: impl FnOnce(&str) -> Resolution,
) -> Result<Reaction, SimpleDnsError> {
    let query = Packet::parse(message)?;
    if query.has_flags(PacketFlag::RESPONSE) {
        return Ok(Reaction::Silence);
    }
    let opcode = query.opcode();
    let [question] = query.questions.as_slice() else {
        return Ok(Reaction::Answer(reply(&query, RCODE::FormatError)?));
    };
    let is_internet = matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY);
    if opcode != OPCODE::StandardQuery || !is_internet {
        return Ok(Reaction::Answer(reply(&query, RCODE::NotImplemented)?));
    }
    let name = question.qname.clone();
    Ok(match resolve(&name.to_string()) {
        Resolution::Addresses(addresses) => {
            let records = records(&name, question.qtype, &addresses);
            Reaction::Answer(reply_with(&query, RCODE::NoError, records)?)
        }
        Resolution::Name(target) => {
            let wanted = wants(question.qtype, TYPE::PTR);
            let target = PTR(Name::new(&target)?.into_owned());
            let record = ResourceRecord::new(name, CLASS::IN, TTL, RData::PTR(target));
            let records = wanted.then_some(record).into_iter().collect();
            Reaction::Answer(reply_with(&query, RCODE::NoError, records)?)
        }
        Resolution::NoSuchName => Reaction::Answer(reply(&query, RCODE::NameError)?),
        Resolution::Elsewhere => Reaction::Forward {
            failure: reply(&query, RCODE::ServerFailure)?,
        },
        Resolution::Off => Reaction::Silence,
    })
}

fn records<'a>(name: &Name<'a>, wanted: QTYPE, addresses: &[IpAddr]) -> Vec<ResourceRecord<'a>> {
    let record = |data| ResourceRecord::new(name.clone(), CLASS::IN, TTL, data);
    let of = |address: &IpAddr| match *address {
        IpAddr::V4(address) if wants(wanted, TYPE::A) => Some(RData::A(A::from(address))),
        IpAddr::V6(address) if wants(wanted, TYPE::AAAA) => Some(RData::AAAA(AAAA::from(address))),
        _ => None,
    };
    addresses.iter().filter_map(of).map(record).collect()
}

fn wants(wanted: QTYPE, kind: TYPE) -> bool {
    wanted == QTYPE::ANY || wanted == QTYPE::TYPE(kind)
}

fn reply(query: &Packet<'_>, code: RCODE) -> Result<Vec<u8>, SimpleDnsError> {
    reply_with(query, code, Vec::new())
}

fn reply_with(
    query: &Packet<'_>,
    code: RCODE,
    answers: Vec<ResourceRecord<'_>>,
) -> Result<Vec<u8>, SimpleDnsError> {
    let mut reply = Packet::new_reply(query.id());
    *reply.opcode_mut() = query.opcode();
    *reply.rcode_mut() = code;
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    reply.questions.clone_from(&query.questions);
    reply.answers = answers;
    reply.build_bytes_vec_compressed()
}

/// FORMERR to a question that cannot be read, if it has an id to answer to.
fn malformed(message: &[u8]) -> Reaction {
    let [high, low, flags, ..] = message else {
        return Reaction::Silence;
    };
    if flags & 0x80 != 0 {
        return Reaction::Silence;
    }
    let mut reply = Packet::new_reply(u16::from_be_bytes([*high, *low]));
    *reply.rcode_mut() = RCODE::FormatError;
    reply
        .build_bytes_vec()
        .map_or(Reaction::Silence, Reaction::Answer)
}

#[cfg(test)]
mod tests;
