//! Composing after a change of the routes of one backend: of a sidecar's configuration its virtual hosts are replaced, and the
//! fragments of the other backends are not looked at.

use std::sync::Arc;

use bytes::Bytes;
use legation_actors::composition::{Change, Client, Composed};
use legation_actors::snapshot::{ResourceSet, Snapshot};
use legation_proto::fragment::{EgressMode, NodeFragment, Routing, ServiceFragment};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::{Transaction, Version};
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint};

use crate::transformer::names;

/// What comes of `before` with the `change`, where that is of nothing but routes.
pub(super) fn recompose(
    client: Client,
    node: &NodeFragment,
    before: &Composed,
    change: &Change<'_>,
) -> Option<Composed> {
    let Change { from, to } = *change;
    let is_sidecar = client == Client::Envoy && node.egress.mode == EgressMode::Intercepted;
    // the newest definition of all is that of the backend now
    let transaction = to.transaction;
    if !is_sidecar || transaction < before.snapshot.transaction() || !differ_by_routes_only(from, to) {
        return None;
    }
    let mut sets = ResourceType::ALL.map(|resource_type| Arc::clone(before.snapshot.set(resource_type)));
    let route_configurations = &mut sets[ResourceType::RouteConfiguration.index()];
    let mut resources = route_configurations.resources().to_vec();
    for (from, to) in from.ports.iter().zip(&to.ports) {
        if let (Routing::VirtualHost(of_before), Routing::VirtualHost(now)) = (&from.routing, &to.routing) {
            let name = names::egress_route_configuration(from.port);
            let routes = resources.iter_mut().find(|resource| *resource.name == *name)?;
            *routes = with_virtual_host(routes, of_before, now, transaction)?;
        }
    }
    *route_configurations = Arc::new(ResourceSet::new(resources));
    let snapshot = Arc::new(Snapshot::at(transaction, sets));
    Some(Composed { snapshot, problems: Arc::clone(&before.problems) })
}

/// Whether the two have the same at the same ports, but for where requests are routed. One without ports is not known by them.
fn differ_by_routes_only(a: &ServiceFragment, b: &ServiceFragment) -> bool {
    !a.ports.is_empty()
        && a.ports.len() == b.ports.len()
        && a.ports.iter().zip(&b.ports).all(|(a, b)| {
            a.port == b.port
                && match (&a.routing, &b.routing) {
                    (Routing::VirtualHost(_), Routing::VirtualHost(_)) => true,
                    (a, b) => a == b,
                }
        })
        && are_the_same(&a.clusters, &b.clusters)
        && are_the_same(&a.endpoints, &b.endpoints)
}

/// Whether these are the same resources, to the last digit of their versions.
fn are_the_same(a: &[Resource], b: &[Resource]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            a.version == b.version && a.version.transaction == b.version.transaction && a.name == b.name
        })
}

/// The route configuration with the virtual host `now` in the place of `before`. `None` unless that stands in it once: its
/// backend may have been left out.
fn with_virtual_host(
    routes: &Resource,
    before: &Bytes,
    now: &Bytes,
    transaction: Transaction,
) -> Option<Resource> {
    // an `Any`: a type URL, and as its value the route configuration, which is a name, then virtual hosts
    let mut any = &*routes.body;
    let (type_url, value) = (take_field(&mut any)?, take_field(&mut any)?);
    let mut rest = value;
    take_field(&mut rest)?;
    let mut replaced = None;
    while !rest.is_empty() {
        let start = value.len() - rest.len();
        if take_field(&mut rest)? == before && replaced.replace(start..value.len() - rest.len()).is_some() {
            return None;
        }
    }
    let replaced = replaced?;
    let value_len = value.len() - replaced.len() + field_len(now.len());
    let mut body = Vec::with_capacity(field_len(type_url.len()) + field_len(value_len));
    put_header(&mut body, TYPE_URL, type_url.len());
    body.extend_from_slice(type_url);
    put_header(&mut body, VALUE, value_len);
    body.extend_from_slice(&value[..replaced.start]);
    put_header(&mut body, VIRTUAL_HOSTS, now.len());
    body.extend_from_slice(now);
    body.extend_from_slice(&value[replaced.end..]);
    let version = Version::of(transaction, &body);
    Some(Resource { name: Arc::clone(&routes.name), version, body: body.into() })
}

/// Field numbers of `google.protobuf.Any` and of `envoy.config.route.v3.RouteConfiguration`.
const TYPE_URL: u32 = 1;
const VALUE: u32 = 2;
const VIRTUAL_HOSTS: u32 = 2;

/// Takes the first field of an encoded message, and gives its content.
fn take_field<'a>(message: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (_, WireType::LengthDelimited) = decode_key(message).ok()? else {
        return None;
    };
    let length = usize::try_from(decode_varint(message).ok()?).ok()?;
    message.split_off(..length)
}

/// The length of a field with a number below 16 and a content of this length.
fn field_len(content: usize) -> usize {
    1 + encoded_len_varint(content as u64) + content
}

fn put_header(message: &mut Vec<u8>, field: u32, content: usize) {
    encode_key(field, WireType::LengthDelimited, message);
    encode_varint(content as u64, message);
}
