//! Who was denied what, as the API shows it.

use serde_json::{Value, json};

use super::Frontend;
use super::authorisation::{DENIALS_MAX, Denial};
use super::command::Query;
use super::error::ApiError;
use super::history::time;
use crate::model::shape::error::quote;
use crate::model::{Kind, check_name};

/// Which denials are asked for.
#[derive(Debug)]
pub(super) struct DenialsRequest {
    /// Only those in this mesh.
    pub(super) mesh: Option<String>,
    limit: usize,
}

impl DenialsRequest {
    /// What a query asks for.
    pub(super) fn decode(query: &Query) -> Result<Self, ApiError> {
        let mesh = query.get("mesh").cloned();
        if let Some(mesh) = &mesh {
            check_name(Kind::Mesh, mesh).map_err(|error| ApiError::Invalid(vec![error]))?;
        }
        let limit = match query.get("limit").map(|limit| limit.parse()) {
            None => DENIALS_MAX,
            Some(Ok(limit @ 1..=DENIALS_MAX)) => limit,
            Some(_) => {
                let problem =
                    format!("limit: {} is not an integer in 1..={DENIALS_MAX}", quote(&query["limit"]));
                return Err(ApiError::BadRequest(problem));
            }
        };
        Ok(Self { mesh, limit })
    }
}

impl Frontend {
    /// The denials that `request` asks for, newest first.
    pub(super) fn denials(&self, request: &DenialsRequest) -> Value {
        let newest = self.authoriser.denials().newest(request.mesh.as_deref(), request.limit);
        let shown: Vec<Value> = newest.iter().map(shown).collect();
        json!({"denials": shown})
    }
}

fn shown(denial: &Denial) -> Value {
    json!({
        "user": denial.denied.user,
        "action": denial.denied.action,
        "resource": denial.denied.resource,
        "count": denial.count,
        "firstAt": time(denial.first_ms),
        "lastAt": time(denial.last_ms),
    })
}
