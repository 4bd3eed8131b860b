//! Families: how many keys there are of a kind.

use tokio::task::JoinSet;

use super::super::{Family, Precondition};
use super::*;

fn meshes() -> Family {
    Family::new("definitions/", "/mesh")
}

fn nodes() -> Family {
    Family::new("definitions/m/virtualNode/", "")
}

/// Whether there are exactly so many of a family.
async fn has(store: &dyn Store, family: Family, count: usize) -> bool {
    let batch = |than| definitions().if_fewer(family.clone(), than).delete("definitions/none");
    let fewer_than_more = store.commit(batch(count + 1)).await.is_ok();
    let expected = Precondition::Fewer { family: family.clone(), than: count };
    fewer_than_more && conflict(store, batch(count)).await == expected
}

pub(crate) async fn fewer_counts_the_keys_of_a_family(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    assert!(has(store, meshes(), 0).await && has(store, nodes(), 0).await);
    for key in [
        "definitions/m/mesh",
        "definitions/m/virtualNode/a",
        "definitions/m/virtualNode/mesh",
        "definitions/m/virtualNode/a/deeper",
        "definitions/m/virtualNodes/a",
        "definitions/n/mesh",
        "definitions/n/virtualNode/b",
        "definitions/n/mesh/deeper",
    ] {
        put(store, key, "1").await;
    }
    assert!(has(store, meshes(), 2).await && has(store, nodes(), 2).await);
    put(store, "definitions/m/virtualNode/a", "2").await;
    put(store, "definitions/m/virtualNode/c", "1").await;
    delete(store, "definitions/n/mesh").await;
    assert!(has(store, meshes(), 1).await && has(store, nodes(), 3).await);
    let swap = definitions().delete("definitions/m/virtualNode/a").put("definitions/m/virtualNode/d", "1");
    store.commit(swap.if_fewer(nodes(), 4)).await.unwrap();
    assert!(has(store, nodes(), 3).await);
    for name in ["c", "d", "mesh"] {
        delete(store, &format!("definitions/m/virtualNode/{name}")).await;
    }
    assert!(has(store, nodes(), 0).await && has(store, meshes(), 1).await);
    put(store, "definitions/m/virtualNode/again", "1").await;
    assert!(has(store, nodes(), 1).await);
}

pub(crate) async fn fewer_holds_under_concurrent_writers(fresh: &Fresh) {
    const WRITERS: usize = 50;
    const PLACES: usize = 10;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&fresh.store);
        let batch = definitions().if_fewer(nodes(), PLACES).put(nodes().key(&writer.to_string()), "1");
        writers.spawn(async move { store.commit(batch).await });
    }
    let outcomes = writers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), PLACES);
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        let expected = Precondition::Fewer { family: nodes(), than: PLACES };
        assert!(matches!(outcome, Err(CommitError::Conflict { precondition }) if precondition == expected));
    }
    assert!(has(fresh.store.as_ref(), nodes(), PLACES).await);
}
