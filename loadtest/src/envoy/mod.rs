//! What an Envoy says on its ADS stream, without IO.
