//! Envoy's messages as JSON, as Envoy's `config_dump` shows them: the names of the fields as in their definitions, every
//! `Any` as its `@type` and what is in it, nothing that is secret.

use std::collections::HashSet;
use std::sync::LazyLock;

use bytes::Bytes;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};
use prost_reflect::{
    DescriptorError, DescriptorPool, DynamicMessage, FieldDescriptor, ReflectMessage, SerializeOptions, Value,
};
use thiserror::Error;

/// The descriptors of the messages that are sent, of the version of envoy-types that is built in; see `build.rs`.
static DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/envoy.descriptors"));

/// Made when something is to be shown for the first time.
static SCHEMA: LazyLock<Result<Schema, DescriptorError>> = LazyLock::new(Schema::new);

/// The option of a field that is to be shown to nobody, and what Envoy shows in its place.
const SENSITIVE: &str = "udpa.annotations.sensitive";
const REDACTED: &str = "[redacted]";

/// The fields of an `Any`.
const TYPE_URL: u32 = 1;
const VALUE: u32 = 2;

/// Why a message cannot be shown.
#[derive(Debug, Error)]
pub enum JsonError {
    /// The descriptors that are built in cannot be used.
    #[error("the descriptors of Envoy's messages cannot be used: {0}")]
    Descriptors(&'static DescriptorError),
    /// It is of a type that no descriptor is built in of.
    #[error("no descriptor of {0:?} is built in")]
    UnknownType(String),
    /// It is not the message that it says it is.
    #[error("the message is malformed: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// Something in it is of an unknown type, or has no form in JSON.
    #[error("the message has no form in JSON: {0}")]
    Unshown(#[from] serde_json::Error),
}

/// The JSON of an encoded `google.protobuf.Any`.
pub fn of_any(any: Bytes) -> Result<serde_json::Value, JsonError> {
    let schema = SCHEMA.as_ref().map_err(JsonError::Descriptors)?;
    let any = Any::decode(any)?;
    let mut message = schema.decode(&any.type_url, &any.value)?;
    schema.redact(&mut message, false);
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut json = message.serialize_with_options(serde_json::value::Serializer, &options)?;
    if let Some(members) = json.as_object_mut() {
        members.insert("@type".to_owned(), any.type_url.into());
    }
    Ok(json)
}

/// What is known of Envoy's messages.
struct Schema {
    pool: DescriptorPool,
    /// The full names of the fields that hold secrets.
    sensitive: HashSet<String>,
}

impl Schema {
    fn new() -> Result<Self, DescriptorError> {
        let pool = DescriptorPool::decode(DESCRIPTORS)?;
        let option = pool.get_extension_by_name(SENSITIVE);
        let is_sensitive = |field: &FieldDescriptor| {
            let value = option.as_ref().map(|option| field.options().get_extension(option).as_bool());
            value.flatten().unwrap_or_default()
        };
        let sensitive = pool
            .all_messages()
            .flat_map(|message| message.fields().filter(is_sensitive).collect::<Vec<_>>())
            .map(|field| field.full_name().to_owned())
            .collect();
        Ok(Self { pool, sensitive })
    }

    /// Decodes what is in an `Any`.
    fn decode(&self, type_url: &str, value: &[u8]) -> Result<DynamicMessage, JsonError> {
        let name = type_url.rsplit('/').next().unwrap_or_default();
        let descriptor = self.pool.get_message_by_name(name);
        let descriptor = descriptor.ok_or_else(|| JsonError::UnknownType(type_url.to_owned()))?;
        Ok(DynamicMessage::decode(descriptor, value)?)
    }

    /// Hides what stands in sensitive fields, however deep.
    fn redact(&self, message: &mut DynamicMessage, is_sensitive: bool) {
        if message.descriptor().full_name() == Any::full_name() {
            return self.redact_any(message, is_sensitive);
        }
        for (field, value) in message.fields_mut() {
            self.redact_value(value, is_sensitive || self.sensitive.contains(field.full_name()));
        }
    }

    fn redact_any(&self, any: &mut DynamicMessage, is_sensitive: bool) {
        let type_url = any.get_field_by_number(TYPE_URL);
        let value = any.get_field_by_number(VALUE);
        let inner = match (type_url.as_deref(), value.as_deref()) {
            (Some(Value::String(type_url)), Some(Value::Bytes(value))) => self.decode(type_url, value),
            _ => return,
        };
        // one that cannot be decoded is not shown at all
        if let Ok(mut inner) = inner {
            self.redact(&mut inner, is_sensitive);
            any.set_field_by_number(VALUE, Value::Bytes(inner.encode_to_vec().into()));
        }
    }

    fn redact_value(&self, value: &mut Value, is_sensitive: bool) {
        match value {
            Value::Message(message) => self.redact(message, is_sensitive),
            Value::List(values) => values.iter_mut().for_each(|value| self.redact_value(value, is_sensitive)),
            Value::Map(values) => {
                values.values_mut().for_each(|value| self.redact_value(value, is_sensitive));
            }
            Value::String(text) if is_sensitive => REDACTED.clone_into(text),
            Value::Bytes(bytes) if is_sensitive => *bytes = Bytes::from_static(REDACTED.as_bytes()),
            _ => {} // no number is a secret
        }
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::core::v3::DataSource;
    use envoy_types::pb::envoy::config::core::v3::TransportSocket;
    use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
    use envoy_types::pb::envoy::config::core::v3::transport_socket;
    use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
        CommonTlsContext, Secret, TlsCertificate, UpstreamTlsContext, secret,
    };
    use legation_actors::composition::Client;
    use legation_actors::snapshot::Snapshot;
    use legation_proto::fragment::Fragment;
    use legation_proto::resource::Resource;
    use legation_proto::resource_type::ResourceType;
    use serde::de::DeserializeSeed;
    use serde_json::json;

    use super::*;
    use crate::envoy::value;
    use crate::transformer::definitions::MeshDefinitions;
    use crate::transformer::tests::fixture;
    use crate::transformer::transform::transform;

    /// What clients of every node of the example meshes, and of one that uses everything, should have.
    fn snapshots() -> Vec<(String, Snapshot)> {
        let meshes = [fixture::examples(), fixture::everything()].map(MeshDefinitions::collect);
        let mut snapshots = Vec::new();
        for mesh in meshes.iter().flat_map(|meshes| meshes.values()) {
            let transformed = transform(mesh);
            for (key, fragment) in &transformed.fragments {
                if let Fragment::Node(_) = fragment {
                    for client in [Client::Envoy, Client::Grpc] {
                        let composed = fixture::composed_for(client, &transformed, key);
                        snapshots.push((format!("{key} {client:?}"), Snapshot::clone(&composed.snapshot)));
                    }
                }
            }
        }
        snapshots
    }

    fn resources(snapshot: &Snapshot) -> impl Iterator<Item = &Resource> {
        ResourceType::ALL.into_iter().flat_map(|resource_type| snapshot.set(resource_type).resources())
    }

    /// The types of every `Any` in `json`.
    fn types<'a>(json: &'a serde_json::Value, found: &mut HashSet<&'a str>) {
        match json {
            serde_json::Value::Array(values) => values.iter().for_each(|value| types(value, found)),
            serde_json::Value::Object(members) => {
                found.extend(members.get("@type").and_then(serde_json::Value::as_str));
                members.values().for_each(|value| types(value, found));
            }
            _ => {}
        }
    }

    #[test]
    fn whatever_is_sent_can_be_shown() {
        let mut found = HashSet::new();
        let snapshots = snapshots();
        let shown: Vec<_> = snapshots
            .iter()
            .flat_map(|(node, snapshot)| resources(snapshot).map(move |resource| (node, resource)))
            .map(|(node, resource)| {
                of_any(resource.body.to_bytes())
                    .unwrap_or_else(|error| panic!("{} of {node}: {error}", resource.name))
            })
            .collect();
        shown.iter().for_each(|json| types(json, &mut found));
        let mut found: Vec<_> = found.into_iter().map(|url| url.rsplit('.').next().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "Cluster",
                "ClusterLoadAssignment",
                "FileAccessLog",
                "HttpConnectionManager",
                "HttpProtocolOptions",
                "Listener",
                "OriginalDst",
                "PreviousHostsPredicate",
                "RouteConfiguration",
                "Router",
                "TcpProxy",
                "TlsInspector",
            ]
        );
    }

    /// The order of fields, and of maps, is free; no byte may be lost or changed on the way to JSON and back.
    #[test]
    fn json_says_everything() {
        let sorted = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.sort_unstable();
            bytes
        };
        let any = SCHEMA.as_ref().unwrap().pool.get_message_by_name(&Any::full_name()).unwrap();
        for (node, snapshot) in snapshots() {
            for resource in resources(&snapshot) {
                let json = of_any(resource.body.to_bytes()).unwrap();
                let back = any.clone().deserialize(&json).unwrap().encode_to_vec();
                assert!(sorted(&back) == sorted(&resource.body.to_bytes()), "{} of {node}", resource.name);
                assert_eq!(of_any(back.into()).unwrap(), json);
            }
        }
    }

    #[test]
    fn fields_have_the_names_and_forms_that_envoy_shows() {
        let cluster = Cluster {
            name: "c".to_owned(),
            connect_timeout: Some(value::duration(std::time::Duration::from_millis(1500))),
            typed_extension_protocol_options: [("x".to_owned(), value::any(&Cluster::default()))].into(),
            ..Cluster::default()
        };
        let type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
        let expected = json!({
            "@type": type_url,
            "name": "c",
            "connect_timeout": "1.500s",
            "typed_extension_protocol_options": {"x": {"@type": type_url}},
        });
        assert_eq!(of_any(value::any(&cluster).encode_to_vec().into()).unwrap(), expected);
    }

    fn text(text: &str) -> Option<DataSource> {
        Some(DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..Default::default() })
    }

    #[test]
    fn secrets_are_not_shown_wherever_they_stand() {
        let certificate = TlsCertificate {
            certificate_chain: text("chain"),
            private_key: text("key"),
            ..TlsCertificate::default()
        };
        let secret =
            Secret { name: "s".to_owned(), r#type: Some(secret::Type::TlsCertificate(certificate.clone())) };
        let expected = json!({
            "certificate_chain": {"inline_string": "chain"},
            "private_key": {"inline_string": "[redacted]"},
        });
        let json = of_any(value::any(&secret).encode_to_vec().into()).unwrap();
        assert_eq!(json["tls_certificate"], expected);

        let context = CommonTlsContext { tls_certificates: vec![certificate], ..Default::default() };
        let context = UpstreamTlsContext { common_tls_context: Some(context), ..Default::default() };
        let config = transport_socket::ConfigType::TypedConfig(value::any(&context));
        let socket = TransportSocket { name: "tls".to_owned(), config_type: Some(config) };
        let cluster = Cluster { transport_socket: Some(socket), ..Cluster::default() };
        let json = of_any(value::any(&cluster).encode_to_vec().into()).unwrap();
        let shown = &json["transport_socket"]["typed_config"]["common_tls_context"]["tls_certificates"][0];
        assert_eq!(*shown, expected);
    }

    #[test]
    fn what_is_not_known_is_told() {
        let any = |type_url: &str, value: &[u8]| {
            of_any(Any { type_url: type_url.to_owned(), value: value.into() }.encode_to_vec().into())
        };
        assert!(
            matches!(any("type.googleapis.com/x.Y", b""), Err(JsonError::UnknownType(name)) if name.ends_with("x.Y"))
        );
        assert!(matches!(any(&Cluster::type_url(), b"\xff"), Err(JsonError::Malformed(_))));
        let inner = Any { type_url: "type.googleapis.com/x.Y".to_owned(), value: Vec::new() };
        let cluster = Cluster {
            typed_extension_protocol_options: [("x".to_owned(), inner)].into(),
            ..Cluster::default()
        };
        assert!(matches!(any(&Cluster::type_url(), &cluster.encode_to_vec()), Err(JsonError::Unshown(_))));
    }
}
