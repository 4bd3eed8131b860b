//! The incremental form: `DeltaDiscoveryRequest` and `DeltaDiscoveryResponse`.

use legation_proto::resource_type::ResourceType;

use super::holdings::{Holdings, Resource, unwrapped};
use super::requests::Requests;
use super::{ASKED_FOR, Learned, Verdict, error_detail};
use crate::wire::Violation;
use crate::wire::protobuf::{Value, fields, put_bytes};

/// Fields of the request.
mod request {
    pub(super) const NODE: u64 = 1;
    pub(super) const TYPE_URL: u64 = 2;
    pub(super) const SUBSCRIBE: u64 = 3;
    pub(super) const UNSUBSCRIBE: u64 = 4;
    pub(super) const INITIAL_RESOURCE_VERSIONS: u64 = 5;
    pub(super) const NONCE: u64 = 6;
    pub(super) const ERROR_DETAIL: u64 = 7;
}

/// Fields of the response.
mod response {
    pub(super) const RESOURCES: u64 = 2;
    pub(super) const TYPE_URL: u64 = 4;
    pub(super) const NONCE: u64 = 5;
    pub(super) const REMOVED: u64 = 6;
}

pub(super) fn open(holdings: &Holdings, node: &[u8], requests: &mut Requests) {
    for resource_type in ASKED_FOR.into_iter().filter(|&asked| holdings.is_asked_for(asked)) {
        let is_first = requests.is_empty();
        requests.add(|out| {
            if is_first {
                put_bytes(out, request::NODE, node);
            }
            put_bytes(out, request::TYPE_URL, resource_type.type_url().as_bytes());
            for name in holdings.names(resource_type) {
                put_bytes(out, request::SUBSCRIBE, name);
            }
            let mut entry = Vec::new();
            for (name, version) in holdings.versions(resource_type) {
                entry.clear();
                put_bytes(&mut entry, 1, name);
                put_bytes(&mut entry, 2, version);
                put_bytes(out, request::INITIAL_RESOURCE_VERSIONS, &entry);
            }
        });
    }
}

pub(super) fn receive(
    holdings: &mut Holdings,
    message: &[u8],
    verdict: Verdict,
    requests: &mut Requests,
) -> Result<Learned, Violation> {
    let (mut type_url, mut nonce, mut resources): (&[u8], &[u8], u64) = (&[], &[], 0);
    for field in fields(message) {
        match field? {
            (response::RESOURCES, _) => resources += 1,
            (response::TYPE_URL, Value::Bytes(content)) => type_url = content,
            (response::NONCE, Value::Bytes(content)) => nonce = content,
            _ => {}
        }
    }
    let resource_type = std::str::from_utf8(type_url).ok().and_then(ResourceType::from_type_url);
    let Some(resource_type) = resource_type else {
        return Ok(Learned { resource_type, resources, news: false });
    };
    let mut learned = Learned { resource_type: Some(resource_type), resources, news: false };
    if verdict == Verdict::Reject {
        requests.add(|out| {
            put_bytes(out, request::TYPE_URL, type_url);
            put_bytes(out, request::NONCE, nonce);
            put_bytes(out, request::ERROR_DETAIL, &error_detail());
        });
        return Ok(learned);
    }
    holdings.begin(resource_type);
    for field in fields(message) {
        match field? {
            (response::RESOURCES, Value::Bytes(content)) => {
                let resource = resource(content)?;
                let version_tells = !resource.version.is_empty();
                learned.news |= holdings.take(resource_type, resource, version_tells)?;
            }
            (response::REMOVED, Value::Bytes(name)) => learned.news |= holdings.remove(resource_type, name),
            _ => {}
        }
    }
    requests.add(|out| {
        put_bytes(out, request::TYPE_URL, type_url);
        put_bytes(out, request::NONCE, nonce);
    });
    if let Some((referred_to, change)) = holdings.resubscribe(resource_type) {
        requests.add(|out| {
            put_bytes(out, request::TYPE_URL, referred_to.type_url().as_bytes());
            for name in &change.added {
                put_bytes(out, request::SUBSCRIBE, name);
            }
            for name in &change.removed {
                put_bytes(out, request::UNSUBSCRIBE, name);
            }
        });
    }
    Ok(learned)
}

fn resource(message: &[u8]) -> Result<Resource<'_>, Violation> {
    let mut resource = Resource { name: &[], version: &[], content: &[] };
    for field in fields(message) {
        match field? {
            (1, Value::Bytes(version)) => resource.version = version,
            (2, Value::Bytes(any)) => resource.content = unwrapped(any)?,
            (3, Value::Bytes(name)) => resource.name = name,
            _ => {}
        }
    }
    Ok(resource)
}
