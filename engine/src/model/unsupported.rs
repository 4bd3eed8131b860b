//! What the model describes and Legation cannot do yet: refused, rather than ignored.

use super::definition::Spec;
use super::service_discovery::ServiceDiscovery;
use super::shape::{Errors, Path};
use super::tls::{BackendDefaults, ClientPolicy, ListenerTls};

/// Reports every use of TLS (from files, from a certificate manager or from a secret discovery service) and
/// of AWS Cloud Map.
pub(super) fn check(spec: &Spec, at: &Path, errors: &mut Errors) {
    match spec {
        Spec::VirtualNode(node) => {
            refuse_in_defaults(node.backend_defaults.as_ref(), at, errors);
            for (index, backend) in node.backends().enumerate() {
                let at = at.field("backends").index(index).field("virtualService");
                refuse_in_policy(backend.client_policy.as_ref(), &at, errors);
            }
            refuse_in_listeners(node.listeners().iter().map(|listener| &listener.tls), at, errors);
            if let Some(ServiceDiscovery::AwsCloudMap(_)) = node.service_discovery {
                let at = at.field("serviceDiscovery").field("awsCloudMap");
                errors.report(&at, "AWS Cloud Map is not supported yet");
            }
        }
        Spec::VirtualGateway(gateway) => {
            refuse_in_defaults(gateway.backend_defaults.as_ref(), at, errors);
            refuse_in_listeners(gateway.listeners.iter().map(|listener| &listener.tls), at, errors);
        }
        _ => {}
    }
}

fn refuse_in_defaults(defaults: Option<&BackendDefaults>, at: &Path, errors: &mut Errors) {
    let policy = defaults.and_then(|defaults| defaults.client_policy.as_ref());
    refuse_in_policy(policy, &at.field("backendDefaults"), errors);
}

fn refuse_in_policy(policy: Option<&ClientPolicy>, at: &Path, errors: &mut Errors) {
    if policy.is_some_and(|policy| policy.tls.is_some()) {
        refuse_tls(&at.field("clientPolicy").field("tls"), errors);
    }
}

fn refuse_in_listeners<'a>(
    listeners: impl Iterator<Item = &'a Option<ListenerTls>>,
    at: &Path,
    errors: &mut Errors,
) {
    for (index, tls) in listeners.enumerate() {
        if tls.is_some() {
            refuse_tls(&at.field("listeners").index(index).field("tls"), errors);
        }
    }
}

fn refuse_tls(at: &Path, errors: &mut Errors) {
    errors.report(at, "TLS is not supported yet");
}
