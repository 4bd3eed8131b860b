//! Arguments that several commands have.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use legation_proto::response::Protocol;

/// Reads the form of the xDS protocol.
pub(crate) fn protocol_parser() -> impl TypedValueParser<Value = Protocol> {
    let names = [Protocol::Delta, Protocol::Sotw].map(Protocol::as_str);
    let protocol =
        |name: String| if name == Protocol::Sotw.as_str() { Protocol::Sotw } else { Protocol::Delta };
    PossibleValuesParser::new(names).map(protocol)
}
