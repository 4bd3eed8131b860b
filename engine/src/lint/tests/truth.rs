//! What is found is what then happens: the transformer and what composes agree with the rules on whatever is valid.

use std::collections::BTreeSet;

use legation_proto::id::FragmentKind;
use proptest::prelude::*;

use super::{Code, lint};
use crate::model::{Kind, ResourceId, VirtualServiceProvider};
use crate::transformer::definitions::MeshDefinitions;
use crate::transformer::tests::fixture::{Definitions, MESH, composed_for, key};
use crate::transformer::tests::properties::definitions;
use legation_actors::composition::Client;

/// The virtual services that the transformer cannot make, by what is found: those with a route that says so, and those that
/// need what does not exist.
fn frozen(definitions: &Definitions) -> BTreeSet<String> {
    let collected = definitions.collect();
    let mut frozen = BTreeSet::new();
    let mut routers = BTreeSet::new();
    for finding in lint(&collected) {
        match (finding.code, finding.id.kind()) {
            (Code::ReferenceMissing, Kind::VirtualService) => {
                frozen.insert(finding.id.name().to_owned());
            }
            (
                Code::TargetWithoutListeners | Code::TargetPortNotListened | Code::TargetPortAmbiguous,
                Kind::Route,
            ) if finding.message.contains("keep the routes that they had") => {
                routers.insert(finding.id.parent_name().unwrap().to_owned());
            }
            _ => {}
        }
    }
    for (name, router) in services_of_routers(&collected) {
        if routers.contains(router) {
            frozen.insert(name.to_owned());
        }
    }
    frozen
}

fn services_of_routers(definitions: &MeshDefinitions) -> impl Iterator<Item = (&str, &str)> {
    definitions.virtual_services().filter_map(|(name, service)| match &service.provider {
        Some(VirtualServiceProvider::VirtualRouter(provider)) => {
            Some((name, provider.virtual_router_name.as_str()))
        }
        _ => None,
    })
}

/// The virtual services that the transformer cannot make.
fn failed(definitions: &Definitions) -> BTreeSet<String> {
    definitions.transform().problems.iter().map(|problem| problem.key.name.to_string()).collect()
}

/// The virtual services of routers that lead to a node that does not exist. The API lets that not be, and then the rest of
/// the router is not looked at.
fn with_missing_targets(definitions: &Definitions) -> BTreeSet<String> {
    let collected = definitions.collect();
    let findings = lint(&collected);
    let misses = |router: &str| {
        findings
            .iter()
            .any(|finding| finding.code == Code::ReferenceMissing && finding.id.parent_name() == Some(router))
    };
    let services = services_of_routers(&collected).filter(|(_, router)| misses(router));
    services.map(|(name, _)| name.to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_the_transformer_cannot_make_is_found_and_nothing_else(definitions in definitions()) {
        let left_out = with_missing_targets(&definitions);
        prop_assert_eq!(&failed(&definitions) - &left_out, &frozen(&definitions) - &left_out);
    }

    #[test]
    fn what_composing_leaves_out_is_found_and_nothing_else(definitions in definitions()) {
        let transformed = definitions.transform();
        let findings = lint(&definitions.collect());
        for name in ["a", "A", "b", "a:80", "c.local", "100%"] {
            let of_node = key(MESH, FragmentKind::VirtualNode, name);
            if transformed.fragments.contains_key(&of_node) {
                let problems = composed_for(Client::Envoy, &transformed, &of_node).problems.len();
                let id = ResourceId::virtual_node(MESH, name);
                let found = findings.iter().filter(|finding| {
                    finding.id == id
                        && matches!(finding.code, Code::TcpBackendsSharePort | Code::BackendsShareHost)
                });
                prop_assert_eq!(found.count(), problems, "{}", id);
            }
            let of_gateway = key(MESH, FragmentKind::VirtualGateway, name);
            if transformed.fragments.contains_key(&of_gateway) {
                let problems = composed_for(Client::Envoy, &transformed, &of_gateway).problems;
                let is_found = findings.iter().any(|finding| {
                    finding.code == Code::BackendsShareHost && finding.id.parent_name() == Some(name)
                });
                prop_assert_eq!(is_found, !problems.is_empty(), "gateway {}: {:?}", name, problems);
            }
        }
    }
}
