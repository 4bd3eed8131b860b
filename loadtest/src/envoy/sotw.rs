//! The state of the world form: `DiscoveryRequest` and `DiscoveryResponse`.

use legation_proto::resource_type::ResourceType;

use super::holdings::{Holdings, Resource, name_of, unwrapped};
use super::requests::Requests;
use super::{ASKED_FOR, Learned, Verdict, error_detail};
use crate::wire::Violation;
use crate::wire::protobuf::{Value, fields, put_bytes};

/// Fields of the request.
mod request {
    pub(super) const VERSION_INFO: u64 = 1;
    pub(super) const NODE: u64 = 2;
    pub(super) const NAMES: u64 = 3;
    pub(super) const TYPE_URL: u64 = 4;
    pub(super) const NONCE: u64 = 5;
    pub(super) const ERROR_DETAIL: u64 = 6;
}

/// Fields of the response.
mod response {
    pub(super) const VERSION_INFO: u64 = 1;
    pub(super) const RESOURCES: u64 = 2;
    pub(super) const TYPE_URL: u64 = 4;
    pub(super) const NONCE: u64 = 5;
}

/// What has to be told again with each request, by type.
#[derive(Debug, Default)]
pub(super) struct Sotw {
    types: [Told; ResourceType::COUNT],
}

#[derive(Debug, Default)]
struct Told {
    /// Of the last response that was accepted, on whatever stream.
    version: Vec<u8>,
    /// Of the last response on this stream.
    nonce: Vec<u8>,
}

impl Sotw {
    pub(super) fn open(&mut self, holdings: &Holdings, node: &[u8], requests: &mut Requests) {
        for told in &mut self.types {
            told.nonce.clear();
        }
        for resource_type in ASKED_FOR.into_iter().filter(|&asked| holdings.is_asked_for(asked)) {
            let is_first = requests.is_empty();
            requests.add(|out| {
                if is_first {
                    put_bytes(out, request::NODE, node);
                }
                self.put_request(out, holdings, resource_type);
            });
        }
    }

    pub(super) fn receive(
        &mut self,
        holdings: &mut Holdings,
        message: &[u8],
        verdict: Verdict,
        requests: &mut Requests,
    ) -> Result<Learned, Violation> {
        let (mut version, mut type_url, mut nonce): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
        let mut resources = 0;
        for field in fields(message) {
            match field? {
                (response::VERSION_INFO, Value::Bytes(content)) => version = content,
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
        let told = &mut self.types[resource_type.index()];
        replace(&mut told.nonce, nonce);
        if verdict == Verdict::Reject {
            requests.add(|out| {
                self.put_request(out, holdings, resource_type);
                put_bytes(out, request::ERROR_DETAIL, &error_detail());
            });
            return Ok(learned);
        }
        replace(&mut told.version, version);
        holdings.begin(resource_type);
        for field in fields(message) {
            if let (response::RESOURCES, Value::Bytes(any)) = field? {
                let content = unwrapped(any)?;
                let resource = Resource { name: name_of(content)?, version, content };
                learned.news |= holdings.take(resource_type, resource, false)?;
            }
        }
        if resource_type.is_full_state() {
            learned.news |= holdings.retain_taken(resource_type);
        }
        requests.add(|out| self.put_request(out, holdings, resource_type));
        if let Some((referred_to, _)) = holdings.resubscribe(resource_type) {
            requests.add(|out| self.put_request(out, holdings, referred_to));
        }
        Ok(learned)
    }

    fn put_request(&self, out: &mut Vec<u8>, holdings: &Holdings, resource_type: ResourceType) {
        let told = &self.types[resource_type.index()];
        if !told.version.is_empty() {
            put_bytes(out, request::VERSION_INFO, &told.version);
        }
        for name in holdings.names(resource_type) {
            put_bytes(out, request::NAMES, name);
        }
        put_bytes(out, request::TYPE_URL, resource_type.type_url().as_bytes());
        if !told.nonce.is_empty() {
            put_bytes(out, request::NONCE, &told.nonce);
        }
    }
}

fn replace(kept: &mut Vec<u8>, content: &[u8]) {
    kept.clear();
    kept.extend_from_slice(content);
}
