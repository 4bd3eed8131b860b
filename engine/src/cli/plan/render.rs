//! A plan as a person likes to read it.

use comfy_table::{CellAlignment, Table, presets};
use legation_proto::resource_type::ResourceType;
use serde_json::Value;

use crate::cli::changes::Renderer;

/// What an Envoy may be sent otherwise than as it is planned.
const ONE_BY_ONE: &str = "planned as one transaction, as apply --atomic makes it; resource by resource, an Envoy may be sent more often\n";

/// Renders plans.
pub(super) struct Render<'a> {
    pub(super) renderer: Renderer,
    /// The only node that was asked for, if there is one.
    pub(super) node: Option<&'a str>,
    /// Whether it is to be applied as one transaction.
    pub(super) is_atomic: bool,
}

impl Render<'_> {
    /// All of a plan.
    pub(super) fn plan(&self, plan: &Value) -> String {
        let mut parts = Vec::new();
        let changes = items(&plan["changes"]);
        if !changes.is_empty() {
            parts.push(changes.iter().map(|change| self.renderer.change(change)).collect());
        }
        let nodes = items(&plan["nodes"]);
        match self.node {
            _ if !nodes.is_empty() => parts.push(table(nodes)),
            Some(node) => parts.push(format!("nothing changes for Envoys of {node}\n")),
            None => {}
        }
        parts.extend(nodes.iter().filter_map(|node| self.configuration(node)));
        let mut remarks = remarks(plan);
        if !self.is_atomic && changes.len() > 1 && !nodes.is_empty() {
            remarks += ONE_BY_ONE;
        }
        if !remarks.is_empty() {
            parts.push(remarks);
        }
        parts.push(summary(plan));
        parts.join("\n")
    }

    /// How the configuration of a node's Envoys differs.
    fn configuration(&self, node: &Value) -> Option<String> {
        let resources = items(&node["configuration"]);
        if resources.is_empty() {
            return None;
        }
        let name = node["node"].as_str().unwrap_or_default();
        let mut shown = self.renderer.heading(&format!("configuration of Envoys of {name}"));
        for resource in resources {
            shown += &self.renderer.message(resource);
        }
        Some(shown)
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A line for each node.
fn table(nodes: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let is_used = |label: &str| nodes.iter().any(|node| node["types"].get(label).is_some());
    let types: Vec<&str> =
        ResourceType::ALL.map(ResourceType::label).into_iter().filter(|label| is_used(label)).collect();
    let mut header: Vec<String> = ["NODE", "CHANGE", "ENVOYS"].map(str::to_owned).into();
    header.extend(types.iter().map(|label| label.to_uppercase()));
    header.extend(["BYTES EACH", "BYTES"].map(str::to_owned));
    table.set_header(header);
    for node in nodes {
        let word = |member: &str| node[member].as_str().unwrap_or("-").to_owned();
        let envoys = node["envoys"].as_u64();
        let each = node["bytes"].as_u64();
        let mut row = vec![word("node"), word("change"), number(envoys)];
        row.extend(types.iter().map(|label| of_type(&node["types"][label])));
        row.push(bytes(each));
        let all = envoys.zip(each).map(|(envoys, each)| envoys * each);
        row.push(bytes(if node["change"] == "updated" { all } else { Some(0) }));
        table.add_row(row);
    }
    let last = types.len() + 4;
    for column in [2, last - 1, last] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{}\n", table.trim_fmt())
}

/// The resources of a type that come, are others, and go, and the bytes that are sent: `+1 ~2 -1, 1.2 KiB`.
fn of_type(of_type: &Value) -> String {
    let signs = [("added", '+'), ("updated", '~'), ("removed", '-')];
    let counts = signs.into_iter().filter_map(|(word, sign)| {
        let count = of_type[word]["count"].as_u64().filter(|count| *count > 0)?;
        Some(format!("{sign}{count}"))
    });
    let counts: Vec<String> = counts.collect();
    match (counts.is_empty(), of_type["bytes"].as_u64()) {
        (true, None | Some(0)) => "-".to_owned(),
        (true, sent) => bytes(sent),
        (false, sent) => format!("{}, {}", counts.join(" "), bytes(sent)),
    }
}

/// What could not be made or shown.
fn remarks(plan: &Value) -> String {
    let mut remarks = String::new();
    for problem in items(&plan["problems"]).iter().filter_map(Value::as_str) {
        remarks += &format!("{problem}\n");
    }
    for node in items(&plan["nodes"]) {
        for problem in items(&node["problems"]).iter().filter_map(Value::as_str) {
            remarks += &format!("{} would lack something: {problem}\n", node["node"].as_str().unwrap_or("-"));
        }
    }
    let summary = &plan["summary"];
    let is_shown = items(&plan["nodes"]).iter().any(|node| node.get("configuration").is_some());
    if is_shown && summary["isConfigurationComplete"] == false {
        remarks += "not all differences are shown; --node shows those of one virtual node\n";
    }
    let (changed, detailed) = (summary["nodes"].as_u64(), summary["nodesDetailed"].as_u64());
    if changed > detailed {
        remarks += &format!("only {} virtual nodes are shown in detail\n", number(detailed));
    }
    remarks
}

/// The sum in one line.
pub(super) fn summary(plan: &Value) -> String {
    let summary = &plan["summary"];
    let count = |member: &str| summary[member].as_u64().unwrap_or_default();
    let resources = match count("resources") {
        0 => "nothing changes".to_owned(),
        1 => "1 resource changes".to_owned(),
        more => format!("{more} resources change"),
    };
    if count("nodes") == 0 {
        return format!("{resources}; no Envoy is sent anything\n");
    }
    let envoys = match summary["envoys"].as_u64() {
        None => "an unknown number of Envoys".to_owned(),
        Some(1) => "1 Envoy".to_owned(),
        Some(envoys) => format!("{envoys} Envoys"),
    };
    let each = match (summary["bytesEachMin"].as_u64(), summary["bytesEachMax"].as_u64()) {
        (Some(min), Some(max)) if min < max => {
            format!(", {} to {} each", bytes(Some(min)), bytes(Some(max)))
        }
        (Some(each), _) => format!(", {} each", bytes(Some(each))),
        (None, _) => String::new(),
    };
    format!("{resources}; {} of {} virtual nodes, {envoys}{each}\n", count("nodes"), count("nodesOfMeshes"))
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

/// Bytes in a unit in which they are short.
#[allow(clippy::cast_precision_loss)] // shown with one decimal
fn bytes(bytes: Option<u64>) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        None => "?".to_owned(),
        Some(bytes @ 0..KIB) => format!("{bytes} B"),
        Some(bytes @ KIB..MIB) => format!("{:.1} KiB", bytes as f64 / KIB as f64),
        Some(bytes) => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}
