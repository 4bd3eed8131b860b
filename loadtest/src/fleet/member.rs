//! A simulated Envoy with its connection.
