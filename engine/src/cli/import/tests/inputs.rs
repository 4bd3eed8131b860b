use expect_test::expect;

use super::{check, imported};

const MESH: &str = "meshName: m\nspec: {}\n";

#[test]
fn what_cannot_be_used() {
    check(
        &[],
        &[("a.yaml", MESH), ("b.yaml", "a: [\n")],
        expect![[r#"
        ! error: b.yaml: cannot be parsed: unclosed bracket '[' at line 1, column 4
        ! nothing was written
        exit code 2
    "#]],
    );
    check(
        &[],
        &[("a.json", r#"{"meshName": "m", "meshName": "n", "spec": {}}"#)],
        expect![[r#"
        ! error: a.json: cannot be parsed: the key "meshName" is repeated at line 1 column 33
        ! nothing was written
        exit code 2
    "#]],
    );
    check(
        &[],
        &[("empty.yaml", "# nothing\n---\n")],
        expect![[r#"
        ! error: there is nothing to import
        ! nothing was written
        exit code 2
    "#]],
    );
    check(
        &[],
        &[("a.yaml", "just: words\n"), ("b.yaml", MESH)],
        expect![[r#"
            # b.yaml
            meshName: m
            spec: {}
            ! note     a.yaml: is nothing that can be imported
            ! 1 written, 0 left out, 0 that the API would refuse
            exit code 0
        "#]],
    );
    check(
        &["--format=kubernetes"],
        &[("a.yaml", MESH)],
        expect![[r#"
        ! error: a.yaml: is no object of Kubernetes
        ! nothing was written
        exit code 2
    "#]],
    );
    check(
        &["--format=cloudformation"],
        &[("a.yaml", MESH)],
        expect![[r#"
        ! error: a.yaml: is no CloudFormation template: it has no Resources
        ! nothing was written
        exit code 2
    "#]],
    );
    check(
        &["--format=terraform"],
        &[("a.yaml", MESH)],
        expect![[r#"
        ! error: a.yaml: is neither a state of Terraform nor a plan in JSON
        ! nothing was written
        exit code 2
    "#]],
    );
    check(
        &["--format=app-mesh"],
        &[("a.yaml", "7")],
        expect![[r#"
        ! error: a.yaml: is no answer of App Mesh's API, and no document for apply
        ! nothing was written
        exit code 2
    "#]],
    );
}

#[test]
fn aliases_and_nesting_are_bounded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "));
    }
    let nested = |open: &str, close: &str, count| format!("{}{}", open.repeat(count), close.repeat(count));
    for text in [
        bomb,
        nested("[", "]", 100_000),
        nested("{\"a\":", "}", 100_000),
        "- ".repeat(100_000),
        format!(
            "Resources: {{A: {{Type: 'AWS::AppMesh::Mesh', Properties: {{MeshName: {}}}}}}}",
            nested("[", "]", 200)
        ),
    ] {
        for name in ["a.yaml", "a.json"] {
            assert_eq!(imported(&[], &[(name, &text)]).exit_code(), 2);
        }
    }
}

#[test]
fn names_cannot_break_out_of_what_is_written() {
    let file = r#"{"meshName": "m", "virtualServiceName": "a: b # \"c\" 'd' --- é", "spec": {}}"#;
    check(
        &[],
        &[("a\n# b.json", file)],
        expect![[r##"
            # a�# b.json
            meshName: m
            virtualServiceName: "a: b # \"c\" 'd' --- é"
            spec: {}
            ! note     mesh "m": is needed by virtual service "a: b # \"c\" \'d\' --- é" in mesh "m" and not among what is written: it must exist before
            ! 1 written, 0 left out, 0 that the API would refuse
            exit code 0
        "##]],
    );
}
