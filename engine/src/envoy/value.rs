//! Protobuf's wrappers: `Any`, `Duration`, numbers and booleans that may be absent; and the configuration source.

use std::time::Duration as StdDuration;

use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{AggregatedConfigSource, ApiVersion, ConfigSource};
use envoy_types::pb::google::protobuf::{Any, BoolValue, Duration, UInt32Value};
use prost::{Message, Name};

/// The longest duration that is written: 68 years. Envoy refuses a whole resource, and all others in the same response,
/// for a duration that 64 bits do not hold in nanoseconds; this is well below.
const DURATION_MAX: StdDuration = StdDuration::from_secs(2_147_483_647);

/// `message` with its type.
pub fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// A duration; 68 years if it is longer.
pub fn duration(duration: StdDuration) -> Duration {
    let duration = duration.min(DURATION_MAX);
    Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or_default(),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// A number that is there.
pub fn uint32(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

/// Yes, aloud.
pub fn yes() -> Option<BoolValue> {
    Some(BoolValue { value: true })
}

/// "Ask over the stream that this came from".
pub fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    }
}
