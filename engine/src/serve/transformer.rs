//! Starts the transformer.

use std::sync::Arc;

use super::ServeError;
use super::process::Process;
use crate::admin::TransformerView;
use crate::membership::Sharing;
use crate::store::{Store, retention};
use crate::transformer::passes::Passes;
use crate::transformer::workers::Workers;

/// Starts the passes over all meshes, or over this share of them, and what looks at meshes behind them.
pub(super) fn start(
    process: &mut Process,
    store: &Arc<dyn Store>,
    share: Option<Sharing>,
) -> Result<TransformerView, ServeError> {
    let (mut passes, transformed) = Passes::new(Arc::clone(store), Workers::start(super::cores())?);
    if let Some(share) = share {
        passes = passes.with_share(share);
    }
    let linter = passes.linter();
    let view = TransformerView { transformed, found: linter.found() };
    process.run(async move { Ok(passes.run().await?) });
    process.run(async move {
        linter.run().await;
        Ok(())
    });
    // the journal is nobody's in particular, and the transformer has no callers who wait
    let journal = retention::keep(Arc::clone(store), process.settings.retention);
    process.run(async move { match journal.await {} });
    Ok(view)
}
