//! `legation config`: what the Envoys, or gRPC clients, of a node should have.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use legation_proto::resource_type::ResourceType;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_saphyr::ser_options;

use super::admin::AdminArgs;
use super::failure::{Failure, print};
use crate::admin::NodeConfig;

/// Show what the Envoys of a node should have
///
/// Shows every cluster, endpoint assignment, secret, listener and route configuration with its version, in the form of Envoy's
/// config_dump, whether or not an Envoy is connected. What is secret is redacted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  legation config --node mesh/bookshop/virtualNode/checkout --type cds")]
pub(super) struct ConfigArgs {
    /// The id of a virtual node or gateway, as in an Envoy's bootstrap: mesh/<mesh>/virtualNode/<name>,
    /// mesh/<mesh>/virtualGateway/<name>, or its ARN
    #[arg(long, value_name = "ID")]
    node: String,

    /// What for
    #[arg(long, value_name = "CLIENT", default_value = "envoy", value_parser = ["envoy", "grpc"])]
    client: String,

    /// Only resources of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = types())]
    resource_type: Option<String>,

    /// Only resources of this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    admin: AdminArgs,

    /// How to show it
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: Output,
}

/// How to show the configuration.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    /// For people
    Yaml,
    /// For programs
    Json,
}

fn types() -> PossibleValuesParser {
    ResourceType::ALL.map(ResourceType::label).into()
}

/// Asks for the configuration and shows it.
pub(super) fn run(args: &ConfigArgs) -> Result<(), Failure> {
    let config = serde_json::from_value(args.admin.get(&path(args), Duration::ZERO)?)
        .map_err(|error| Failure::message(format!("the answer is not understood: {error}")))?;
    print(&render(&config, args.output)?)
}

fn path(args: &ConfigArgs) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut path = format!("/config?node={}", encoded(&args.node));
    path += &format!("&client={}", encoded(&args.client));
    for (key, value) in [("type", &args.resource_type), ("name", &args.name)] {
        if let Some(value) = value {
            path += &format!("&{key}={}", encoded(value));
        }
    }
    path
}

fn render(config: &NodeConfig, output: Output) -> Result<String, Failure> {
    match output {
        Output::Yaml => {
            let options = ser_options! { prefer_block_scalars: false };
            serde_saphyr::to_string_with_options(config, options).map_err(|error| Failure::failed(&error))
        }
        Output::Json => serde_json::to_string_pretty(config)
            .map(|text| text + "\n")
            .map_err(|error| Failure::failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::admin::{ResourceConfig, TypeConfig};

    fn config() -> NodeConfig {
        let resource = ResourceConfig {
            name: "c".to_owned(),
            version: "7-00000000000000ff".to_owned(),
            config: json!({
                "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
                "connect_timeout": "5s",
                "name": "c",
                "max_bytes": "18446744073709551615",
                "regex": format!("^{}$", "a long one ".repeat(20)),
                "text": "two\nlines, yes: # no",
                "nothing": null,
                "numbers": [1, 0.5, true, "1", "yes", ""],
            }),
        };
        let of_type = |resources| TypeConfig { version: "7-00000000000000aa".to_owned(), resources };
        let types = [("cds", of_type(vec![resource])), ("eds", of_type(Vec::new()))];
        NodeConfig {
            node: "mesh/m/virtualNode/n".to_owned(),
            client: "envoy".to_owned(),
            transaction: 7,
            problems: vec!["a is left out at port 80: b takes it".to_owned()],
            types: types.map(|(label, of_type)| (label.to_owned(), of_type)).into(),
        }
    }

    #[test]
    fn yaml_begins_with_what_matters_most() {
        let mut config = config();
        config.types.get_mut("cds").unwrap().resources[0].config = json!({"@type": "x", "name": "c"});
        expect![[r#"
            node: mesh/m/virtualNode/n
            client: envoy
            transaction: 7
            problems:
            - "a is left out at port 80: b takes it"
            types:
              cds:
                version: 7-00000000000000aa
                resources:
                - name: c
                  version: 7-00000000000000ff
                  config:
                    "@type": x
                    name: c
              eds:
                version: 7-00000000000000aa
                resources: []
        "#]]
        .assert_eq(&render(&config, Output::Yaml).unwrap());
    }

    #[test]
    fn both_forms_say_the_same() {
        let expected = serde_json::to_value(config()).unwrap();
        let yaml = render(&config(), Output::Yaml).unwrap();
        assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&yaml).unwrap(), expected, "{yaml}");
        let json = render(&config(), Output::Json).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), expected);
    }

    #[test]
    fn what_is_asked_for_is_escaped() {
        let args = ConfigArgs {
            node: "mesh/m&/virtualNode/ä b".to_owned(),
            client: "envoy".to_owned(),
            resource_type: Some("cds".to_owned()),
            name: Some("a=b".to_owned()),
            admin: AdminArgs { admin: "http://h:1".to_owned() },
            output: Output::Yaml,
        };
        let expected =
            "http://h:1/config?node=mesh%2Fm%26%2FvirtualNode%2F%C3%A4%20b&client=envoy&type=cds&name=a%3Db";
        assert_eq!(args.admin.url(&path(&args)), expected);
    }
}
