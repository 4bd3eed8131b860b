//! Logs and metrics of the process.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// Upper bounds of histogram buckets, in seconds: from what an actor takes to what a slow disk takes.
const SECONDS_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Names the variable that selects what is logged, such as `debug` or `legation=debug,info`.
const LOG_VARIABLE: &str = "LEGATION_LOG";

/// How often the recorder tidies up.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// A selection of what is logged that cannot be understood.
#[derive(Debug, Error)]
#[error("{LOG_VARIABLE}: {0}; say error, warn, info, debug or trace, or for example legation=debug,info")]
pub struct LogFilterError(String);

/// Starts logging to standard error.
pub fn log_to_stderr() -> Result<(), LogFilterError> {
    let selected = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(&selected).map_err(|error| LogFilterError(error.to_string()))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    Ok(())
}

/// Starts recording metrics; the handle renders them for Prometheus.
pub fn record_metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .install_recorder()
}

/// Tidies the recorder up, for ever.
pub async fn keep_metrics(handle: PrometheusHandle) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        interval.tick().await;
        handle.run_upkeep();
    }
}
