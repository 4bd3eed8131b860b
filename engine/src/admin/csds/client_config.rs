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
        client_scope: format!("{} stream {}{peer}", envoy.service.label(), envoy.stream),
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
    Any::decode(resource.body.to_bytes()).ok() // it was encoded here, or by another host of the same kind
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or_default(),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use legation_actors::composition::{Client, Problems};
    use legation_actors::request::Rejection;
    use legation_actors::status::{Nack, Times, TypeStatus};
    use legation_proto::response::Protocol;
    use legation_proto::service::Service;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// An Envoy to which responses of every type were sent at 10, accepted at 20 and rejected at 30.
    fn envoy() -> EnvoyStatus {
        let version = "7-00000000000000aa".parse().unwrap();
        let nacked = Some(Nack { version, rejection: Rejection::new(13, "no") });
        EnvoyStatus {
            node: "mesh/m/virtualNode/n".parse().unwrap(),
            stream: 5,
            client: Client::Envoy,
            service: Service::Aggregated,
            peer: Some("127.0.0.1:1234".parse().unwrap()),
            protocol: Protocol::Delta,
            connected_at: at(1),
            transaction: Some(7),
            synced: false,
            problems: Problems::default(),
            types: ResourceType::ALL.map(|_| TypeStatus { nacked: nacked.clone(), ..TypeStatus::default() }),
            times: ResourceType::ALL.map(|_| Times {
                sent: Some(at(10)),
                acked: Some(at(20)),
                nacked: Some(at(30)),
            }),
        }
    }

    fn status(resource_type: ResourceType, progress: Progress) -> ResourceStatus {
        let resource = Resource::encode(resource_type, "r", 7, &Node::default());
        ResourceStatus { resource_type, name: "r".into(), resource: Some(resource), progress }
    }

    #[test]
    fn an_envoy_is_told_apart_from_its_replicas() {
        let client = client_of(&envoy());
        assert_eq!(client.node.unwrap().id, "mesh/m/virtualNode/n");
        assert_eq!(client.client_scope, "ads stream 5 from 127.0.0.1:1234");
    }

    #[test]
    fn every_status_comes_with_its_time() {
        for (progress, expected, updated) in [
            (Progress::NotSent, ConfigStatus::NotSent, None),
            (Progress::Sent, ConfigStatus::Stale, Some(10)),
            (Progress::Accepted, ConfigStatus::Synced, Some(20)),
            (Progress::Rejected, ConfigStatus::Error, Some(10)),
        ] {
            let resource = status(ResourceType::Cluster, progress);
            let config = config_of(&resource, &envoy(), true);
            assert_eq!(config.config_status(), expected);
            assert_eq!(config.last_updated.map(|time| time.seconds), updated);
            assert_eq!(
                (config.name.as_str(), config.type_url.as_str()),
                ("r", ResourceType::Cluster.type_url())
            );
            let version = resource.resource.unwrap().version.to_string();
            assert_eq!(config.version_info, version);
            assert_eq!(config.xds_config.unwrap().type_url, ResourceType::Cluster.type_url());
            let error = (progress == Progress::Rejected).then(|| UpdateFailureState {
                last_update_attempt: Some(Timestamp { seconds: 30, nanos: 0 }),
                details: "no".to_owned(),
                version_info: version,
                ..UpdateFailureState::default()
            });
            assert_eq!(config.error_state, error);
        }
    }

    #[test]
    fn content_is_left_out_where_it_is_not_wanted_or_secret() {
        let cluster = status(ResourceType::Cluster, Progress::Accepted);
        assert_eq!(config_of(&cluster, &envoy(), false).xds_config, None);
        let secret = status(ResourceType::Secret, Progress::Accepted);
        assert_eq!(config_of(&secret, &envoy(), true).xds_config, None);
        let gone = ResourceStatus { resource: None, ..cluster };
        let config = config_of(&gone, &envoy(), true);
        assert_eq!((config.xds_config, config.version_info.as_str()), (None, ""));
    }
}
