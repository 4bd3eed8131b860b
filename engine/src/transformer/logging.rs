//! Access logs.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;

use crate::envoy::access_log::{Format, file_access_log};
use crate::model::logging::{self, Logging, LoggingFormat};

/// The access logs of a node or gateway: one or none.
pub(super) fn access_logs(logging: Option<&Logging>) -> Vec<AccessLog> {
    let Some(logging::AccessLog::File(file)) = logging.and_then(|logging| logging.access_log.as_ref()) else {
        return Vec::new();
    };
    vec![file_access_log(&file.path, file.format.as_ref().map(format))]
}

fn format(format: &LoggingFormat) -> Format {
    match format {
        LoggingFormat::Text(line) => Format::Text(line.to_string()),
        LoggingFormat::Json(members) => {
            let members: BTreeMap<_, _> =
                members.iter().map(|member| (member.key.to_string(), member.value.to_string())).collect();
            Format::Json(members)
        }
    }
}
