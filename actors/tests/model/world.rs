//! What Envoys should have.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use legation_actors::snapshot::{ResourceSet, Snapshot};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType::{
    self, Cluster, Endpoints, Listener, RouteConfiguration, Secret,
};
use legation_proto::version::Version;

use super::choices::Choices;

/// What an Envoy should have: a cluster is a content, with endpoints and a secret where its name says so; a route
/// configuration names clusters; the listener names route configurations, and may need a secret.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) clusters: BTreeMap<&'static str, u8>,
    pub(crate) routes: BTreeMap<&'static str, (u8, BTreeSet<&'static str>)>,
    pub(crate) listener: Option<u8>,
    /// The content of every secret.
    pub(crate) secret: u8,
}

const LISTENER_SECRET: &str = "of-listener";
pub(crate) const CLUSTERS: [&str; 4] = ["a", "tls-b", "eds-c", "eds-tls-d"];
pub(crate) const ROUTES: [&str; 2] = ["r", "s"];

impl World {
    pub(crate) fn chosen(choices: &mut Choices<'_>) -> Self {
        let clusters: BTreeMap<_, _> =
            CLUSTERS.into_iter().filter_map(|name| Some((name, choices.below(4).checked_sub(1)?))).collect();
        let routes = ROUTES.into_iter().filter_map(|name| {
            let content = choices.below(3).checked_sub(1)?;
            let picks = choices.below(1 << CLUSTERS.len());
            let picked = |(position, name): (usize, &&'static str)| {
                (picks >> position & 1 == 1 && clusters.contains_key(*name)).then_some(*name)
            };
            Some((name, (content, CLUSTERS.iter().enumerate().filter_map(picked).collect())))
        });
        let routes = routes.collect();
        Self { clusters, routes, listener: choices.below(3).checked_sub(1), secret: choices.below(2) }
    }

    /// The same with contents that no other world has: what was rejected is not sent again as it is.
    pub(crate) fn fresh(&self) -> Self {
        let mut fresh = self.clone();
        fresh.clusters.values_mut().for_each(|content| *content += 100);
        fresh.routes.values_mut().for_each(|(content, _)| *content += 100);
        fresh.listener = fresh.listener.map(|content| content + 100);
        fresh.secret += 100;
        fresh
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let clusters =
            self.clusters.iter().map(|(name, content)| resource(name, content.to_string())).collect();
        // contents of a hundred and more are those that no step had
        let eds_clusters = self.clusters.iter().filter(|(name, _)| name.starts_with("eds"));
        let endpoints = eds_clusters.map(|(name, content)| resource(name, (content / 100).to_string()));
        let tls_clusters = self.clusters.keys().filter(|name| name.contains("tls")).copied();
        let secret_names =
            tls_clusters.chain(self.listener.filter(|content| content % 2 == 1).map(|_| LISTENER_SECRET));
        let secrets = secret_names.map(|name| resource(name, self.secret.to_string()));
        let listeners = self.listener.map(|content| {
            let names: Vec<&str> = self.routes.keys().copied().collect();
            resource("l", format!("{content}:{}", names.join(",")))
        });
        let routes = self.routes.iter().map(|(name, (content, clusters))| {
            let names: Vec<&str> = clusters.iter().copied().collect();
            resource(name, format!("{content}:{}", names.join(",")))
        });
        let routes = if self.listener.is_some() { routes.collect() } else { Vec::new() };
        Snapshot::new(
            [clusters, endpoints.collect(), secrets.collect(), listeners.into_iter().collect(), routes]
                .map(ResourceSet::new),
        )
    }
}

fn resource(name: &str, content: String) -> Resource {
    Resource {
        name: name.into(),
        version: Version::of(1, content.as_bytes()),
        body: Bytes::from(content).into(),
    }
}

pub(crate) fn names_in(body: &str) -> BTreeSet<String> {
    let (_, names) = body.split_once(':').expect("content:names");
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn needs_secret(listener: &str) -> bool {
    let (content, _) = listener.split_once(':').expect("content:names");
    content.parse::<u8>().expect("a number") % 2 == 1
}

/// What a client has of one type, by name.
pub(crate) type State = BTreeMap<String, (String, Version)>;

/// The names that its clusters and listeners make a client ask for.
pub(crate) fn wanted(resource_type: ResourceType, state: &[State; ResourceType::COUNT]) -> BTreeSet<String> {
    let (clusters, listeners) = (&state[Cluster.index()], &state[Listener.index()]);
    match resource_type {
        Endpoints => clusters.keys().filter(|name| name.starts_with("eds")).cloned().collect(),
        RouteConfiguration => listeners.values().flat_map(|(body, _)| names_in(body)).collect(),
        Secret => {
            let of_clusters = clusters.keys().filter(|name| name.contains("tls")).cloned();
            let of_listeners = listeners.values().filter(|(body, _)| needs_secret(body));
            of_clusters.chain(of_listeners.map(|_| LISTENER_SECRET.to_owned())).collect()
        }
        Cluster | Listener => BTreeSet::new(),
    }
}
