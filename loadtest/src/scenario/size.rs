//! How large the mesh and the fleet of a scenario are.

/// Flags that most scenarios have.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Envoys, each of a virtual node of its own
    #[arg(long, default_value_t = 1000)]
    pub envoys: usize,

    /// Backends of each node
    #[arg(long, default_value_t = 10)]
    pub backends: usize,

    /// Virtual services, each with a router and a route
    #[arg(long, default_value_t = 1000)]
    pub services: u32,
}

impl Size {
    /// As a run tells them.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        vec![
            ("envoys", self.envoys.to_string()),
            ("backends", self.backends.to_string()),
            ("services", self.services.to_string()),
        ]
    }
}
