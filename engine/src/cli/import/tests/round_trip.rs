//! Whatever the API may hold comes back as it was, through every form that has room for it.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Map, Value, json};

use super::{imported, shown};
use crate::model::shape::Form;
use crate::model::{Kind, ResourceId, Spec};

/// A value of this form, within no limits but those of its types: fields may be absent, lists are short.
fn any_of(form: Form) -> BoxedStrategy<Value> {
    match form {
        Form::Struct(fields) => {
            let members: Vec<_> = fields
                .iter()
                .map(|field| {
                    let value = any_of(field.form());
                    let value = if field.is_required() {
                        value.prop_map(Some).boxed()
                    } else {
                        proptest::option::of(value).boxed()
                    };
                    value.prop_map(|value| Some((field.wire_name().to_owned(), value?)))
                })
                .collect();
            members.prop_map(|members| Value::Object(members.into_iter().flatten().collect())).boxed()
        }
        Form::Union(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|member| {
                    any_of(member.form())
                        .prop_map(|value| {
                            Value::Object(Map::from_iter([(member.wire_name().to_owned(), value)]))
                        })
                        .boxed()
                })
                .collect();
            proptest::strategy::Union::new(members).boxed()
        }
        Form::List(item) => proptest::collection::vec(any_of(item()), 1..3).prop_map(Value::Array).boxed(),
        Form::Text => "[ -~é\\n]{1,12}|yes|null|1\\.10|0x1|~|- a|true".prop_map(Value::from).boxed(),
        Form::Integer => (1..70_000_i64).prop_map(Value::from).boxed(),
        Form::Boolean => any::<bool>().prop_map(Value::from).boxed(),
    }
}

fn any_resource() -> impl Strategy<Value = (ResourceId, Value)> {
    // what any kind may be called
    let name = "[ -)+-.0-~é]{1,12}|yes|1\\.0";
    (proptest::sample::select(&Kind::ALL[..]), name, name, name).prop_flat_map(|(kind, mesh, parent, own)| {
        let own = if kind == Kind::Mesh { mesh.clone() } else { own };
        let parent = kind.parent().map(|_| parent);
        let id = ResourceId::from_parts(kind, &mesh, parent.as_deref(), &own).unwrap();
        any_of(Spec::form(kind)).prop_map(move |spec| (id.clone(), spec))
    })
}

/// As describe answers it.
fn described(id: &ResourceId, spec: &Value) -> Value {
    let mut data = json!({"meshName": id.mesh_name(), "spec": spec, "metadata": {"version": 1}, "status": {"status": "ACTIVE"}});
    if let (Some(kind), Some(parent)) = (id.kind().parent(), id.parent_name()) {
        data[kind.name_key()] = parent.into();
    }
    data[id.kind().name_key()] = id.name().into();
    json!({ id.kind().wire_name(): data })
}

/// As a template has it: names in another case, and every plain value a text.
fn template(id: &ResourceId, spec: &Value) -> Value {
    fn pascal_case(name: &str) -> String {
        name[..1].to_uppercase() + &name[1..]
    }
    fn renamed(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                members.iter().map(|(key, value)| (pascal_case(key), renamed(value))).collect()
            }
            Value::Array(items) => items.iter().map(renamed).collect(),
            Value::String(text) => text.clone().into(),
            plain => plain.to_string().into(),
        }
    }
    let mut properties = json!({"MeshName": id.mesh_name(), "Spec": renamed(spec)});
    if let (Some(kind), Some(parent)) = (id.kind().parent(), id.parent_name()) {
        properties[pascal_case(kind.name_key())] = parent.into();
    }
    properties[pascal_case(id.kind().name_key())] = id.name().into();
    let type_name = format!("AWS::AppMesh::{}", pascal_case(id.kind().wire_name()));
    json!({"Resources": {"R": {"Type": type_name, "Properties": properties}}})
}

/// As a state has it: names in another case, objects in lists of one, what is absent empty, lists in the singular.
fn state(id: &ResourceId, spec: &Value) -> Value {
    fn snake_case(name: &str) -> String {
        name.chars()
            .map(|c| if c.is_uppercase() { format!("_{}", c.to_lowercase()) } else { c.to_string() })
            .collect()
    }
    fn blocks(value: Option<&Value>, form: Form) -> Value {
        match (form, value) {
            (Form::Struct(fields) | Form::Union(fields), Some(value)) => {
                let members = fields.iter().map(|field| {
                    let name = field.wire_name();
                    let is_blocks = matches!(field.form(), Form::List(item) if !matches!(item(), Form::Text | Form::Integer));
                    let name = if is_blocks { name.strip_suffix('s').unwrap_or(name) } else { name };
                    let member = match value.get(field.wire_name()) {
                        // durations have one always
                        None if name == "value" => Value::Null,
                        member => blocks(member, field.form()),
                    };
                    (snake_case(name), member)
                });
                json!([Value::Object(members.collect())])
            }
            (Form::List(item), Some(items)) => {
                let blocks =
                    items.as_array().unwrap().iter().map(|value| match blocks(Some(value), item()) {
                        Value::Array(mut block) => block.pop().unwrap(),
                        plain => plain,
                    });
                blocks.collect()
            }
            (Form::Struct(_) | Form::Union(_) | Form::List(_), None) => json!([]),
            (Form::Text, None) => json!(""),
            (Form::Integer, None) => json!(0),
            (Form::Boolean, None) => Value::Null,
            (_, Some(value)) => value.clone(),
        }
    }
    let type_name = format!("aws_appmesh_{}", snake_case(id.kind().wire_name()));
    let mut values = json!({"name": id.name(), "spec": blocks(Some(spec), Spec::form(id.kind()))});
    if id.kind() != Kind::Mesh {
        values["mesh_name"] = id.mesh_name().into();
    }
    if let (Some(kind), Some(parent)) = (id.kind().parent(), id.parent_name()) {
        values[snake_case(kind.name_key())] = parent.into();
    }
    let resource = json!({"address": "a.b", "mode": "managed", "type": type_name, "values": values});
    json!({"format_version": "1.0", "values": {"root_module": {"resources": [resource]}}})
}

/// What is written is read by YAML as what was there.
fn check_written(file: &Value, id: &ResourceId, spec: &Value) -> Result<(), TestCaseError> {
    let outcome = imported(&[], &[("f.json", &file.to_string())]);
    let said = shown(&outcome);
    let left_out = outcome.findings.said.iter().filter(|finding| finding.weight.word() == "left out").count();
    prop_assert_eq!(left_out, 0, "{}", said);
    let written = outcome.documents.unwrap().to_yaml();
    let options = serde_saphyr::options! { strict_booleans: true };
    let read: Value = serde_saphyr::from_str_with_options(&written, options)
        .map_err(|error| TestCaseError::fail(format!("{error}\n{written}")))?;
    let mut expected = described(id, spec)[id.kind().wire_name()].take();
    for key in ["metadata", "status"] {
        expected.as_object_mut().unwrap().remove(key);
    }
    prop_assert_eq!(read, expected, "{}", said);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn an_export_comes_back((id, spec) in any_resource()) {
        check_written(&described(&id, &spec), &id, &spec)?;
    }

    #[test]
    fn a_template_comes_back((id, spec) in any_resource()) {
        check_written(&template(&id, &spec), &id, &spec)?;
    }

    #[test]
    fn a_state_comes_back((id, spec) in any_resource()) {
        check_written(&state(&id, &spec), &id, &spec)?;
    }
}
