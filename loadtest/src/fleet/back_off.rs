//! How long an Envoy waits before it tries again.
