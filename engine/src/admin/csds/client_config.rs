//! What is known of an Envoy, in the messages of the client status discovery service.

use std::time::{SystemTime, UNIX_EPOCH};

use envoy_types::pb::envoy::admin::v3::UpdateFailureState;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use envoy_types::pb::google::protobuf::{Any, Timestamp};
use legation_actors::session::{Progress, ResourceStatus};
use legation_actors::status::EnvoyStatus;
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use prost::Message;

/// An Envoy, without its resources. All Envoys of a node have the same id; the scope tells them apart.
pub(super) fn client_of(envoy: &EnvoyStatus) -> ClientConfig {
    let peer = envoy.peer.map(|peer| format!(" from {peer}")).unwrap_or_default();
    ClientConfig {
        node: Some(Node { id: envoy.node.to_string(), ..Node::default() }),
        client_scope: format!("stream {}{peer}", envoy.stream),
        ..ClientConfig::default()
    }
}

/// A resource of an Envoy. Times are those of its type: when the last response was sent, accepted or rejected.
pub(super) fn config_of(
    status: &ResourceStatus,
    envoy: &EnvoyStatus,
    with_content: bool,
) -> GenericXdsConfig {
    let index = status.resource_type.index();
    let times = &envoy.times[index];
    let (config_status, updated) = match status.progress {
        Progress::NotSent => (ConfigStatus::NotSent, None),
        Progress::Sent => (ConfigStatus::Stale, times.sent),
        Progress::Accepted => (ConfigStatus::Synced, times.acked),
        Progress::Rejected => (ConfigStatus::Error, times.sent),
    };
    let version = status.resource.as_ref().map(|resource| resource.version.to_string()).unwrap_or_default();
    let error_state = (status.progress == Progress::Rejected).then(|| {
        let nack = envoy.types[index].nacked.as_ref();
        UpdateFailureState {
            last_update_attempt: times.nacked.map(timestamp),
            details: nack.map(|nack| nack.rejection.message.clone()).unwrap_or_default(),
            version_info: version.clone(),
            ..UpdateFailureState::default()
        }
    });
    let content =
        status.resource.as_ref().filter(|_| with_content && status.resource_type != ResourceType::Secret);
    GenericXdsConfig {
        type_url: status.resource_type.type_url().to_owned(),
        name: status.name.to_string(),
        version_info: version,
        xds_config: content.and_then(any_of),
        last_updated: updated.map(timestamp),
        config_status: config_status.into(),
        error_state,
        ..GenericXdsConfig::default()
    }
}

fn any_of(resource: &Resource) -> Option<Any> {
    Any::decode(resource.body.clone()).ok() // it was encoded here, or by another host of the same kind
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or_default(),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}
