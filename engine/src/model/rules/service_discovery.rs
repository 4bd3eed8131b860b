//! Rules on service discovery.

use super::text::check_hostname;
use crate::model::service_discovery::ServiceDiscovery;
use crate::model::shape::{Errors, Path};

/// The rules on the service discovery of the specification at `at`: what is resolved is a host name, and the
/// attributes of AWS Cloud Map have the characters that it allows.
pub(super) fn check(discovery: Option<&ServiceDiscovery>, at: &Path, errors: &mut Errors) {
    let at = at.field("serviceDiscovery");
    match discovery {
        None => {}
        Some(ServiceDiscovery::Dns(dns)) => {
            check_hostname(&dns.hostname, &at.field("dns").field("hostname"), errors);
        }
        Some(ServiceDiscovery::AwsCloudMap(cloud_map)) => {
            let at = at.field("awsCloudMap").field("attributes");
            for (index, attribute) in cloud_map.attributes.iter().flatten().enumerate() {
                let at = at.index(index);
                if !attribute.key.chars().all(|c| c.is_ascii_graphic()) {
                    errors.report(&at.field("key"), "has a character that is not visible ASCII");
                }
                let value = &attribute.value;
                let allowed = |c: char| c.is_ascii_graphic() || c == ' ' || c == '\t';
                if !value.chars().all(allowed) || value.starts_with([' ', '\t']) {
                    errors.report(
                        &at.field("value"),
                        "starts with a blank, or has a character that is not ASCII",
                    );
                }
            }
        }
    }
}
