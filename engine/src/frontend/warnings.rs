//! What the answer to a write says beside its body: what would black-hole traffic, and has to do with what was written.

use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponseParts, ResponseParts};

use super::Frontend;
use super::command::Command;
use super::neighbourhood::{self, NotKnown};
use crate::lint::Finding;

/// The header of a warning.
pub(super) const WARNING: HeaderName = HeaderName::from_static("x-legation-warning");

/// How many warnings an answer has, besides one that counts the others.
const WARNINGS_MAX: usize = 5;

/// How long a warning is, in bytes.
const WARNING_BYTES_MAX: usize = 700;

/// The warnings of an answer.
#[derive(Debug, Default)]
pub(super) struct Warnings(Vec<HeaderValue>);

impl Frontend {
    /// What will be found around the resource that `command` writes. The write takes no notice of it, and while it waits for
    /// the disk there is time to look.
    pub(super) async fn warnings(&self, command: &Command) -> Warnings {
        let (id, spec) = match command {
            Command::Create { id, spec, .. } | Command::Update { id, spec, .. } => (id, Some(spec)),
            Command::Delete { id } => (id, None),
            _ => return Warnings::default(),
        };
        match neighbourhood::findings(self.store.as_ref(), id, spec).await {
            Ok(findings) => Warnings::of(&findings),
            Err(NotKnown::TooLarge) => Warnings::default(),
            Err(NotKnown::Store(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for what to warn of");
                Warnings::default()
            }
        }
    }
}

impl Warnings {
    /// The first of these findings, and how many more there are.
    fn of(findings: &[Finding]) -> Self {
        let mut values: Vec<HeaderValue> = findings
            .iter()
            .take(WARNINGS_MAX)
            .filter_map(|finding| HeaderValue::from_str(&ascii(&finding.to_string())).ok())
            .collect();
        if findings.len() > WARNINGS_MAX {
            let more =
                format!("{} more; legation status and legation lint tell all", findings.len() - WARNINGS_MAX);
            values.extend(HeaderValue::from_str(&more).ok());
        }
        Self(values)
    }
}

/// The text in visible ASCII characters and blanks, cut short: what a header can hold without doubt.
fn ascii(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if safe.len() >= WARNING_BYTES_MAX {
            safe += "...";
            break;
        }
        if matches!(c, ' '..='~') {
            safe.push(c);
        } else {
            safe.extend(c.escape_default());
        }
    }
    safe
}

impl IntoResponseParts for Warnings {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        for value in self.0 {
            parts.headers_mut().append(WARNING, value);
        }
        Ok(parts)
    }
}
