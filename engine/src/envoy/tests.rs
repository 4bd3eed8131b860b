//! That the messages declared here anew are, on the wire, the ones that Envoy knows.

use std::collections::BTreeMap;
use std::time::Duration as StdDuration;

use envoy_types::pb::envoy::config::accesslog::v3::access_log::ConfigType;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::substitution_format_string;
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log};
use envoy_types::pb::google::protobuf::value::Kind;
use legation_proto::body::Part;
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use prost::Message;

use super::access_log::{Format, file_access_log};
use super::encoded;
use super::route::{header_value, overwrite_header, route_configuration, virtual_host};
use super::tcp_proxy::weighted_tcp_proxy;
use super::value::duration;

fn decoded_format(format: Format) -> substitution_format_string::Format {
    let log = file_access_log("/dev/stdout", Some(format));
    let Some(ConfigType::TypedConfig(any)) = log.config_type else {
        panic!("no configuration");
    };
    assert_eq!(any.type_url, "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog");
    let file = FileAccessLog::decode(any.value.as_slice()).unwrap();
    assert_eq!(file.path, "/dev/stdout");
    let Some(file_access_log::AccessLogFormat::LogFormat(format)) = file.access_log_format else {
        panic!("no format");
    };
    format.format.unwrap()
}

#[test]
fn a_text_format_is_envoys() {
    let substitution_format_string::Format::TextFormatSource(source) =
        decoded_format(Format::Text("%PROTOCOL%\n".to_owned()))
    else {
        panic!("no text");
    };
    assert_eq!(source.specifier, Some(Specifier::InlineString("%PROTOCOL%\n".to_owned())));
}

#[test]
fn a_json_format_is_envoys() {
    let members =
        BTreeMap::from([("b".to_owned(), "%PROTOCOL%".to_owned()), ("a".to_owned(), String::new())]);
    let substitution_format_string::Format::JsonFormat(object) = decoded_format(Format::Json(members)) else {
        panic!("no object");
    };
    let mut members: Vec<_> = object.fields.into_iter().map(|(name, value)| (name, value.kind)).collect();
    members.sort_by(|a, b| a.0.cmp(&b.0));
    let text = |text: &str| Some(Kind::StringValue(text.to_owned()));
    assert_eq!(members, [("a".to_owned(), text("")), ("b".to_owned(), text("%PROTOCOL%"))]);
}

#[test]
fn a_json_format_encodes_alike_each_time() {
    let members: BTreeMap<_, _> = (0..50).map(|n| (format!("member-{n}"), format!("%{n}%"))).collect();
    let encode = || file_access_log("/dev/stdout", Some(Format::Json(members.clone()))).encode_to_vec();
    let first = encode();
    assert!((0..20).all(|_| encode() == first));
}

#[test]
fn a_route_configuration_of_encoded_virtual_hosts_is_envoys() {
    let hosts = vec![
        virtual_host("a", vec!["a".to_owned()], Vec::new()),
        virtual_host("b", vec!["*".to_owned()], Vec::new()),
    ];
    let encoded = hosts.iter().map(|host| Part::virtual_host(&host.encode_to_vec())).collect();
    let of_encoded = encoded::route_configuration("routes", encoded);
    let kind = ResourceType::RouteConfiguration;
    let whole = Resource::encode(kind, "routes", 1, &route_configuration("routes", hosts));
    assert_eq!(of_encoded.to_bytes(), whole.body.to_bytes());
}

#[test]
fn durations_stay_within_what_envoy_takes() {
    let table = [
        (StdDuration::ZERO, (0, 0)),
        (StdDuration::from_millis(1500), (1, 500_000_000)),
        (StdDuration::from_secs(2_147_483_647), (2_147_483_647, 0)),
        (StdDuration::from_millis(2_147_483_647_001), (2_147_483_647, 0)),
        (StdDuration::MAX, (2_147_483_647, 0)),
    ];
    for (given, expected) in table {
        let made = duration(given);
        assert_eq!((made.seconds, made.nanos), expected, "{given:?}");
    }
}

#[test]
fn percent_signs_in_header_values_stand_for_themselves() {
    let option = overwrite_header("x-a", "100% %REQ(X)%");
    assert_eq!(option.header.as_ref().unwrap().value, "100%% %%REQ(X)%%");
    assert_eq!(header_value(&option, "x-a").as_deref(), Some("100% %REQ(X)%"));
    assert_eq!(header_value(&option, "x-b"), None);
}

#[test]
fn a_tcp_proxy_has_no_cluster_of_weight_zero() {
    let hour = StdDuration::from_secs(3600);
    assert_eq!(weighted_tcp_proxy("s", &[("a", 0)], hour), None);
    assert_eq!(
        weighted_tcp_proxy("s", &[("a", 1), ("b", 0)], hour),
        weighted_tcp_proxy("s", &[("a", 1)], hour)
    );
}
