//! The metrics of the API. Every label is from a closed set: the operations, and the types of errors.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_histogram, histogram};

const REQUESTS_TOTAL: &str = "legation_api_requests_total";
const REQUEST_SECONDS: &str = "legation_api_request_seconds";

/// Tells the recorder what the metrics mean.
pub(super) fn describe() {
    describe_counter!(REQUESTS_TOTAL, "requests to the API by operation, and by the type of the error or OK");
    describe_histogram!(
        REQUEST_SECONDS,
        metrics::Unit::Seconds,
        "from the head of a request to its answer being ready"
    );
}

/// A request was answered; `operation` is absent where it asked for none that there is.
pub(super) fn answered(operation: Option<&str>, code: &'static str, took: Duration) {
    let operation = operation.unwrap_or("Unknown").to_owned();
    counter!(REQUESTS_TOTAL, "operation" => operation.clone(), "code" => code).increment(1);
    histogram!(REQUEST_SECONDS, "operation" => operation).record(took);
}
