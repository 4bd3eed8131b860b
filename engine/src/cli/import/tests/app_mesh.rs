use expect_test::expect;

use super::check;

#[test]
fn what_describe_answers() {
    let export = include_str!("../../../../../e2e/import/app-mesh.jsonl");
    check(
        &[],
        &[("export.jsonl", export)],
        expect![[r#"
            # export.jsonl (line 7): mesh
            meshName: shop
            spec: {}
            ---
            # export.jsonl (line 6): virtualNode
            meshName: shop
            virtualNodeName: cart
            spec:
              backends: []
              listeners:
              - portMapping:
                  port: 8080
                  protocol: grpc
              serviceDiscovery:
                dns:
                  hostname: cart.shop.local
            ---
            # export.jsonl (line 4): virtualRouter
            meshName: shop
            virtualRouterName: cart
            spec:
              listeners:
              - portMapping:
                  port: 8080
                  protocol: grpc
            ---
            # export.jsonl (line 3): route
            meshName: shop
            virtualRouterName: cart
            routeName: default
            spec:
              grpcRoute:
                action:
                  weightedTargets:
                  - virtualNode: cart
                    weight: 1
                match:
                  methodName: Add
                  serviceName: shop.Cart
                retryPolicy:
                  grpcRetryEvents:
                  - unavailable
                  maxRetries: 3
                  perRetryTimeout:
                    unit: ms
                    value: 250
              priority: 0
            ---
            # export.jsonl (line 5): virtualService
            meshName: shop
            virtualServiceName: cart.shop.local
            spec:
              provider:
                virtualRouter:
                  virtualRouterName: cart
            ---
            # export.jsonl (line 2): virtualGateway
            meshName: shop
            virtualGatewayName: front
            spec:
              listeners:
              - portMapping:
                  port: 8080
                  protocol: http
            ---
            # export.jsonl (line 1): gatewayRoute
            meshName: shop
            virtualGatewayName: front
            gatewayRouteName: cart
            spec:
              httpRoute:
                action:
                  target:
                    virtualService:
                      virtualServiceName: cart.shop.local
                match:
                  prefix: /cart
            ! 7 written, 0 left out, 0 that the API would refuse
            exit code 0
        "#]],
    );
}

#[test]
fn lists_and_bare_data_and_documents_for_apply() {
    let file = r#"[
        {"virtualNode": {"meshName": "m", "virtualNodeName": "n", "metadata": {"version": 3}, "status": {"status": "ACTIVE"}, "spec": {"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]}}, "ResponseMetadata": {}},
        [{"meshName": "m", "spec": {}, "tags": [{"key": "a", "value": "b"}]}],
        {"meshName": "m", "virtualRouterName": "r", "routeName": "x", "spec": {"tcpRoute": {"action": {"weightedTargets": [{"virtualNode": "n", "weight": 1}]}}}, "status": {"status": "ACTIVE"}},
        {"virtualService": {"meshName": "m", "virtualServiceName": "gone", "spec": {}, "status": {"status": "DELETED"}}},
        {"virtualRouters": [{"arn": "a", "meshName": "m", "virtualRouterName": "r"}]},
        {"virtualGateways": []}
    ]"#;
    check(
        &[],
        &[("all.json", file)],
        expect![[r##"
            # all.json[1][0]
            meshName: m
            spec: {}
            tags:
            - key: a
              value: b
            ---
            # all.json[0]: virtualNode
            meshName: m
            virtualNodeName: "n"
            spec:
              listeners:
              - portMapping:
                  port: 80
                  protocol: http
            ---
            # all.json[2]
            meshName: m
            virtualRouterName: r
            routeName: x
            spec:
              tcpRoute:
                action:
                  weightedTargets:
                  - virtualNode: "n"
                    weight: 1
            ! left out all.json[4]: is a list of names only; add what describe answers for each virtual router
            ! note     all.json[3]: virtualService: is deleted, and passed over
            ! note     virtual router "r" in mesh "m": is needed by route "x" of virtual router "r" in mesh "m" and not among what is written: it must exist before
            ! 3 written, 1 left out, 0 that the API would refuse
            exit code 1
        "##]],
    );
}

#[test]
fn what_is_left_out() {
    let file = r#"
        {"meshName": "m", "spec": {"egressFilter": {"type": "ALLOW_ALL"}, "shade": 1}, "color": "red"}
        {"meshName": "m", "spec": {}}
        {"meshName": "m", "virtualRouterName": "a/b", "spec": {}}
        {"meshName": "m", "virtualNodeName": "n", "spec": {"listeners": [{"portMapping": {"port": "80", "protocol": "http"}}]}}
        {"meshName": "m", "virtualNodeName": "n", "spec": {"listeners": [{"portMapping": {"port": "80", "protocol": "http"}}]}}"#;
    check(
        &[],
        &[("all.json", file)],
        expect![[r##"
            # all.json (line 2)
            meshName: m
            spec:
              egressFilter:
                type: ALLOW_ALL
            ---
            # all.json (line 5)
            meshName: m
            virtualNodeName: "n"
            spec:
              listeners:
              - portMapping:
                  port: "80"
                  protocol: http
            ! left out all.json (line 2): spec.shade: App Mesh's API has no such field
            ! left out all.json (line 2): color: is nothing that a resource has
            ! left out all.json (line 4): virtualRouterName: has a /, which the name of a virtual router may not have
            ! left out all.json (line 3): mesh "m" is defined already, and differently, by all.json (line 2)
            ! refused  virtual node "n" in mesh "m" (all.json (line 5)): spec.listeners[0].portMapping.port: "80" is a string; an integer is expected
            ! note     all.json (line 6): virtual node "n" in mesh "m" is defined in the same way by all.json (line 5)
            ! 2 written, 4 left out, 1 that the API would refuse
            exit code 1
        "##]],
    );
}

#[test]
fn what_has_a_misspelled_name_is_no_mesh() {
    let node = r#"{"meshName": "m", "virtualNodName": "n", "spec": {}}"#;
    check(
        &[],
        &[("node.json", node), ("mesh.json", r#"{"meshName": "o", "spec": {}}"#)],
        expect![[r#"
        # mesh.json
        meshName: o
        spec: {}
        ! left out node.json: virtualNodName: is nothing that a resource has
        ! left out node.json: may be something in the mesh, and is not taken for the mesh
        ! 1 written, 2 left out, 0 that the API would refuse
        exit code 1
    "#]],
    );
}

#[test]
fn the_mesh_may_be_named_on_the_command_line() {
    let node = r#"{"spec": {}, "virtualNodeName": "n"}"#;
    let route = r#"{"routeName": "x", "virtualRouterName": "r", "spec": {"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNode": "n", "weight": 1}]}}}}"#;
    let elsewhere = r#"{"meshName": "other", "virtualNodeName": "n", "spec": {}}"#;
    let files = [("node.json", node), ("route.json", route), ("other.json", elsewhere)];
    check(
        &["--mesh=m"],
        &files,
        expect![[r##"
        # node.json
        meshName: m
        virtualNodeName: "n"
        spec: {}
        ---
        # other.json
        meshName: other
        virtualNodeName: "n"
        spec: {}
        ---
        # route.json
        meshName: m
        virtualRouterName: r
        routeName: x
        spec:
          httpRoute:
            action:
              weightedTargets:
              - virtualNode: "n"
                weight: 1
            match:
              prefix: /
        ! note     mesh "m": is needed by virtual node "n" in mesh "m" and not among what is written: it must exist before
        ! note     virtual router "r" in mesh "m": is needed by route "x" of virtual router "r" in mesh "m" and not among what is written: it must exist before
        ! note     mesh "other": is needed by virtual node "n" in mesh "other" and not among what is written: it must exist before
        ! 3 written, 0 left out, 0 that the API would refuse
        exit code 0
    "##]],
    );
    check(
        &[],
        &files,
        expect![[r##"
        # other.json
        meshName: other
        virtualNodeName: "n"
        spec: {}
        ! left out node.json: does not say its mesh; give it with --mesh NAME
        ! left out route.json: does not say its mesh; give it with --mesh NAME
        ! note     mesh "other": is needed by virtual node "n" in mesh "other" and not among what is written: it must exist before
        ! 1 written, 2 left out, 0 that the API would refuse
        exit code 1
    "##]],
    );
}
