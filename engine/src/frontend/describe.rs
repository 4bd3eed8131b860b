//! Showing a resource.

use super::Frontend;
use super::error::ApiError;
use crate::model::{Definition, ResourceId};

impl Frontend {
    /// The definition of `id` as it is now.
    pub(super) async fn describe(&self, id: &ResourceId) -> Result<Definition, ApiError> {
        Ok(self.find(id).await?.definition)
    }
}
