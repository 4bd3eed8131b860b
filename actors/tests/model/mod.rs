//! Models of what is at the other end of a session, and the rules that hold whatever it does. The property tests and the
//! fuzzer share them.

pub(crate) mod choices;
pub(crate) mod client;
pub(crate) mod envoy;
pub(crate) mod world;

use choices::Choices;
use envoy::Step;
use legation_proto::response::Protocol;
use world::World;

/// Lets a client do what the bytes say: one that sends anything, or an Envoy.
pub(crate) fn check(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let protocol = choices.one_of(&[Protocol::Sotw, Protocol::Delta]);
    if choices.yes() {
        return client::check(protocol, &mut choices);
    }
    let last = World::chosen(&mut choices);
    let mut steps = Vec::new();
    while !choices.are_over() {
        steps.push(Step::chosen(&mut choices));
    }
    envoy::check(protocol, steps, &last);
}
