//! Splits an answer that is too large for one response.

use std::mem;

use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::{ClientConfig, ClientStatusResponse};
use prost::Message;

/// What the tag and the length of a field take, at most.
const FIELD_BYTES_MAX: usize = 6;

/// Fills responses up to a size. A client whose resources do not fit into one response is continued in the next, with the same
/// node and scope.
pub(super) struct Parts {
    bytes_max: usize,
    response: ClientStatusResponse,
    /// The size of the response, or a little more.
    bytes: usize,
}

impl Parts {
    /// Responses of at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, response: ClientStatusResponse::default(), bytes: 0 }
    }

    /// Begins a client, which has no resources yet. Returns the response before, if it is full.
    pub(super) fn begin(&mut self, client: ClientConfig) -> Option<ClientStatusResponse> {
        let bytes = client_bytes(&client);
        let is_full = self.bytes + bytes > self.bytes_max && !self.response.config.is_empty();
        let full = is_full.then(|| mem::take(&mut self.response));
        self.bytes = if is_full { bytes } else { self.bytes + bytes };
        self.response.config.push(client);
        full
    }

    /// Adds a resource to the client that was begun last. Returns the response before, if it is full. The content of a
    /// resource that fits into no response is left out.
    pub(super) fn add(&mut self, mut config: GenericXdsConfig) -> Option<ClientStatusResponse> {
        let client = self.response.config.last_mut()?;
        let continued = ClientConfig {
            node: client.node.clone(),
            client_scope: client.client_scope.clone(),
            ..ClientConfig::default()
        };
        let alone = client_bytes(&continued);
        if alone + config_bytes(&config) > self.bytes_max {
            config.xds_config = None;
        }
        let bytes = config_bytes(&config);
        if self.bytes + bytes <= self.bytes_max || self.bytes <= alone {
            client.generic_xds_configs.push(config);
            self.bytes += bytes;
            return None;
        }
        let is_empty = client.generic_xds_configs.is_empty();
        let mut full = mem::take(&mut self.response);
        if is_empty {
            full.config.pop();
        }
        self.response.config.push(ClientConfig { generic_xds_configs: vec![config], ..continued });
        self.bytes = alone + bytes;
        Some(full)
    }

    /// The last response; without a client, if there was none.
    pub(super) fn finish(self) -> ClientStatusResponse {
        self.response
    }
}

fn client_bytes(client: &ClientConfig) -> usize {
    client.encoded_len() + FIELD_BYTES_MAX
}

fn config_bytes(config: &GenericXdsConfig) -> usize {
    config.encoded_len() + FIELD_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::Node;
    use envoy_types::pb::google::protobuf::Any;

    use super::*;

    const BYTES_MAX: usize = 1000;

    fn client(id: usize) -> ClientConfig {
        let node = Node { id: format!("node-{id}"), ..Node::default() };
        ClientConfig { node: Some(node), client_scope: "scope".to_owned(), ..ClientConfig::default() }
    }

    fn config(number: usize, bytes: usize) -> GenericXdsConfig {
        let content = Any { type_url: String::new(), value: vec![1; bytes] };
        GenericXdsConfig {
            name: format!("r{number}"),
            xds_config: Some(content),
            ..GenericXdsConfig::default()
        }
    }

    /// The responses for clients whose resources have these sizes.
    fn split(clients: &[&[usize]]) -> Vec<ClientStatusResponse> {
        let mut parts = Parts::new(BYTES_MAX);
        let mut responses = Vec::new();
        for (id, sizes) in clients.iter().enumerate() {
            responses.extend(parts.begin(client(id)));
            for (number, bytes) in sizes.iter().enumerate() {
                responses.extend(parts.add(config(number, *bytes)));
            }
        }
        responses.push(parts.finish());
        assert!(responses.iter().all(|response| response.encoded_len() <= BYTES_MAX));
        responses
    }

    /// Which resources each response has of which client, such as `node-0 r0 r1`; `!` where content is left out.
    fn shown(responses: &[ClientStatusResponse]) -> Vec<String> {
        let client = |client: &ClientConfig| {
            assert_eq!(client.client_scope, "scope");
            let configs = client.generic_xds_configs.iter().map(|config| {
                let mark = if config.xds_config.is_some() { "" } else { "!" };
                format!(" {}{mark}", config.name)
            });
            format!("{}{}", client.node.as_ref().unwrap().id, configs.collect::<String>())
        };
        let response = |response: &ClientStatusResponse| {
            response.config.iter().map(client).collect::<Vec<_>>().join(", ")
        };
        responses.iter().map(response).collect()
    }

    #[test]
    fn what_fits_is_one_response() {
        assert_eq!(shown(&split(&[])), [""]);
        assert_eq!(shown(&split(&[&[100, 100], &[], &[100]])), ["node-0 r0 r1, node-1, node-2 r0"]);
    }

    #[test]
    fn what_does_not_fit_is_continued_in_the_next() {
        assert_eq!(shown(&split(&[&[400, 400, 400], &[400]])), ["node-0 r0 r1", "node-0 r2, node-1 r0"]);
        assert_eq!(shown(&split(&[&[900], &[900]])), ["node-0 r0", "node-1 r0"]);
        assert_eq!(shown(&split(&[&[950], &[10]])).len(), 2);
    }

    #[test]
    fn content_that_fits_nowhere_is_left_out() {
        assert_eq!(shown(&split(&[&[10, 5000, 10]])), ["node-0 r0 r1! r2"]);
    }

    #[test]
    fn nothing_is_lost_whatever_the_sizes() {
        for bytes in 0..BYTES_MAX {
            let sizes = [bytes, BYTES_MAX / 3, bytes / 2, 1];
            let responses = split(&[&sizes, &sizes, &[]]);
            let clients = responses.iter().flat_map(|response| &response.config);
            let resources: usize = clients.map(|client| client.generic_xds_configs.len()).sum();
            assert_eq!(resources, 2 * sizes.len());
        }
    }
}
