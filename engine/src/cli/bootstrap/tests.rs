use clap::Parser;
use expect_test::{Expect, expect};
use serde_json::Value;

use super::{BootstrapArgs, bootstrap, fill, parse_address};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: BootstrapArgs,
}

/// The bootstrap for this command line, or what is wrong with it.
fn run(line: &[&str]) -> Result<String, String> {
    let line = Line::try_parse_from([&["bootstrap"], line].concat()).map_err(|error| error.to_string())?;
    bootstrap(&line.args)
}

fn parsed(line: &[&str]) -> Value {
    serde_saphyr::from_str(&run(line).unwrap()).unwrap()
}

#[test]
fn a_virtual_node() {
    let bootstrap = parsed(&["--mesh", "m", "--virtual-node", "n"]);
    assert_eq!(bootstrap["node"]["id"], "mesh/m/virtualNode/n");
    assert_eq!(bootstrap["node"]["cluster"], bootstrap["node"]["id"]);
    assert_eq!(bootstrap["admin"]["address"]["socket_address"]["port_value"], 9901);
    let ads = &bootstrap["dynamic_resources"]["ads_config"];
    assert_eq!(ads["api_type"], "DELTA_GRPC");
    let cluster = &bootstrap["static_resources"]["clusters"][0];
    assert_eq!(ads["grpc_services"][0]["envoy_grpc"]["cluster_name"], cluster["name"]);
    assert_eq!(cluster["type"], "STATIC");
    assert_eq!(address(cluster)["address"], "127.0.0.1");
    assert_eq!(address(cluster)["port_value"], 18000);
    assert_eq!(bootstrap["stats_config"]["stats_tags"][0]["fixed_value"], "m");
    assert_eq!(bootstrap["stats_config"]["stats_tags"][1]["tag_name"], "appmesh.virtual_node");
    assert_eq!(bootstrap["stats_config"]["stats_tags"][1]["fixed_value"], "n");
}

#[test]
fn a_virtual_gateway_elsewhere() {
    let line =
        "--mesh m --virtual-gateway g --xds-addr legation.internal:80 --protocol sotw --envoy-admin-port 1";
    let bootstrap = parsed(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(bootstrap["node"]["id"], "mesh/m/virtualGateway/g");
    assert_eq!(bootstrap["admin"]["address"]["socket_address"]["port_value"], 1);
    assert_eq!(bootstrap["dynamic_resources"]["ads_config"]["api_type"], "GRPC");
    let cluster = &bootstrap["static_resources"]["clusters"][0];
    assert_eq!(cluster["type"], "STRICT_DNS");
    assert_eq!(address(cluster)["address"], "legation.internal");
    assert_eq!(bootstrap["stats_config"]["stats_tags"][1]["tag_name"], "appmesh.virtual_gateway");
}

fn address(cluster: &Value) -> &Value {
    &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
}

#[test]
fn names_stay_what_they_are() {
    for name in ["null", "1", "a: b", "{name}", "{mesh}", "#", "\"\\", "é/x", "'"] {
        let bootstrap = parsed(&["--mesh", "m", "--virtual-node", name]);
        assert_eq!(bootstrap["node"]["id"], format!("mesh/m/virtualNode/{name}"));
        assert_eq!(bootstrap["stats_config"]["stats_tags"][1]["fixed_value"], name);
    }
}

#[test]
fn addresses() {
    for (text, host, port) in
        [("127.0.0.1:1", "127.0.0.1", 1), ("[::1]:18000", "::1", 18000), ("a-b.c_d:65535", "a-b.c_d", 65535)]
    {
        let address = parse_address(text).unwrap();
        assert_eq!((address.host.as_str(), address.port), (host, port));
    }
    for text in ["", "a", ":1", "a:", "a:0", "a:65536", "a:b", "::1:2:x:1", "a b:1", "http://a:1", "[]:1"] {
        parse_address(text).unwrap_err();
    }
}

#[test]
fn only_placeholders_are_filled_in() {
    let filled = fill("{a} {} {b} {x: {a}}", &[("{a}", "{b}".to_owned()), ("{b}", "2".to_owned())]);
    assert_eq!(filled, "{b} {} 2 {x: {b}}");
}

#[test]
fn errors_name_the_flag() {
    fn check(line: &[&str], expected: Expect) {
        let error = run(line).unwrap_err();
        expected.assert_eq(error.lines().next().unwrap_or_default());
    }
    check(
        &["--mesh", "a/b", "--virtual-node", "n"],
        expect![[r#"--mesh has a /, which the name of a mesh may not have"#]],
    );
    check(
        &["--mesh", "m", "--virtual-node", ""],
        expect!["--virtual-node has 0 characters; 1 to 255 are allowed"],
    );
    check(&["--mesh", "m", "--virtual-gateway", "a\n"], expect!["--virtual-gateway has a control character"]);
    check(&["--mesh", "m"], expect!["error: the following required arguments were not provided:"]);
    let both = ["--mesh", "m", "--virtual-node", "n", "--virtual-gateway", "g"];
    check(
        &both,
        expect![
            "error: the argument '--virtual-node <VIRTUAL_NODE>' cannot be used with '--virtual-gateway <VIRTUAL_GATEWAY>'"
        ],
    );
    let address = ["--mesh", "m", "--virtual-node", "n", "--xds-addr", "x"];
    check(&address, expect!["error: invalid value 'x' for '--xds-addr <HOST:PORT>': is not HOST:PORT"]);
}
