//! `legation bootstrap`: the configuration that an Envoy starts with.

use std::io::{Write, stdout};
use std::net::IpAddr;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::model::{Kind, ResourceId, check_name};

const EXAMPLES: &str = "\
Examples:
  legation bootstrap --mesh shop --virtual-node cart > envoy.yaml && envoy -c envoy.yaml
  legation bootstrap --mesh shop --virtual-gateway front --xds-addr legation.internal:18000 --protocol sotw

Exit codes:
  0  the configuration was printed
  2  wrong usage";

/// Print the configuration that an Envoy starts with.
///
/// It is complete: envoy -c takes it as it is. Everything else the Envoy is told by the control plane. All replicas of a
/// virtual node or gateway start with the same one.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = clap::ArgGroup::new("node").required(true))]
pub struct BootstrapArgs {
    /// The mesh
    #[arg(long)]
    mesh: String,

    /// The virtual node that the Envoy stands beside
    #[arg(long, group = "node")]
    virtual_node: Option<String>,

    /// The virtual gateway that the Envoy is
    #[arg(long, group = "node")]
    virtual_gateway: Option<String>,

    /// Where the control plane listens for Envoys
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:18000", value_parser = parse_address)]
    xds_addr: Address,

    /// How the Envoy asks for its configuration: for changes, or for the state of the world
    #[arg(long, value_enum, default_value_t = Protocol::Delta)]
    protocol: Protocol,

    /// The port of the Envoy's own administration interface, on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 9901)]
    envoy_admin_port: u16,
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
}

/// Which form of xDS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Only what changed is sent
    Delta,
    /// Everything of a type is sent whenever some of it changed
    Sotw,
}

/// Prints the bootstrap that `args` ask for.
pub fn run(args: &BootstrapArgs) -> ExitCode {
    match bootstrap(args) {
        Ok(text) => match stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(2)
        }
    }
}

fn bootstrap(args: &BootstrapArgs) -> Result<String, String> {
    let id = node(args)?;
    let tag = format!("appmesh.{}", id.kind().human_name().replace(' ', "_"));
    let api_type = match args.protocol {
        Protocol::Delta => "DELTA_GRPC",
        Protocol::Sotw => "GRPC",
    };
    let cluster_type = match args.xds_addr.host.parse::<IpAddr>() {
        Ok(_) => "STATIC",
        Err(_) => "STRICT_DNS",
    };
    // a string in JSON is one in YAML
    let replacements = [
        ("{node_id}", json!(id.path()).to_string()),
        ("{mesh}", json!(id.mesh_name()).to_string()),
        ("{node_tag}", tag),
        ("{name}", json!(id.name()).to_string()),
        ("{api_type}", api_type.to_owned()),
        ("{cluster_type}", cluster_type.to_owned()),
        ("{xds_host}", json!(args.xds_addr.host).to_string()),
        ("{xds_port}", args.xds_addr.port.to_string()),
        ("{admin_port}", args.envoy_admin_port.to_string()),
    ];
    Ok(fill(include_str!("bootstrap.yaml"), &replacements))
}

/// Fills in each placeholder, without a look at what was filled in.
fn fill(template: &str, replacements: &[(&str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        filled += &rest[..start];
        rest = &rest[start..];
        let replacement = replacements.iter().find(|(placeholder, _)| rest.starts_with(placeholder));
        let (placeholder, text) = replacement.map_or(("{", "{"), |(placeholder, text)| (placeholder, text));
        filled += text;
        rest = &rest[placeholder.len()..];
    }
    filled + rest
}

fn node(args: &BootstrapArgs) -> Result<ResourceId, String> {
    let check = |flag: &str, kind, name: &str| {
        check_name(kind, name).map_err(|error| format!("--{flag} {}", error.problem))
    };
    check("mesh", Kind::Mesh, &args.mesh)?;
    if let Some(name) = &args.virtual_node {
        check("virtual-node", Kind::VirtualNode, name)?;
        return Ok(ResourceId::virtual_node(&args.mesh, name));
    }
    let name = args.virtual_gateway.as_deref().unwrap_or_default();
    check("virtual-gateway", Kind::VirtualGateway, name)?;
    Ok(ResourceId::virtual_gateway(&args.mesh, name))
}

fn parse_address(text: &str) -> Result<Address, String> {
    let (host, port) = text.rsplit_once(':').ok_or("is not HOST:PORT")?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or("has no port in 1..=65535")?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    let is_valid = !host.is_empty() && host.chars().all(is_host);
    if !is_valid || (host.contains(':') && host.parse::<IpAddr>().is_err()) {
        return Err("has no host that is a name or an address".to_owned());
    }
    let host = host.to_owned();
    Ok(Address { host, port })
}

#[cfg(test)]
mod tests;
