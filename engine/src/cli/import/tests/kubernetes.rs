use expect_test::expect;

use super::{check, imported, shown};

const MESH: &str = "
apiVersion: appmesh.k8s.aws/v1beta2
kind: Mesh
metadata: {name: shop}
spec: {namespaceSelector: {matchLabels: {mesh: shop}}}
";

const NODE: &str = "
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: cart, namespace: prod}
spec: {}
";

#[test]
fn manifests_with_everything() {
    let manifests = include_str!("../../../../../e2e/import/kubernetes.yaml");
    check(
        &[],
        &[("shop.yaml", manifests)],
        expect![[r#"
            # shop.yaml (line 8): Mesh shop
            meshName: shop
            spec:
              egressFilter:
                type: ALLOW_ALL
            ---
            # shop.yaml (line 39): VirtualNode cart-canary in prod
            meshName: shop
            virtualNodeName: canary
            spec:
              listeners:
              - portMapping:
                  port: 8080
                  protocol: http
              serviceDiscovery:
                dns:
                  hostname: cart-canary.prod.svc.cluster.local
                  responseType: ENDPOINTS
            ---
            # shop.yaml (line 17): VirtualNode cart in prod
            meshName: shop
            virtualNodeName: cart_prod
            spec:
              listeners:
              - healthCheck:
                  healthyThreshold: 2
                  intervalMillis: 5000
                  path: /ping
                  protocol: http
                  timeoutMillis: 2000
                  unhealthyThreshold: 3
                outlierDetection:
                  baseEjectionDuration:
                    unit: s
                    value: 30
                  interval:
                    unit: s
                    value: 10
                  maxEjectionPercent: 50
                  maxServerErrors: 5
                portMapping:
                  port: 8080
                  protocol: http
                timeout:
                  http:
                    perRequest:
                      unit: s
                      value: 5
              serviceDiscovery:
                dns:
                  hostname: cart.prod.svc.cluster.local
            ---
            # shop.yaml (line 51): VirtualNode web in prod
            meshName: shop
            virtualNodeName: web_prod
            spec:
              backends:
              - virtualService:
                  virtualServiceName: cart.prod.svc.cluster.local
              - virtualService:
                  virtualServiceName: search.prod
            ---
            # shop.yaml (line 96): VirtualRouter cart in prod
            meshName: shop
            virtualRouterName: cart_prod
            spec:
              listeners:
              - portMapping:
                  port: 8080
                  protocol: http
            ---
            # shop.yaml (line 96): VirtualRouter cart in prod: spec.routes[1]
            meshName: shop
            virtualRouterName: cart_prod
            routeName: by-arn
            spec:
              httpRoute:
                action:
                  weightedTargets:
                  - virtualNode: canary
                    weight: 1
                match:
                  path:
                    exact: /arn
            ---
            # shop.yaml (line 96): VirtualRouter cart in prod: spec.routes[0]
            meshName: shop
            virtualRouterName: cart_prod
            routeName: default
            spec:
              httpRoute:
                action:
                  weightedTargets:
                  - virtualNode: cart_prod
                    weight: 90
                  - port: 8080
                    virtualNode: canary
                    weight: 10
                match:
                  headers:
                  - match:
                      prefix: v
                    name: x-version
                  prefix: /
                timeout:
                  idle:
                    unit: s
                    value: 60
              priority: 10
            ---
            # shop.yaml (line 75): VirtualService cart in prod
            meshName: shop
            virtualServiceName: cart.prod.svc.cluster.local
            spec:
              provider:
                virtualRouter:
                  virtualRouterName: cart_prod
            ---
            # shop.yaml (line 86): VirtualService search in prod
            meshName: shop
            virtualServiceName: search.prod
            spec:
              provider:
                virtualNode:
                  virtualNodeName: cart_prod
            ---
            # shop.yaml (line 130): VirtualGateway front in prod
            meshName: shop
            virtualGatewayName: front_prod
            spec:
              listeners:
              - portMapping:
                  port: 8080
                  protocol: http
              logging:
                accessLog:
                  file:
                    path: /dev/stdout
            ---
            # shop.yaml (line 146): GatewayRoute cart in prod
            meshName: shop
            virtualGatewayName: front_prod
            gatewayRouteName: cart_prod
            spec:
              httpRoute:
                action:
                  target:
                    virtualService:
                      virtualServiceName: cart.prod.svc.cluster.local
                match:
                  prefix: /cart
            ! note     shop.yaml (line 17): VirtualNode cart in prod: spec.podSelector: is dropped: nothing injects an Envoy into pods here; start each one with what `legation bootstrap` prints
            ! note     shop.yaml (line 51): VirtualNode web in prod: spec.podSelector: is dropped: nothing injects an Envoy into pods here; start each one with what `legation bootstrap` prints
            ! note     shop.yaml (line 130): VirtualGateway front in prod: spec.podSelector: is dropped: nothing injects an Envoy into pods here; start each one with what `legation bootstrap` prints
            ! note     passed over, being of other types: Deployment, Namespace
            ! 11 written, 0 left out, 0 that the API would refuse
            exit code 0
        "#]],
    );
}

#[test]
fn what_a_cluster_prints() {
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "appmesh.k8s.aws/v1beta2", "kind": "Mesh", "metadata": {"name": "shop", "uid": "u"},
         "spec": {"awsName": "shop-mesh", "egressFilter": {"type": "ALLOW_ALL"}, "meshServiceDiscovery": {"ipPreference": "IPv4_ONLY"}, "namespaceSelector": {}}, "status": {"meshARN": "arn"}},
        {"apiVersion": "appmesh.k8s.aws/v1beta2", "kind": "VirtualGatewayList", "items": [
          {"metadata": {"name": "front", "namespace": "prod"}, "spec": {"awsName": "front", "meshRef": {"name": "shop", "uid": "u"}, "listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]}, "status": {}}]},
        {"apiVersion": "appmesh.k8s.aws/v1beta2", "kind": "GatewayRoute", "metadata": {"name": "all", "namespace": "other"},
         "spec": {"meshRef": {"name": "shop", "uid": "u"}, "virtualGatewayRef": {"name": "front", "namespace": "prod", "uid": "v"},
          "httpRoute": {"match": {"prefix": "/"}, "action": {"target": {"virtualService": {"virtualServiceARN": "arn:aws:appmesh:us-east-1:000000000000:mesh/shop-mesh/virtualService/cart.local"}}}}}}
    ]}"#;
    check(
        &[],
        &[("cluster.json", list)],
        expect![[r##"
            # cluster.json: items[0]: Mesh shop
            meshName: shop-mesh
            spec:
              egressFilter:
                type: ALLOW_ALL
              serviceDiscovery:
                ipPreference: IPv4_ONLY
            ---
            # cluster.json: items[1]: items[0]: VirtualGateway front in prod
            meshName: shop-mesh
            virtualGatewayName: front
            spec:
              listeners:
              - portMapping:
                  port: 80
                  protocol: http
            ---
            # cluster.json: items[2]: GatewayRoute all in other
            meshName: shop-mesh
            virtualGatewayName: front
            gatewayRouteName: all_other
            spec:
              httpRoute:
                action:
                  target:
                    virtualService:
                      virtualServiceName: cart.local
                match:
                  prefix: /
            ! note     virtual service "cart.local" in mesh "shop-mesh": is needed by gateway route "all_other" of virtual gateway "front" in mesh "shop-mesh" and not among what is written: it must exist before
            ! 3 written, 0 left out, 0 that the API would refuse
            exit code 0
        "##]],
    );
}

#[test]
fn a_mesh_that_nobody_names() {
    let other = "
apiVersion: appmesh.k8s.aws/v1beta2
kind: Mesh
metadata: {name: other}
spec: {namespaceSelector: {matchExpressions: [{key: mesh, operator: In, values: [other]}]}}
";
    let namespace = "
apiVersion: v1
kind: Namespace
metadata: {name: prod, labels: {mesh: other}}
";
    check(
        &[],
        &[("node.yaml", NODE)],
        expect![[r#"
        ! left out node.yaml: VirtualNode cart in prod: its mesh is not known: the controller goes by the labels of namespace prod, which is not here, and 0 could be meant; give it with --mesh NAME, or add the Namespace
        ! error: nothing could be carried over
        ! nothing was written
        exit code 2
    "#]],
    );
    check(
        &["--mesh=given"],
        &[("node.yaml", NODE)],
        expect![[r##"
            # node.yaml: VirtualNode cart in prod
            meshName: given
            virtualNodeName: cart_prod
            spec: {}
            ! note     mesh "given": is needed by virtual node "cart_prod" in mesh "given" and not among what is written: it must exist before
            ! 1 written, 0 left out, 0 that the API would refuse
            exit code 0
        "##]],
    );
    check(
        &[],
        &[("mesh.yaml", MESH), ("node.yaml", NODE)],
        expect![[r#"
            # mesh.yaml: Mesh shop
            meshName: shop
            spec: {}
            ---
            # node.yaml: VirtualNode cart in prod
            meshName: shop
            virtualNodeName: cart_prod
            spec: {}
            ! note     node.yaml: VirtualNode cart in prod: is taken to belong to mesh shop, the only one here: the labels of namespace prod are not here
            ! 2 written, 0 left out, 0 that the API would refuse
            exit code 0
        "#]],
    );
    check(
        &[],
        &[("mesh.yaml", MESH), ("other.yaml", other), ("node.yaml", NODE)],
        expect![[r#"
            # other.yaml: Mesh other
            meshName: other
            spec: {}
            ---
            # mesh.yaml: Mesh shop
            meshName: shop
            spec: {}
            ! left out node.yaml: VirtualNode cart in prod: its mesh is not known: the controller goes by the labels of namespace prod, which is not here, and 2 could be meant; give it with --mesh NAME, or add the Namespace
            ! 2 written, 1 left out, 0 that the API would refuse
            exit code 1
        "#]],
    );
    check(
        &[],
        &[("mesh.yaml", MESH), ("other.yaml", other), ("namespace.yaml", namespace), ("node.yaml", NODE)],
        expect![[r#"
            # other.yaml: Mesh other
            meshName: other
            spec: {}
            ---
            # mesh.yaml: Mesh shop
            meshName: shop
            spec: {}
            ---
            # node.yaml: VirtualNode cart in prod
            meshName: other
            virtualNodeName: cart_prod
            spec: {}
            ! note     passed over, being of other types: Namespace
            ! 3 written, 0 left out, 0 that the API would refuse
            exit code 0
        "#]],
    );
}

#[test]
fn what_is_left_out_and_what_is_noted() {
    let manifests = "
apiVersion: appmesh.k8s.aws/v1beta1
kind: VirtualNode
metadata: {name: old}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: cart}
spec:
  meshRef: {name: shop}
  podSelector: {matchLabels: {app: cart}}
  listeners:
  - portMapping: {port: 80, protocol: http}
    tls: {mode: STRICT, certificate: {acm: {certificateARN: 'arn:x'}}}
    color: red
  backends:
  - virtualService: {virtualServiceRef: {name: gone}}
  backendGroups:
  - {name: missing}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualRouter
metadata: {name: cart, namespace: prod}
spec:
  meshRef: {name: shop}
  listeners: []
  routes:
  - httpRoute: {match: {prefix: /}}
  - name: bad
    tcpRoute: {action: {weightedTargets: [{virtualNodeARN: nonsense, weight: 1}]}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: GatewayRoute
metadata: {name: cart, namespace: prod}
spec:
  meshRef: {name: shop}
  httpRoute: {match: {prefix: /}, action: {target: {virtualService: {virtualServiceRef: {name: cart}}}}}
";
    check(
        &[],
        &[("m.yaml", manifests)],
        expect![[r##"
            # m.yaml (line 10): VirtualNode cart
            meshName: shop
            virtualNodeName: cart_default
            spec:
              backends:
              - virtualService:
                  virtualServiceName: gone.default
              listeners:
              - portMapping:
                  port: 80
                  protocol: http
                tls:
                  certificate:
                    acm:
                      certificateArn: arn:x
                  mode: STRICT
            ---
            # m.yaml (line 25): VirtualRouter cart in prod
            meshName: shop
            virtualRouterName: cart_prod
            spec:
              listeners: []
            ! left out m.yaml (line 2): appmesh.k8s.aws/v1beta1 VirtualNode: is of an older controller; its versions before v1beta2 are not read
            ! left out m.yaml (line 10): VirtualNode cart: spec.backendGroups[0]: BackendGroup missing is not here, so its backends are missing; add it
            ! left out m.yaml (line 10): VirtualNode cart: spec.listeners[0].color: App Mesh's API has no such field
            ! left out m.yaml (line 25): VirtualRouter cart in prod: spec.routes[0]: has no name
            ! left out m.yaml (line 25): VirtualRouter cart in prod: spec.routes[1].tcpRoute.action.weightedTargets[0].virtualNodeARN: "nonsense" is no ARN of a virtual node
            ! left out m.yaml (line 36): GatewayRoute cart in prod: its virtual gateway is not known: the controller goes by the labels of namespace prod, which is not here, and 0 could be meant; export it from the cluster (kubectl get gatewayroutes -A -o yaml), where its virtualGatewayRef says so, or add the Namespace
            ! refused  virtual node "cart_default" in mesh "shop" (m.yaml (line 10): VirtualNode cart): spec.listeners[0].tls: TLS is not supported yet
            ! note     m.yaml (line 10): VirtualNode cart: has no namespace; default is taken, --namespace says otherwise
            ! note     m.yaml (line 10): VirtualNode cart: spec.podSelector: is dropped: nothing injects an Envoy into pods here; start each one with what `legation bootstrap` prints
            ! note     m.yaml (line 10): VirtualNode cart: spec.backends[0].virtualService.virtualServiceRef: VirtualService gone is not here; it is taken to be called gone.default, as the controller calls it by default
            ! note     mesh "shop": is needed by virtual node "cart_default" in mesh "shop" and 1 more and not among what is written: it must exist before
            ! note     passed over, being of other types: Deployment
            ! 2 written, 6 left out, 1 that the API would refuse
            exit code 1
        "##]],
    );
}

#[test]
fn a_template_that_is_not_filled_in() {
    let template = NODE.replace("prod", "'${NAMESPACE}'")
        + "---"
        + &NODE.replace("{}", "{awsName: 'a.${ZONE}', meshRef: {name: m}}");
    check(
        &[],
        &[("t.yaml", &template)],
        expect![[r#"
            ! left out t.yaml (line 2): VirtualNode cart in ${NAMESPACE}: ${NAMESPACE} is not filled in; do so first, as before kubectl apply
            ! left out t.yaml (line 7): VirtualNode cart in prod: ${ZONE} is not filled in; do so first, as before kubectl apply
            ! error: nothing could be carried over
            ! nothing was written
            exit code 2
        "#]],
    );
}

#[test]
fn labels_come_before_the_mesh_that_is_given() {
    let namespace = "
apiVersion: v1
kind: Namespace
metadata: {name: prod, labels: {mesh: shop}}
";
    let of_given = |labels: &str| {
        let namespace = namespace.replace("mesh: shop", labels);
        let files = [("namespace.yaml", namespace.as_str()), ("mesh.yaml", MESH), ("node.yaml", NODE)];
        let shown = shown(&imported(&["--mesh=given"], &files));
        shown.contains("# node.yaml: VirtualNode cart in prod\nmeshName: given\n")
    };
    assert!(!of_given("mesh: shop"), "the namespace is one of the mesh shop");
    assert!(of_given("mesh: other"), "no mesh here selects the namespace");
}

#[test]
fn every_namespace_has_a_label_with_its_name() {
    let mesh = |name: &str, namespace: &str| {
        format!(
            "---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: Mesh\nmetadata: {{name: {name}}}\nspec: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}}}\n"
        )
    };
    let rest = "\
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: n, namespace: shop}
spec: {}
";
    let manifest = mesh("a", "shop") + &mesh("b", "other") + rest;
    check(
        &[],
        &[("m.yaml", &manifest)],
        expect![[r#"
        # m.yaml (line 2): Mesh a
        meshName: a
        spec: {}
        ---
        # m.yaml (line 7): Mesh b
        meshName: b
        spec: {}
        ---
        # m.yaml (line 16): VirtualNode n in shop
        meshName: a
        virtualNodeName: n_shop
        spec: {}
        ! note     passed over, being of other types: Namespace
        ! 3 written, 0 left out, 0 that the API would refuse
        exit code 0
    "#]],
    );
}
