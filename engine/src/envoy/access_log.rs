//! Access logs in files.
//!
//! The messages are declared here anew, as far as they are needed and alike on the wire: in those of `envoy-types` the
//! members of a JSON format stand in a hash map, which encodes them in another order each time.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::accesslog::v3::{AccessLog, access_log};
use envoy_types::pb::envoy::extensions::access_loggers::file::v3 as envoy;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

/// What an entry looks like. The commands in it are Envoy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A line, with the line break if there is to be one.
    Text(String),
    /// An object with these members.
    Json(BTreeMap<String, String>),
}

/// An access log in the file at `path`; in Envoy's own format if there is none.
pub fn file_access_log(path: &str, format: Option<Format>) -> AccessLog {
    let config = FileAccessLog { path: path.to_owned(), log_format: format.map(Into::into) };
    AccessLog {
        name: "envoy.access_loggers.file".to_owned(),
        config_type: Some(access_log::ConfigType::TypedConfig(Any {
            type_url: envoy::FileAccessLog::type_url(),
            value: config.encode_to_vec(),
        })),
        ..AccessLog::default()
    }
}

/// `envoy.extensions.access_loggers.file.v3.FileAccessLog`.
#[derive(Clone, PartialEq, Message)]
struct FileAccessLog {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(message, optional, tag = "5")]
    log_format: Option<SubstitutionFormatString>,
}

/// `envoy.config.core.v3.SubstitutionFormatString`.
#[derive(Clone, PartialEq, Message)]
struct SubstitutionFormatString {
    #[prost(message, optional, tag = "2")]
    json_format: Option<Struct>,
    #[prost(message, optional, tag = "5")]
    text_format_source: Option<DataSource>,
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, Message)]
struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    fields: BTreeMap<String, Value>,
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, optional, tag = "3")]
    string_value: Option<String>,
}

/// `envoy.config.core.v3.DataSource`.
#[derive(Clone, PartialEq, Message)]
struct DataSource {
    #[prost(string, optional, tag = "3")]
    inline_string: Option<String>,
}

impl From<Format> for SubstitutionFormatString {
    fn from(format: Format) -> Self {
        match format {
            Format::Text(line) => {
                Self { text_format_source: Some(DataSource { inline_string: Some(line) }), json_format: None }
            }
            Format::Json(members) => Self { text_format_source: None, json_format: Some(members.into()) },
        }
    }
}

impl From<BTreeMap<String, String>> for Struct {
    fn from(members: BTreeMap<String, String>) -> Self {
        let fields = members
            .into_iter()
            .map(|(name, text)| {
                let value = Value { string_value: Some(text) };
                (name, value)
            })
            .collect();
        Self { fields }
    }
}
