//! Which hosts the virtual hosts of a route configuration are for.

use std::collections::HashSet;

/// The hosts that the virtual hosts of one route configuration have taken already. Envoy knows each host once, in whatever
/// case, and refuses a route configuration in which it stands twice.
#[derive(Default)]
pub(crate) struct Hosts(HashSet<String>);

impl Hosts {
    /// Whether none of `hosts` is taken.
    pub(crate) fn are_free(&self, hosts: &[String]) -> bool {
        hosts.iter().all(|host| !self.0.contains(&host.to_ascii_lowercase()))
    }

    /// Takes all of `hosts`, or none if one of them is taken.
    pub(crate) fn take(&mut self, hosts: &[String]) -> bool {
        let hosts: Vec<_> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        if hosts.iter().any(|host| self.0.contains(host)) {
            return false;
        }
        self.0.extend(hosts);
        true
    }
}

/// The hosts of a virtual service at a port: its name, without and with the port.
pub(crate) fn of_service(name: &str, port: u16) -> [String; 2] {
    [name.to_owned(), format!("{name}:{port}")]
}

/// Whether a virtual service of this name can have a host that one of another name has, too: since case makes no difference, or
/// since what looks like a port is part of the name. Where no name is so there is no need to keep account, and mostly none is.
pub(crate) fn is_ambiguous(name: &str) -> bool {
    name.bytes().any(|byte| byte == b':' || byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_whose_names_are_not_ambiguous_never_share_a_host() {
        let names = ["a", "a.local", "a80", "b", "A", "a:80", "a:80:80", "a.LOCAL", "ä", "Ä"];
        let ambiguous = ["A", "a:80", "a:80:80", "a.LOCAL"];
        for (one, other) in names.iter().flat_map(|one| names.map(|other| (*one, other))) {
            let mut hosts = Hosts::default();
            assert!(hosts.take(&of_service(one, 80)));
            if one != other && !hosts.take(&of_service(other, 80)) {
                assert!(is_ambiguous(one) || is_ambiguous(other), "{one} and {other}");
            }
            assert_eq!(is_ambiguous(one), ambiguous.contains(&one), "{one}");
        }
    }
}
