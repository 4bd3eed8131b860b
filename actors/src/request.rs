//! What an Envoy asks on its stream, in both forms of the protocol.

use legation_proto::nonce::Nonce;
use legation_proto::resource_type::ResourceType;

/// A `DiscoveryRequest` or `DeltaDiscoveryRequest` for a type that is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The type that it is about; everything in it concerns this type only (conformance 7).
    pub resource_type: ResourceType,
    /// `response_nonce`: which response this answers; `None` where it answers none, or what it says is no nonce of ours.
    pub nonce: Option<Nonce>,
    /// Set where the Envoy rejects that response (conformance 32).
    pub error: Option<Rejection>,
    /// What the Envoy wants to have.
    pub interest: Interest,
}

/// What the Envoy wants to have.
#[derive(Clone, Debug, PartialEq)]
pub enum Interest {
    /// State of the world: everything that it wants, each time.
    Sotw {
        /// The version that the Envoy accepted last, perhaps from another host.
        version_info: String,
        /// Replaces the names of the request before (conformance 17).
        names: Vec<String>,
    },
    /// Delta: what to add to and take from what it wants.
    Delta {
        /// `resource_names_subscribe`.
        subscribe: Vec<String>,
        /// `resource_names_unsubscribe`.
        unsubscribe: Vec<String>,
        /// `initial_resource_versions`: name and version of what it has from an earlier stream.
        initial_versions: Vec<(String, String)>,
    },
}

/// The `error_detail` of a NACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A `google.rpc.Code`.
    pub code: i32,
    /// The Envoy's words, bounded and escaped (conformance 39).
    pub message: String,
}

/// Longest message of a NACK that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 1000;

impl Rejection {
    /// Keeps a bounded part of `message`, with control characters escaped.
    pub fn new(code: i32, message: &str) -> Self {
        let mut kept = String::new();
        for character in message.chars().take(MESSAGE_CHARS_MAX) {
            if character.is_control() {
                kept.extend(character.escape_default());
            } else {
                kept.push(character);
            }
        }
        Self { code, message: kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_bounded_and_escaped() {
        assert_eq!(Rejection::new(3, "bad\nline\u{1b}[0m").message, "bad\\nline\\u{1b}[0m");
        assert_eq!(Rejection::new(3, &"x".repeat(5000)).message.len(), MESSAGE_CHARS_MAX);
    }
}
