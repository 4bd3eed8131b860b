//! Changes of resources, as a person likes to read them: what is different in the YAML of their definitions.

use serde_json::{Map, Value};
use serde_saphyr::ser_options;
use similar::{ChangeTag, TextDiff};

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// How many lines around a difference are shown.
const CONTEXT_LINES: usize = 3;

/// Renders changes for a terminal or for a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renderer {
    is_coloured: bool,
}

impl Renderer {
    /// With colours or without.
    pub(super) fn new(is_coloured: bool) -> Self {
        Self { is_coloured }
    }

    /// What stands above the changes of a transaction.
    pub(super) fn heading(self, text: &str) -> String {
        self.line(BOLD, text)
    }

    /// A change as the API tells it, in a line for the resource and the difference below it.
    pub(super) fn change(self, change: &Value) -> String {
        let word = change["change"].as_str().unwrap_or("changed");
        let colour = match word {
            "created" => GREEN,
            "deleted" => RED,
            _ => YELLOW,
        };
        let resource = change["resource"].as_str().unwrap_or_default();
        let text = format!("  {word} {resource}{}", versions(change));
        self.line(colour, &text) + &self.difference(&yaml(&change["before"]), &yaml(&change["after"]))
    }

    /// A resource of Envoy's as a plan tells it, in a line for its name and the difference below it.
    pub(super) fn message(self, resource: &Value) -> String {
        let word = |member: &str| resource[member].as_str().unwrap_or_default();
        let colour = match word("change") {
            "added" => GREEN,
            "removed" => RED,
            _ => YELLOW,
        };
        let text = format!("  {} {} {}", word("change"), word("type").to_uppercase(), word("name"));
        let whole =
            |side: &str| if resource[side].is_null() { String::new() } else { written(&resource[side]) };
        self.line(colour, &text) + &self.difference(&whole("before"), &whole("after"))
    }

    fn difference(self, before: &str, after: &str) -> String {
        let diff = TextDiff::from_lines(before, after);
        let mut shown = String::new();
        for hunk in diff.unified_diff().context_radius(CONTEXT_LINES).iter_hunks() {
            shown += &self.line(CYAN, &format!("    {}", hunk.header()));
            for line in hunk.iter_changes() {
                let text = line.value().trim_end_matches('\n');
                shown += &match line.tag() {
                    ChangeTag::Equal => format!("     {text}\n"),
                    ChangeTag::Insert => self.line(GREEN, &format!("    +{text}")),
                    ChangeTag::Delete => self.line(RED, &format!("    -{text}")),
                };
            }
        }
        shown
    }

    fn line(self, colour: &str, text: &str) -> String {
        if self.is_coloured { format!("{colour}{text}{PLAIN}\n") } else { format!("{text}\n") }
    }
}

/// The versions of the definition before and after, as far as they are known.
fn versions(change: &Value) -> String {
    let version = |side: &str| change[side]["metadata"]["version"].as_u64();
    match (version("before"), version("after")) {
        (Some(before), Some(after)) if before != after => format!(", version {before} -> {after}"),
        (_, Some(version)) | (Some(version), None) => format!(", version {version}"),
        (None, None) => String::new(),
    }
}

/// What users wrote of a definition, as YAML; nothing where there was none.
fn yaml(content: &Value) -> String {
    let Value::Object(content) = content else {
        return String::new();
    };
    let mut shown = Map::new();
    for name in ["spec", "tags"] {
        if let Some(member) = content.get(name).filter(|member| *member != &Value::Array(Vec::new())) {
            shown.insert(name.to_owned(), member.clone());
        }
    }
    if shown.is_empty() {
        return String::new();
    }
    written(&Value::Object(shown))
}

/// As YAML; what cannot be written so can be written as JSON.
fn written(value: &Value) -> String {
    let options = ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).unwrap_or_else(|_| format!("{value}\n"))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(change: &Value, expected: Expect) {
        let renderer = Renderer::new(false);
        expected.assert_eq(&(renderer.heading("transaction 1") + &renderer.change(change)));
    }

    fn content(version: u64, port: u16, tags: &Value) -> Value {
        let listeners = json!([{"portMapping": {"port": port, "protocol": "http"}}]);
        let backends = json!([{"virtualService": {"virtualServiceName": "a"}}]);
        let discovery = json!({"dns": {"hostname": "web.local"}});
        json!({
            "metadata": {"version": version},
            "spec": {"backends": backends, "listeners": listeners, "serviceDiscovery": discovery},
            "tags": tags,
        })
    }

    #[test]
    fn what_is_different_is_shown_with_what_is_around_it() {
        let tags = json!([{"key": "team", "value": "shop"}]);
        let change = json!({
            "change": "updated",
            "resource": "mesh/m/virtualNode/web",
            "before": content(3, 80, &json!([])),
            "after": content(4, 8080, &tags),
        });
        check(
            &change,
            expect![[r#"
                transaction 1
                  updated mesh/m/virtualNode/web, version 3 -> 4
                    @@ -4,8 +4,11 @@
                           virtualServiceName: a
                       listeners:
                       - portMapping:
                    -      port: 80
                    +      port: 8080
                           protocol: http
                       serviceDiscovery:
                         dns:
                           hostname: web.local
                    +tags:
                    +- key: team
                    +  value: shop
            "#]],
        );
    }

    #[test]
    fn what_came_or_went_is_shown_in_full() {
        let (resource, content) = ("mesh/m/virtualNode/web", content(1, 80, &json!([])));
        check(
            &json!({"change": "created", "resource": resource, "after": content}),
            expect![[r#"
                transaction 1
                  created mesh/m/virtualNode/web, version 1
                    @@ -0,0 +1,11 @@
                    +spec:
                    +  backends:
                    +  - virtualService:
                    +      virtualServiceName: a
                    +  listeners:
                    +  - portMapping:
                    +      port: 80
                    +      protocol: http
                    +  serviceDiscovery:
                    +    dns:
                    +      hostname: web.local
            "#]],
        );
        check(
            &json!({"change": "deleted", "resource": resource, "before": content}),
            expect![[r#"
                transaction 1
                  deleted mesh/m/virtualNode/web, version 1
                    @@ -1,11 +0,0 @@
                    -spec:
                    -  backends:
                    -  - virtualService:
                    -      virtualServiceName: a
                    -  listeners:
                    -  - portMapping:
                    -      port: 80
                    -      protocol: http
                    -  serviceDiscovery:
                    -    dns:
                    -      hostname: web.local
            "#]],
        );
        let tags = |value: &str| json!({"tags": [{"key": "team", "value": value}]});
        let tagged =
            json!({"change": "updated", "resource": resource, "before": tags("a"), "after": tags("b")});
        check(
            &tagged,
            expect![[r#"
                transaction 1
                  updated mesh/m/virtualNode/web
                    @@ -1,3 +1,3 @@
                     tags:
                     - key: team
                    -  value: a
                    +  value: b
            "#]],
        );
    }

    #[test]
    fn the_first_tag_replaces_nothing() {
        let (before, after) = (json!({"tags": []}), json!({"tags": [{"key": "team", "value": "shop"}]}));
        check(
            &json!({"change": "updated", "resource": "mesh/m", "before": before, "after": after}),
            expect![[r#"
                transaction 1
                  updated mesh/m
                    @@ -0,0 +1,3 @@
                    +tags:
                    +- key: team
                    +  value: shop
            "#]],
        );
    }

    #[test]
    fn colours_are_for_terminals() {
        let change = json!({"change": "deleted", "resource": "mesh/m", "before": {"spec": {}}});
        assert!(Renderer::new(true).change(&change).starts_with("\x1b[31m  deleted mesh/m\x1b[0m\n"));
        assert!(!Renderer::new(false).change(&change).contains('\x1b'));
    }
}
