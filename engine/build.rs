//! Compiles the descriptors of Envoy's messages, with which they are shown as JSON, from the very definitions that
//! envoy-types was generated from: its package carries them, and cargo knows where the package is.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files that define what Legation sends; what they import comes with them. What stands in an `Any` is imported by
/// nobody and has to stand here.
const ROOTS: [&str; 14] = [
    "envoy/config/cluster/v3/cluster.proto",
    "envoy/config/endpoint/v3/endpoint.proto",
    "envoy/config/listener/v3/listener.proto",
    "envoy/config/route/v3/route.proto",
    "envoy/extensions/access_loggers/file/v3/file.proto",
    "envoy/extensions/filters/http/router/v3/router.proto",
    "envoy/extensions/filters/listener/original_dst/v3/original_dst.proto",
    "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto",
    "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto",
    "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto",
    "envoy/extensions/transport_sockets/tls/v3/secret.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/extensions/upstreams/http/v3/http_protocol_options.proto",
];

/// Where the definitions are, in the package of envoy-types.
const INCLUDES: [&str; 7] = [
    "proto/cel-spec/proto",
    "proto/client_model",
    "proto/data-plane-api",
    "proto/googleapis",
    "proto/opentelemetry-proto",
    "proto/protoc-gen-validate",
    "proto/xds",
];

fn main() -> Result<(), Box<dyn Error>> {
    let (workspace, package) = locate("envoy-types")?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", workspace.join("Cargo.lock").display());
    let descriptors = protox::Compiler::new(INCLUDES.map(|include| package.join(include)))?
        .include_imports(true)
        .open_files(ROOTS)?
        .encode_file_descriptor_set(); // with the options that tell which fields are secret
    fs::write(Path::new(&env::var("OUT_DIR")?).join("envoy.descriptors"), descriptors)?;
    Ok(())
}

/// The folders of the workspace, and of the package `name` that Cargo.lock chooses.
fn locate(name: &str) -> Result<(PathBuf, PathBuf), Box<dyn Error>> {
    // packages for other platforms may never have been fetched
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &env::var("TARGET")?])
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata tells no packages")?;
    let package = packages.iter().find(|package| package["name"] == name);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|manifest| Path::new(manifest).parent());
    let workspace = metadata["workspace_root"].as_str().ok_or("cargo metadata tells no workspace")?;
    Ok((workspace.into(), folder.ok_or_else(|| format!("cargo metadata knows no {name}"))?.to_owned()))
}
