//! Whose a mesh is: of the transformers that are alive, the one with the highest weight for this mesh (rendezvous hashing).
//! All hosts come to the same answer by themselves, and where one comes or goes, only its own share moves.

use std::sync::Arc;

use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Member, MemberId, Members};
use crate::settings::Role;

/// The share of one transformer.
#[derive(Clone, Debug)]
pub struct Sharing {
    me: MemberId,
    members: watch::Receiver<Arc<Members>>,
    moves: u64,
}

impl Sharing {
    /// The share of `me` among `members`.
    pub fn new(me: MemberId, members: watch::Receiver<Arc<Members>>) -> Self {
        let moves = members.borrow().moves();
        Self { me, members, moves }
    }

    /// Whose share this is.
    pub fn me(&self) -> &MemberId {
        &self.me
    }

    /// Whether a mesh is in this share now.
    pub fn has(&self, mesh: &str) -> bool {
        owner(mesh, &self.members.borrow()).is_some_and(|owner| owner.id == self.me)
    }

    /// Waits until hosts have come or gone.
    pub async fn changed(&mut self) {
        // what is noted of lost hosts is nothing to transformers
        while self.moves == self.members.borrow_and_update().moves() {
            if self.members.changed().await.is_err() {
                std::future::pending::<()>().await; // nobody follows them any more: the process ends
            }
        }
        self.moves = self.members.borrow().moves();
    }
}

/// The transformer that a mesh belongs to; nobody where there is none.
pub fn owner<'a>(mesh: &str, members: &'a Members) -> Option<&'a Member> {
    heaviest(mesh, members.with(Role::Transformer))
}

/// The one of `members` with the highest weight for this.
pub(super) fn heaviest<'a>(name: &str, members: impl Iterator<Item = &'a Member>) -> Option<&'a Member> {
    let weight = |member: &Member| {
        xxh3_64_with_seed(name.as_bytes(), xxh3_64_with_seed(member.id.as_str().as_bytes(), 0))
    };
    members.max_by_key(|member| (weight(member), &member.id))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn member(name: &str, roles: &[Role]) -> Member {
        Member::named(name, roles)
    }

    fn transformers(names: &[&str]) -> Members {
        names.iter().map(|name| member(name, &[Role::Transformer])).collect()
    }

    fn owners(members: &Members) -> BTreeMap<String, Option<&str>> {
        let meshes = (0..1000).map(|number| format!("mesh-{number}"));
        meshes.map(|mesh| (mesh.clone(), owner(&mesh, members).map(|owner| owner.id.as_str()))).collect()
    }

    #[test]
    fn everybody_has_about_the_same() {
        let members = transformers(&["a", "b", "c", "d"]);
        let owners = owners(&members);
        for name in ["a", "b", "c", "d"] {
            let share = owners.values().filter(|owner| **owner == Some(name)).count();
            assert!((200..300).contains(&share), "{name} has {share} of 1000");
        }
    }

    #[test]
    fn who_comes_or_goes_moves_its_own_share_alone() {
        let (three, four) = (transformers(&["a", "b", "c"]), transformers(&["a", "b", "c", "d"]));
        let (before, after) = (owners(&three), owners(&four));
        let moved: Vec<_> = before.iter().filter(|(mesh, owner)| after[*mesh] != **owner).collect();
        assert!((200..300).contains(&moved.len()), "{} of 1000 move", moved.len());
        assert!(moved.iter().all(|(mesh, _)| after[*mesh] == Some("d")));
    }

    #[test]
    fn only_transformers_have_meshes() {
        assert_eq!(owner("m", &Members::default()), None);
        let members: Members =
            [member("a", &[Role::Frontend, Role::Management]), member("b", &[Role::Transformer])]
                .into_iter()
                .collect();
        assert!(owners(&members).values().all(|owner| *owner == Some("b")));
    }
}
