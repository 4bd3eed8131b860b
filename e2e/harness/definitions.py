"""What a folder of definitions says: its documents, the Envoys it takes, and what those are to be given."""

from pathlib import Path

import yaml

from harness import locate


def documents(path):
    """All documents of a file or folder of examples/."""
    path = locate.EXAMPLES / path
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [Path(path)]
    return [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]


class Mesh:
    def __init__(self, path):
        self.nodes, self.services, self.routers, self.gateways = {}, {}, {}, {}
        self.routes, self.gateway_routes = {}, {}
        for document in documents(path):
            self.name, spec = document["meshName"], document["spec"]
            match document:
                case {"virtualGatewayName": gateway, "gatewayRouteName": name}:
                    self.gateway_routes[gateway, name] = spec
                case {"virtualGatewayName": name}:
                    self.gateways[name] = spec
                case {"virtualRouterName": router, "routeName": name}:
                    self.routes[router, name] = spec
                case {"virtualRouterName": name}:
                    self.routers[name] = spec
                case {"virtualServiceName": name}:
                    self.services[name] = spec
                case {"virtualNodeName": name}:
                    self.nodes[name] = spec

    def node_ids(self):
        """The node id of every Envoy that this mesh takes, one for each virtual node and gateway."""
        return [
            *(f"mesh/{self.name}/virtualNode/{name}" for name in self.nodes),
            *(f"mesh/{self.name}/virtualGateway/{name}" for name in self.gateways),
        ]

    def ingress_clusters(self, node):
        return {
            f"cds_ingress_{self.name}_{node}_{listener['portMapping']['protocol']}_{listener['portMapping']['port']}"
            for listener in self.nodes[node].get("listeners", [])
        }

    def egress_clusters(self, node_id):
        """The clusters of all that the backends of an Envoy may send its requests to."""
        _, _, kind, name = node_id.split("/")
        if kind == "virtualNode":
            backends = {backend["virtualService"]["virtualServiceName"]
                        for backend in self.nodes[name].get("backends", [])}
        else:
            backends = {route_action(spec)["target"]["virtualService"]["virtualServiceName"]
                        for (gateway, _), spec in self.gateway_routes.items() if gateway == name}
        return {cluster for backend in backends for cluster in self._service_clusters(backend)}

    def _service_clusters(self, service):
        provider = self.services.get(service, {}).get("provider", {})
        if "virtualNode" in provider:
            return self._node_clusters(provider["virtualNode"]["virtualNodeName"], None)
        router = provider.get("virtualRouter", {}).get("virtualRouterName")
        return {
            cluster
            for (owner, _), spec in self.routes.items() if owner == router
            for target in route_action(spec)["weightedTargets"]
            for cluster in self._node_clusters(target["virtualNode"], target.get("port"))
        }

    def _node_clusters(self, node, port):
        """A target without a port is the only listener of its node."""
        mappings = [listener["portMapping"] for listener in self.nodes[node]["listeners"]]
        return {
            f"cds_egress_{self.name}_{node}_{mapping['protocol']}_{mapping['port']}"
            for mapping in mappings if port in (None, mapping["port"])
        }


def route_action(spec):
    """The action of a route or gateway route, whichever protocol it is for."""
    return next(value["action"] for key, value in spec.items() if key.endswith("Route"))
