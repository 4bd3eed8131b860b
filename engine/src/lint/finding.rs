//! What is found: a place in a definition, what happens to the traffic because of it, and what to do.

use std::fmt::{self, Display};

use serde_json::{Value, json};

use crate::model::{Path, ResourceId};

/// Declares [`Code`] with the names that users know, which never change their meaning.
macro_rules! codes {
    ($( $(#[$meta:meta])* $code:ident = $name:literal, )*) => {
        /// What is wrong: a closed set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $( $(#[$meta])* $code, )*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$( Code::$code ),*];

            /// The name, such as `backend-missing`.
            pub fn as_str(self) -> &'static str {
                match self { $( Code::$code => $name, )* }
            }
        }
    };
}

codes! {
    /// What must exist does not. The API refuses that; documents may do so.
    ReferenceMissing = "reference-missing",
    /// A backend is a virtual service that does not exist.
    BackendMissing = "backend-missing",
    /// A backend cannot have a port, because it is for TCP and another backend has the port.
    TcpBackendsSharePort = "tcp-backends-share-port",
    /// A backend cannot have a host, because another backend has it.
    BackendsShareHost = "backends-share-host",
    /// A virtual service has no provider.
    ServiceWithoutProvider = "service-without-provider",
    /// The provider of a virtual service is a virtual node that listens nowhere.
    ProviderWithoutListeners = "provider-without-listeners",
    /// The provider of a virtual service is a virtual router that has no route for one of its ports, or no port.
    ProviderWithoutRoutes = "provider-without-routes",
    /// A virtual node that gets requests has no service discovery.
    NoServiceDiscovery = "no-service-discovery",
    /// A route is for a protocol that its router or gateway does not listen for.
    ProtocolMismatch = "protocol-mismatch",
    /// A route is for a port at which its router or gateway does not listen.
    PortNotListened = "port-not-listened",
    /// A route leads to a virtual node that listens nowhere.
    TargetWithoutListeners = "target-without-listeners",
    /// A route leads to a port at which its target does not listen.
    TargetPortNotListened = "target-port-not-listened",
    /// A route leads to a virtual node without saying to which of its ports, and none is the obvious one.
    TargetPortAmbiguous = "target-port-ambiguous",
    /// A route leads to a listener that does not speak what the route is for.
    TargetProtocolMismatch = "target-protocol-mismatch",
    /// All targets of a route have weight zero.
    WeightsAllZero = "weights-all-zero",
    /// Whatever a route is for, one that is tried earlier takes.
    UnreachableRoute = "unreachable-route",
    /// A virtual gateway has no gateway route for one of its listeners.
    GatewayListenerWithoutRoutes = "gateway-listener-without-routes",
    /// A client insists on TLS, and what it calls does not offer it.
    TlsNotOffered = "tls-not-offered",
    /// A listener insists on TLS, and a client does not use it.
    TlsRequired = "tls-required",
}

impl Code {
    /// The code of this name.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// Whether everything that leads to the resource suffers, not only what it is part of.
    pub(crate) fn spreads(self) -> bool {
        matches!(
            self,
            Code::ServiceWithoutProvider
                | Code::ProviderWithoutListeners
                | Code::ProviderWithoutRoutes
                | Code::NoServiceDiscovery
        )
    }
}

impl Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something in a definition that black-holes traffic, or will. It may be on its way to be right: it is a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub code: Code,
    /// The resource that is to be changed, if no other is.
    pub id: ResourceId,
    /// The place in its definition, such as `spec.backends[0].virtualService.virtualServiceName`.
    pub path: String,
    /// What happens to the traffic, and what to do.
    pub message: String,
    /// The other resources that take part.
    pub about: Vec<ResourceId>,
}

impl Finding {
    pub(super) fn new(code: Code, id: ResourceId, at: &Path, message: String) -> Self {
        Self { code, id, path: at.to_string(), message, about: Vec::new() }
    }

    pub(super) fn about(self, about: Vec<ResourceId>) -> Self {
        Self { about, ..self }
    }

    /// The finding for programs.
    pub fn to_json(&self) -> Value {
        let about: Vec<String> = self.about.iter().map(ResourceId::path).collect();
        json!({
            "code": self.code.as_str(),
            "severity": "warning",
            "resource": self.id.path(),
            "path": self.path,
            "message": self.message,
            "about": about,
        })
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}: {}", self.code, self.id, self.path, self.message)
    }
}
