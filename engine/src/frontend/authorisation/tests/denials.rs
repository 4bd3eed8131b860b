//! What is noted of denials.

use std::fs;

use tempfile::TempDir;

use super::*;

fn denied(user: &str, resource: usize) -> Denied {
    let (user, action) = (user.to_owned(), "appmesh:DeleteMesh".to_owned());
    Denied { user, action, resource: resource.to_string(), mesh: Some(format!("m{}", resource % 2)) }
}

fn resources(denials: &Denials, mesh: Option<&str>, limit: usize) -> Vec<String> {
    denials.newest(mesh, limit).into_iter().map(|denial| denial.denied.resource).collect()
}

#[test]
fn the_same_again_is_counted() {
    let denials = Denials::default();
    assert_eq!([7, 9, 8].map(|now_ms| denials.add(denied("a", 1), now_ms)), [1, 2, 3]);
    denials.add(denied("a", 2), 9);
    let newest = denials.newest(None, 10);
    assert_eq!(newest[1], Denial { denied: denied("a", 1), count: 3, first_ms: 7, last_ms: 9 });
    assert_eq!(resources(&denials, None, 10), ["2", "1"]);
    denials.add(denied("a", 1), 9);
    assert_eq!(resources(&denials, None, 10), ["1", "2"]);
    assert_eq!(resources(&denials, None, 1), ["1"]);
    assert_eq!(resources(&denials, Some("m0"), 10), ["2"]);
    assert_eq!(resources(&denials, Some("m2"), 10), [""; 0]);
}

#[test]
fn nobody_takes_the_place_of_others() {
    let denials = Denials::default();
    denials.add(denied("quiet", 0), 0);
    for resource in 1..=10 * DENIALS_OF_USER_MAX {
        denials.add(denied("loud", resource), 1);
    }
    let kept = denials.newest(None, usize::MAX);
    assert_eq!(kept.len(), DENIALS_OF_USER_MAX + 1);
    assert_eq!(kept.last().unwrap().denied, denied("quiet", 0));
    assert_eq!(kept[0].denied, denied("loud", 10 * DENIALS_OF_USER_MAX));
    for user in 0..2 * DENIALS_MAX {
        denials.add(denied(&user.to_string(), 0), 2);
    }
    assert_eq!(denials.newest(None, usize::MAX).len(), DENIALS_MAX);
}

#[test]
fn they_survive_a_restart() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("denials.json");
    let denials = Denials::load(&path);
    denials.save(&path);
    assert!(!path.exists(), "there was nothing to write");
    for (user, resource) in [("a", 1), ("b", 2), ("a", 3), ("a", 1)] {
        denials.add(denied(user, resource), 5);
    }
    denials.save(&path);
    let restarted = Denials::load(&path);
    assert_eq!(restarted.newest(None, 10), denials.newest(None, 10));
    assert_eq!(restarted.add(denied("a", 1), 6), 3);
    assert_eq!(resources(&restarted, None, 10), ["1", "3", "2"]);

    fs::write(&path, "[{").unwrap();
    assert!(Denials::load(&path).newest(None, 10).is_empty());
    // what cannot be written now is written later
    let nowhere = dir.path().join("none").join("denials.json");
    denials.add(denied("c", 1), 7);
    denials.save(&nowhere);
    denials.save(&path);
    assert_eq!(Denials::load(&path).newest(None, 1)[0].denied, denied("c", 1));
}
