//! A stream, whatever carries it.

use std::sync::Arc;

use bytes::Bytes;
use tonic::Status;

use super::fanout::{Fanout, Outlet};
use super::request::Request;

/// A stream of an Envoy, which gets what changes until this is dropped.
#[derive(Debug)]
pub(super) struct Session {
    fanout: Arc<Fanout>,
    outlet: Arc<dyn Outlet>,
    /// Told by the first request.
    node: Option<usize>,
}

impl Session {
    pub(super) fn new(fanout: Arc<Fanout>, outlet: Arc<dyn Outlet>) -> Self {
        Self { fanout, outlet, node: None }
    }

    /// Takes a request, and answers it if it is the first for a type.
    pub(super) fn take(&mut self, request: Bytes) -> Result<(), Status> {
        let prepared = &self.fanout.prepared;
        let request = Request::decode(prepared.protocol, request)
            .map_err(|error| Status::invalid_argument(format!("the request cannot be read: {error}")))?;
        let node = match self.node {
            Some(node) => node,
            None => {
                let id = request.node.unwrap_or_default();
                let node = prepared
                    .position(&id)
                    .ok_or_else(|| Status::not_found(format!("there is no node `{id}`")))?;
                self.fanout.add(node, Arc::clone(&self.outlet));
                *self.node.insert(node)
            }
        };
        if !request.is_ack
            && let Some(answer) = prepared.answer(node, &request.type_url)
        {
            let _ = self.outlet.send(answer); // if it has ended, so does what reads from it
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(node) = self.node {
            self.fanout.remove(node, &self.outlet);
        }
    }
}
