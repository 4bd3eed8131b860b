//! What must hold of a specification beyond its shape. Each rule is a sentence in the doc of the function
//! that checks it; the rules are App Mesh's as documented, and Envoy's where breaking one would make it
//! refuse the configuration.
//!
//! A mesh and a virtual service have no rules.

mod access_log;
mod commands;
mod gateway_route;
mod listener;
mod logging;
mod matching;
mod never;
mod regex;
mod route;
mod service_discovery;
mod text;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::definition::Spec;
use super::shape::{Errors, Path};
use super::virtual_node::VirtualNodeSpec;

/// Reports every rule that the specification at `at` breaks.
pub(super) fn check(spec: &Spec, at: &Path, errors: &mut Errors) {
    let listeners = at.field("listeners");
    match spec {
        Spec::Mesh(_) | Spec::VirtualService(_) => {}
        Spec::VirtualNode(node) => {
            check_backends(node, at, errors);
            listener::check_virtual_node(node.listeners(), &listeners, errors);
            logging::check(node.logging.as_ref(), at, errors);
            service_discovery::check(node.service_discovery.as_ref(), at, errors);
        }
        Spec::VirtualRouter(router) => {
            listener::check_virtual_router(router.listeners(), &listeners, errors);
        }
        Spec::Route(route) => route::check(route, at, errors),
        Spec::VirtualGateway(gateway) => {
            listener::check_virtual_gateway(&gateway.listeners, &listeners, errors);
            logging::check(gateway.logging.as_ref(), at, errors);
        }
        Spec::GatewayRoute(route) => gateway_route::check(route, at, errors),
    }
}

/// A virtual node has each virtual service as a backend once, by a name that is not empty.
fn check_backends(node: &VirtualNodeSpec, at: &Path, errors: &mut Errors) {
    let mut names = Vec::new();
    for (index, backend) in node.backends().enumerate() {
        let at = at.field("backends").index(index).field("virtualService").field("virtualServiceName");
        if backend.virtual_service_name.is_empty() {
            errors.report(&at, "is empty");
        }
        names.push((at, &backend.virtual_service_name));
    }
    check_distinct(names, errors);
}

/// Reports each of these values that an earlier one equals.
fn check_distinct<T: Eq + Hash>(values: Vec<(Path, T)>, errors: &mut Errors) {
    let mut places: HashMap<T, Path> = HashMap::new();
    for (at, value) in values {
        match places.entry(value) {
            Entry::Occupied(first) => errors.report(&at, format_args!("repeats {}", first.get())),
            Entry::Vacant(vacant) => {
                vacant.insert(at);
            }
        }
    }
}

/// Reports, unless exactly one of these members is given. `members` has each one's name, and whether it is.
fn check_exactly_one(members: &[(&str, bool)], at: &Path, errors: &mut Errors) {
    let all = join(members.iter());
    let given: Vec<_> = members.iter().filter(|(_, is_given)| *is_given).collect();
    match given.len() {
        0 => errors.report(at, format_args!("has none of {all}; give exactly one")),
        1 => {}
        _ => {
            let given = join(given.into_iter());
            errors.report(at, format_args!("has {given}; give exactly one of {all}"));
        }
    }
}

fn join<'a>(members: impl Iterator<Item = &'a (&'a str, bool)>) -> String {
    members.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
