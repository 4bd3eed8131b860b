//! Which policies are taken.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    for (text, expected) in [
        ("", "there is no policy"),
        ("// nothing", "there is no policy"),
        ("permit (principal, action, resource)", "p.cedar: line 1: unexpected end of input"),
        ("permit (principal, action, resource);\n\npermit (", "p.cedar: line 3"),
        ("permit (principal == ?principal, action, resource);", "template"),
        ("permit (principal, action == Action::\"appmesh:CreateNode\", resource);", "appmesh:CreateNode"),
        ("permit (principal == Robot::\"x\", action, resource);", "Robot"),
        ("permit (principal, action, resource is Cluster);", "Cluster"),
        ("permit (principal, action, resource) when { resource.nam == \"x\" };", "nam"),
        ("permit (principal, action, resource) when { resource.name == 1 };", "p.cedar:policy0"),
        (
            "permit (principal, action, resource) when { resource.getTag(\"t\") == \"1\" };",
            "access to tag `\"t\"` on entity type",
        ),
        (
            "@id(\"mine\") permit (principal, action, resource) when { context.tagKeys.contains(\"t\") };",
            "p.cedar:mine",
        ),
        (
            "@id(\"a\") permit (principal, action, resource); @id(\"a\") forbid (principal, action, resource);",
            "p.cedar:a",
        ),
    ] {
        let error = Policies::parse(&[file("p.cedar", text)]).err().expect(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let error =
        Policies::parse(&[WatchedFile { path: "p.cedar".into(), content: vec![0xff] }]).err().unwrap();
    assert!(matches!(error, PoliciesError::NotText(_)));
    // names are by file
    let two = [
        file("a.cedar", "permit (principal, action, resource);"),
        file("b.cedar", "forbid (principal, action, resource);"),
    ];
    assert_eq!(Policies::parse(&two).unwrap().len(), 2);
}

#[tokio::test]
async fn they_are_taken_again_as_a_whole() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let new = dir.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, dir.path().join(name)).unwrap();
    };
    write("a.cedar", "permit (principal == User::\"a\", action, resource);");
    write("b.cedar", "forbid (principal, action, resource is Mesh);");
    let (files, mut current) = Policies::watch(dir.path().to_owned()).unwrap();
    let keeping = tokio::spawn(files.keep_current());
    let may = |current: &tokio::sync::watch::Receiver<std::sync::Arc<Policies>>, who: &str, path: &str| {
        let action = if path == "mesh/m" { "DescribeMesh" } else { "DescribeVirtualNode" };
        allow(&current.borrow(), who, action, path, "", "")
    };
    let node = "mesh/m/virtualNode/n";
    assert!(may(&current, "a", node) && !may(&current, "a", "mesh/m") && !may(&current, "b", node));

    // the good one is not taken without the bad one
    write("b.cedar", "forbid (principal, action, resource");
    write("a.cedar", "permit (principal == User::\"b\", action, resource);");
    let is_taken = timeout(Duration::from_secs(3), current.changed()).await.is_ok();
    assert!(!is_taken);
    assert!(may(&current, "a", node) && !may(&current, "a", "mesh/m") && !may(&current, "b", node));

    fs::remove_file(dir.path().join("b.cedar")).unwrap();
    timeout(Duration::from_secs(60), current.changed()).await.unwrap().unwrap();
    assert!(!may(&current, "a", node) && may(&current, "b", "mesh/m"));
    keeping.abort();
}

#[test]
fn the_examples_are_sound() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/policies");
    let read = Policies::read(examples.as_ref()).map_err(|error| error.to_string());
    assert_eq!(read.map(|policies| policies.len()), Ok(9));
}
