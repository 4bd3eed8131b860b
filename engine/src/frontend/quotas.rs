//! How many resources there may be.

use super::error::ApiError;
use crate::model::{Kind, ResourceId, Spec};
use crate::store::{Family, Precondition};

/// How many there may be of each kind, and in what. To lower one takes nothing away: what exists stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Meshes.
    pub meshes: usize,
    /// Virtual nodes in a mesh.
    pub virtual_nodes: usize,
    /// Virtual services in a mesh.
    pub virtual_services: usize,
    /// Virtual routers in a mesh.
    pub virtual_routers: usize,
    /// Virtual gateways in a mesh.
    pub virtual_gateways: usize,
    /// Routes of a virtual router.
    pub routes: usize,
    /// Gateway routes of a virtual gateway.
    pub gateway_routes: usize,
    /// Backends of a virtual node.
    pub backends: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            meshes: 10_000,
            virtual_nodes: 200_000,
            virtual_services: 200_000,
            virtual_routers: 200_000,
            virtual_gateways: 10_000,
            routes: 1_000,
            gateway_routes: 1_000,
            backends: 1_000,
        }
    }
}

impl Quotas {
    fn of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Mesh => self.meshes,
            Kind::VirtualNode => self.virtual_nodes,
            Kind::VirtualRouter => self.virtual_routers,
            Kind::Route => self.routes,
            Kind::VirtualService => self.virtual_services,
            Kind::VirtualGateway => self.virtual_gateways,
            Kind::GatewayRoute => self.gateway_routes,
        }
    }

    /// That there is room for all that one commit creates, with what it deletes.
    pub(super) fn room<'a>(
        &self,
        created: impl IntoIterator<Item = &'a ResourceId>,
        deleted: impl IntoIterator<Item = &'a ResourceId>,
    ) -> Vec<Precondition> {
        let mut needs: Vec<Need> = Vec::new();
        for id in created {
            let family = id.family();
            match needs.iter_mut().find(|need| need.family == family) {
                Some(need) => need.created += 1,
                None => needs.push(Need { family, quota: self.of(id.kind()), created: 1, deleted: 0 }),
            }
        }
        for id in deleted {
            let key = id.key();
            if let Some(need) = needs.iter_mut().find(|need| need.family.contains(&key)) {
                need.deleted += 1;
            }
        }
        needs.into_iter().map(Need::into_precondition).collect()
    }

    /// Refuses a specification that names too many others.
    pub(super) fn check(&self, spec: &Spec) -> Result<(), ApiError> {
        let Spec::VirtualNode(node) = spec else {
            return Ok(());
        };
        let count = node.backends().count();
        if count > self.backends {
            return Err(ApiError::TooManyBackends { count, quota: self.backends });
        }
        Ok(())
    }
}

/// What one commit does to a family.
struct Need {
    family: Family,
    quota: usize,
    created: usize,
    deleted: usize,
}

impl Need {
    fn into_precondition(self) -> Precondition {
        let than = (self.quota + self.deleted + 1).saturating_sub(self.created);
        Precondition::Fewer { family: self.family, than }
    }
}

/// The refusal of one more resource of `family`.
pub(super) fn reached(family: &Family) -> ApiError {
    match ResourceId::from_key(&family.key("x")) {
        Some(like) => ApiError::QuotaReached { kind: like.kind(), container: like.container() },
        None => ApiError::Raced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_needs_room_for_what_it_creates_and_does_not_delete() {
        let quotas = Quotas { virtual_nodes: 10, routes: 5, ..Quotas::default() };
        let node = |name: &str| ResourceId::virtual_node("m", name);
        let route = |router: &str| ResourceId::route("m", router, "x");
        let created = [node("a"), node("b"), node("c"), route("r"), route("q")];
        let deleted = [node("d"), ResourceId::virtual_node("n", "d"), ResourceId::mesh("o")];
        let room: Vec<String> = quotas.room(&created, &deleted).iter().map(ToString::to_string).collect();
        let expected = [
            "there must be fewer than 9 definitions/m/virtualNode/*",
            "there must be fewer than 5 definitions/m/route/r/*",
            "there must be fewer than 5 definitions/m/route/q/*",
        ];
        assert_eq!(room, expected);
        assert_eq!(quotas.room([], &deleted), []);
        let of_meshes = quotas.room([&ResourceId::mesh("m")], []);
        assert_eq!(of_meshes[0].to_string(), "there must be fewer than 10000 definitions/*/mesh");
    }
}
