//! Who may connect: at most so many Envoys on this host, and of one node.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use legation_proto::id::NodeId;
use thiserror::Error;

use crate::metrics;

/// The part of its places that a host fills before it reports itself not ready for more, in percent: the rest is for
/// Envoys that a balancer sends before it has noticed.
const SOFT_LIMIT_PERCENT: usize = 95;

/// How many Envoys may be connected.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// On this host.
    pub envoys: usize,
    /// Of one virtual node or gateway, on this host.
    pub envoys_per_node: usize,
}

/// Why an Envoy may not connect.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// This host holds as many as it may.
    #[error("this host holds {0} envoys and takes no more; connect again to reach another")]
    HostFull(usize),
    /// So many of this node are connected as may be.
    #[error("{limit} envoys of {node} are connected to this host and it takes no more of them")]
    NodeFull {
        /// The node.
        node: NodeId,
        /// The limit.
        limit: usize,
    },
}

/// Counts the Envoys of this host.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    connected: AtomicUsize,
    by_node: DashMap<NodeId, usize>,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, connected: AtomicUsize::new(0), by_node: DashMap::new() }
    }

    /// Takes a place for an Envoy, if there is one: exactly as many as the limits say, however many come at once.
    pub(crate) fn admit(self: &Arc<Self>, node: &NodeId) -> Result<Place, Refused> {
        let one_more = |limit: usize| move |count: usize| (count < limit).then_some(count + 1);
        let host =
            self.connected.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more(self.limits.envoys));
        if host.is_err() {
            return Err(Refused::HostFull(self.limits.envoys));
        }
        metrics::envoys_connected(1);
        let mut of_node = self.by_node.entry(node.clone()).or_default();
        if *of_node >= self.limits.envoys_per_node {
            drop(of_node);
            self.leave_host();
            return Err(Refused::NodeFull { node: node.clone(), limit: self.limits.envoys_per_node });
        }
        *of_node += 1;
        Ok(Place { admission: Arc::clone(self), node: node.clone() })
    }

    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// How many of each node are connected, of those that any are of.
    pub(crate) fn connected_by_node(&self) -> HashMap<NodeId, usize> {
        self.by_node.iter().map(|node| (node.key().clone(), *node.value())).collect()
    }

    /// Whether a balancer had better send Envoys elsewhere.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.connected() * 100 >= self.limits.envoys * SOFT_LIMIT_PERCENT
    }

    fn leave_host(&self) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
        metrics::envoys_connected(-1);
    }
}

/// The places of the Envoys of one connection: an Envoy that has a stream for each type holds one place with all of them.
/// Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<HashMap<NodeId, Weak<Place>>>>);

impl Places {
    /// The place that another stream of `node` holds, or else a new one.
    pub(crate) fn of(&self, node: &NodeId, admission: &Arc<Admission>) -> Result<Arc<Place>, Refused> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(node).and_then(Weak::upgrade) {
            return Ok(place);
        }
        let place = Arc::new(admission.admit(node)?);
        places.retain(|_, place| place.strong_count() > 0);
        places.insert(node.clone(), Arc::downgrade(&place));
        Ok(place)
    }
}

/// A place among the Envoys that may be connected; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    node: NodeId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.leave_host();
        if let Entry::Occupied(mut of_node) = self.admission.by_node.entry(self.node.clone()) {
            *of_node.get_mut() -= 1;
            if *of_node.get() == 0 {
                of_node.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use ::metrics::with_local_recorder;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    fn node(name: &str) -> NodeId {
        format!("mesh/m/virtualNode/{name}").parse().unwrap()
    }

    #[test]
    fn a_storm_is_admitted_up_to_the_limit_exactly() {
        let admission = Arc::new(Admission::new(Limits { envoys: 1000, envoys_per_node: 1000 }));
        let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
        let counted =
            |number| recorder.handle().render().contains(&format!("legation_envoys_connected {number}\n"));
        let storm: Vec<_> = (0..8)
            .map(|_| {
                let (admission, recorder) = (Arc::clone(&admission), Arc::clone(&recorder));
                thread::spawn(move || {
                    with_local_recorder(recorder.as_ref(), || {
                        (0..200).filter_map(|_| admission.admit(&node("n")).ok()).collect::<Vec<_>>()
                    })
                })
            })
            .collect();
        let places: Vec<Place> = storm.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(places.len(), 1000);
        assert_eq!(admission.admit(&node("n")).unwrap_err(), Refused::HostFull(1000));
        assert!(counted(1000), "{}", recorder.handle().render());
        with_local_recorder(recorder.as_ref(), || drop(places));
        assert!(counted(0), "{}", recorder.handle().render());
        assert_eq!(admission.connected(), 0);
        assert!(admission.by_node.is_empty());
    }

    #[test]
    fn one_node_does_not_take_the_places_of_others() {
        let admission = Arc::new(Admission::new(Limits { envoys: 10, envoys_per_node: 1 }));
        let place = admission.admit(&node("a")).unwrap();
        assert_eq!(admission.admit(&node("a")).unwrap_err(), Refused::NodeFull { node: node("a"), limit: 1 });
        assert_eq!(admission.connected(), 1, "the refused one holds no place");
        let _other = admission.admit(&node("b")).unwrap();
        assert_eq!(admission.connected_by_node(), HashMap::from([(node("a"), 1), (node("b"), 1)]));
        drop(place);
        assert_eq!(admission.connected_by_node(), HashMap::from([(node("b"), 1)]));
        assert!(admission.admit(&node("a")).is_ok());
    }

    #[test]
    fn streams_of_one_envoy_share_a_place() {
        let admission = Arc::new(Admission::new(Limits { envoys: 2, envoys_per_node: 2 }));
        let (connection, other) = (Places::default(), Places::default());
        let first = connection.of(&node("a"), &admission).unwrap();
        let second = connection.of(&node("a"), &admission).unwrap();
        assert_eq!(admission.connected(), 1);
        let third = other.of(&node("a"), &admission).unwrap();
        assert_eq!(admission.connected(), 2, "another connection is another Envoy");
        assert_eq!(connection.of(&node("b"), &admission).unwrap_err(), Refused::HostFull(2));
        drop((first, third));
        assert_eq!(admission.connected(), 1, "the second stream still holds it");
        drop(second);
        assert_eq!(admission.connected(), 0);
        assert!(connection.of(&node("b"), &admission).is_ok());
    }

    #[test]
    fn the_soft_limit_comes_before_the_hard_one() {
        let admission = Arc::new(Admission::new(Limits { envoys: 20, envoys_per_node: 20 }));
        let mut places: Vec<Place> = (0..18).map(|_| admission.admit(&node("n")).unwrap()).collect();
        assert!(!admission.is_nearly_full());
        places.push(admission.admit(&node("n")).unwrap());
        assert!(admission.is_nearly_full());
        assert!(admission.admit(&node("n")).is_ok());
    }
}
