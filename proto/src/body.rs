//! The encoded content of a resource.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::resource_type::ResourceType;
use crate::version::content_hash;
use crate::wire::{content_of, field_len, put_field, put_header};

/// An encoded `google.protobuf.Any` that holds a resource. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Body(Form);

#[derive(Clone, Debug)]
enum Form {
    Whole(Bytes),
    /// A route configuration, made of parts that others have too: the virtual hosts, which the consumers of a virtual service
    /// share. It is put together when it is sent.
    Parted(Arc<Parted>),
}

#[derive(Clone, Debug)]
struct Parted {
    /// What stands before the parts in the message, and its hash.
    start: Arc<[u8]>,
    start_hash: u64,
    parts: Vec<Part>,
    /// How many bytes the message has.
    len: usize,
}

/// A virtual host, encoded as a field of a route configuration. Its hash is made once, for all resources that it is in. Cloning
/// shares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Of the content. Compared first, since most parts differ by it.
    hash: u64,
    /// The field with its number and length. It has bytes of its own, beside those of other parts: every resource that it is
    /// in is put together of many of them, and what each was made of may have come in a large message.
    field: Arc<[u8]>,
}

impl Part {
    /// An encoded `envoy.config.route.v3.VirtualHost`.
    pub fn virtual_host(content: &[u8]) -> Self {
        let mut field = Vec::with_capacity(field_len(VIRTUAL_HOSTS, content.len()));
        put_field(&mut field, VIRTUAL_HOSTS, content);
        Self { hash: content_hash(content), field: field.into() }
    }

    /// The encoded `envoy.config.route.v3.VirtualHost`.
    pub fn content(&self) -> &[u8] {
        content_of(&self.field)
    }
}

/// Room for the hashes of a start and 31 parts.
const HASHES: usize = 32;

/// Field number of `envoy.config.route.v3.RouteConfiguration`: all that is known here of what is in resources.
const VIRTUAL_HOSTS: u32 = 2;

/// Field numbers of `google.protobuf.Any`.
mod any {
    pub(super) const TYPE_URL: u32 = 1;
    pub(super) const VALUE: u32 = 2;
}

impl Body {
    /// An `envoy.config.route.v3.RouteConfiguration` that begins with `start`, encoded, and goes on with these virtual hosts.
    pub fn route_configuration(start: &[u8], virtual_hosts: Vec<Part>) -> Self {
        let len = start.len() + virtual_hosts.iter().map(|part| part.field.len()).sum::<usize>();
        let start_hash = content_hash(start);
        Self(Form::Parted(Arc::new(Parted { start: start.into(), start_hash, parts: virtual_hosts, len })))
    }

    /// The same with `now` in the place of the part `before`. `None` unless that stands in it once.
    pub fn with_part(&self, before: &Part, now: Part) -> Option<Self> {
        let Form::Parted(parted) = &self.0 else {
            return None;
        };
        let mut places = parted.parts.iter().enumerate().filter(|(_, part)| *part == before);
        let (Some((place, _)), None) = (places.next(), places.next()) else {
            return None;
        };
        let mut parted = Parted::clone(parted);
        parted.len = parted.len - before.field.len() + now.field.len();
        parted.parts[place] = now;
        Some(Self(Form::Parted(Arc::new(parted))))
    }

    /// The hash that decides whether two contents are equal: XXH3-64, of the bytes, or of the hashes of the parts.
    pub fn hash(&self) -> u64 {
        match &self.0 {
            Form::Whole(bytes) => content_hash(bytes),
            Form::Parted(parted) => {
                let mut hashes = SmallVec::<[[u8; size_of::<u64>()]; HASHES]>::new();
                hashes.push(parted.start_hash.to_le_bytes());
                hashes.extend(parted.parts.iter().map(|part| part.hash.to_le_bytes()));
                content_hash(hashes.as_flattened())
            }
        }
    }

    /// How many bytes it has.
    #[expect(clippy::len_without_is_empty, reason = "it holds a type URL at least")]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Whole(bytes) => bytes.len(),
            Form::Parted(parted) => {
                field_len(any::TYPE_URL, ResourceType::RouteConfiguration.type_url().len())
                    + field_len(any::VALUE, parted.len)
            }
        }
    }

    /// Appends the bytes.
    pub fn put_into(&self, buffer: &mut Vec<u8>) {
        match &self.0 {
            Form::Whole(bytes) => buffer.extend_from_slice(bytes),
            Form::Parted(parted) => {
                put_field(buffer, any::TYPE_URL, ResourceType::RouteConfiguration.type_url().as_bytes());
                put_header(buffer, any::VALUE, parted.len);
                buffer.extend_from_slice(&parted.start);
                for part in &parted.parts {
                    buffer.extend_from_slice(&part.field);
                }
            }
        }
    }

    /// The bytes; a copy, where they are in parts.
    pub fn to_bytes(&self) -> Bytes {
        match &self.0 {
            Form::Whole(bytes) => bytes.clone(),
            Form::Parted(_) => {
                let mut buffer = Vec::with_capacity(self.len());
                self.put_into(&mut buffer);
                buffer.into()
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Form::Whole(bytes))
    }
}

/// By the bytes, in whatever parts they are.
impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl Eq for Body {}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
    use envoy_types::pb::google::protobuf::Any;
    use prost::Message;

    use super::*;

    fn virtual_host(name: &str) -> VirtualHost {
        VirtualHost { name: name.to_owned(), ..Default::default() }
    }

    fn part(name: &str) -> Part {
        Part::virtual_host(&virtual_host(name).encode_to_vec())
    }

    fn routes(name: &str, virtual_hosts: &[&str]) -> Body {
        let start = RouteConfiguration { name: name.to_owned(), ..Default::default() }.encode_to_vec();
        let parts = virtual_hosts.iter().map(|name| part(name)).collect();
        Body::route_configuration(&start, parts)
    }

    /// The same message, encoded at once.
    fn whole(name: &str, virtual_hosts: &[&str]) -> Body {
        let virtual_hosts = virtual_hosts.iter().map(|name| virtual_host(name)).collect();
        let message = RouteConfiguration { name: name.to_owned(), virtual_hosts, ..Default::default() };
        let type_url = ResourceType::RouteConfiguration.type_url().to_owned();
        Bytes::from(Any { type_url, value: message.encode_to_vec() }.encode_to_vec()).into()
    }

    #[test]
    fn parts_are_put_together_as_the_message_is_encoded() {
        let long = "x".repeat(300);
        for virtual_hosts in [&[][..], &["a"], &["a", "b", "a"], &[&long, "b", &long]] {
            let (body, expected) = (routes("r", virtual_hosts), whole("r", virtual_hosts));
            assert_eq!(body.to_bytes(), expected.to_bytes());
            assert_eq!(body, expected);
            assert_eq!(body.len(), expected.len());
            assert_eq!(body.len(), body.to_bytes().len());
        }
    }

    #[test]
    fn a_part_has_the_content_that_it_was_made_of() {
        for content in [vec![], virtual_host("a").encode_to_vec(), vec![0x80; 300], vec![1; 20_000]] {
            assert_eq!(Part::virtual_host(&content).content(), content);
        }
    }

    #[test]
    fn a_part_is_replaced_where_it_stands_once() {
        let body = routes("r", &["a", "b", "c", "c"]);
        let replaced = body.with_part(&part("b"), part("longer")).expect("it stands in it once");
        assert_eq!(replaced, whole("r", &["a", "longer", "c", "c"]));
        assert_eq!(replaced.len(), replaced.to_bytes().len());
        assert_eq!(replaced.hash(), routes("r", &["a", "longer", "c", "c"]).hash());
        assert_eq!(body, whole("r", &["a", "b", "c", "c"]), "that before stays");
        for (before, what) in [("c", "twice"), ("x", "not at all")] {
            assert!(body.with_part(&part(before), part("y")).is_none(), "{what}");
        }
        assert!(whole("r", &["a"]).with_part(&part("a"), part("b")).is_none(), "it has no parts");
    }

    #[test]
    fn the_hash_differs_by_start_by_part_and_by_order() {
        let hash = routes("r", &["a", "b"]).hash();
        assert_eq!(hash, routes("r", &["a", "b"]).hash());
        for other in
            [routes("s", &["a", "b"]), routes("r", &["a"]), routes("r", &["b", "a"]), routes("r", &["ab"])]
        {
            assert_ne!(hash, other.hash());
        }
    }
}
