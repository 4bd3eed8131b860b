use expect_test::{Expect, expect};

use super::{check, imported, shown};

fn check_template(options: &[&str], text: &str, expected: Expect) {
    check(options, &[("t.yaml", text)], expected);
}

/// What the hostname of a virtual node comes to, or what is said of it.
fn hostname(options: &[&str], expression: &str, rest: &str) -> String {
    let template = format!(
        "Resources:\n  N:\n    Type: AWS::AppMesh::VirtualNode\n    Properties:\n      MeshName: m\n      \
         VirtualNodeName: n\n      Spec:\n        ServiceDiscovery:\n          DNS:\n            Hostname: {expression}\n{rest}"
    );
    let outcome = imported(options, &[("t.yaml", &template)]);
    let shown = shown(&outcome);
    let hostname = shown.lines().find_map(|line| line.trim().strip_prefix("hostname: "));
    let said = shown.lines().find_map(|line| {
        line.strip_prefix("! left out t.yaml: Resources.N.Properties.Spec.ServiceDiscovery.DNS.Hostname")
    });
    match (hostname, said) {
        (Some(hostname), None) => hostname.to_owned(),
        (None, Some(said)) => format!("?{}", said.replace("; N is left out without it", "")),
        _ => shown,
    }
}

const REST: &str = "
  Other: {Type: 'AWS::ECS::Service', Properties: {}}
  Mesh: {Type: 'AWS::AppMesh::Mesh', Properties: {MeshName: !Sub '${P}-mesh'}}
  R: {Type: 'AWS::AppMesh::VirtualRouter', Properties: {MeshName: !GetAtt Mesh.MeshName, VirtualRouterName: r}}
  Loop: {Type: 'AWS::AppMesh::Mesh', Properties: {MeshName: !GetAtt Loop.MeshName}}
Parameters:
  P: {Type: String, Default: prod}
  N1: {Type: Number, Default: 12}
  List: {Type: CommaDelimitedList, Default: 'a, b,c'}
  Looked: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /path}
  Open: {Type: String}
Mappings:
  M: {prod: {x: found, list: [l0, l1]}}
Conditions:
  Yes: !Equals [!Ref P, prod]
  No: !Not [!Condition Yes]
  Both: !And [!Condition Yes, !Or [!Condition No, !Equals ['1', 1]]]
  Circle: !Not [!Condition Circle]
  Unknown: !Equals [!Ref Open, x]
";

#[test]
fn functions_come_to_values() {
    let table = [
        ("plain", "plain"),
        ("!Ref P", "prod"),
        ("{Ref: N1}", "\"12\""),
        ("!Sub 'a.${P}.${N1}'", "a.prod.12"),
        ("!Sub ['${V}.${P}', {V: !Ref N1}]", "12.prod"),
        ("!Sub 'a.${!Literal}.${AWS::Region}'", "a.${Literal}.us-east-1"),
        ("{'Fn::Sub': 'x.${R.VirtualRouterName}'}", "x.r"),
        ("!GetAtt R.MeshName", "prod-mesh"),
        ("{'Fn::GetAtt': [R, VirtualRouterName]}", "r"),
        ("!Ref R", "arn:aws:appmesh:us-east-1:000000000000:mesh/prod-mesh/virtualRouter/r"),
        ("!GetAtt R.MeshOwner", "\"000000000000\""),
        ("!Join ['-', [a, !Ref P, 3]]", "a-prod-3"),
        ("!Join ['+', !Ref List]", "a+b+c"),
        ("!Select [1, !Ref List]", "b"),
        ("!Select ['2', !Split ['.', 'a.b.c']]", "c"),
        ("!FindInMap [M, !Ref P, x]", "found"),
        ("!Select [1, !FindInMap [M, prod, list]]", "l1"),
        ("!FindInMap [M, nope, x, {DefaultValue: !Ref P}]", "prod"),
        ("!If [Yes, then, else]", "then"),
        ("!If [No, then, else]", "else"),
        ("!If [Both, then, !Ref Open]", "then"),
        ("!Sub '${AWS::Partition}.${AWS::URLSuffix}'", "aws.amazonaws.com"),
        ("yes", "\"yes\""),
    ];
    for (expression, expected) in table {
        assert_eq!(hostname(&[], expression, REST), expected, "{expression}");
    }
}

#[test]
fn what_is_not_known_is_named_and_can_be_given() {
    let table = [
        (
            "!Ref Open",
            ": the parameter Open has no default; give it with --parameter 'Open=VALUE'",
            "--parameter=Open=given",
        ),
        (
            "!Ref Looked",
            ": the parameter Looked is looked up at deployment; give it with --parameter 'Looked=VALUE'",
            "--parameter=Looked=given",
        ),
        (
            "!Ref Other",
            ": what Other refers to is not known; give it with --set 'Other=VALUE'",
            "--set=Other=given",
        ),
        (
            "!GetAtt Other.Name",
            ": the attribute Other.Name is not known; give it with --set 'Other.Name=VALUE'",
            "--set=Other.Name=given",
        ),
        (
            "!GetAtt R.Uid",
            ": the attribute R.Uid is not known; give it with --set 'R.Uid=VALUE'",
            "--set=R.Uid=given",
        ),
        (
            "!ImportValue {'Fn::Sub': '${P}-x'}",
            ": the value that another stack exports as prod-x is not known; give it with --set 'prod-x=VALUE'",
            "--set=prod-x=given",
        ),
        (
            "!Ref AWS::StackName",
            ": AWS::StackName is not known; give it with --stack-name VALUE",
            "--stack-name=given",
        ),
        (
            "'{{resolve:ssm:/a}}'",
            ": {{resolve:ssm:/a}} is looked up at deployment; give it with --set '{{resolve:ssm:/a}}=VALUE'",
            "--set={{resolve:ssm:/a}}=given",
        ),
        ("!If [Unknown, given, no]", "", "--parameter=Open=x"),
    ];
    for (expression, expected, option) in table {
        if !expected.is_empty() {
            assert_eq!(hostname(&[], expression, REST), format!("?{expected}"), "{expression}");
        }
        assert_eq!(hostname(&[option], expression, REST), "given", "{expression}");
    }
}

#[test]
fn nonsense_is_named() {
    let table = [
        ("!GetAtt R", ": Fn::GetAtt does not take such arguments"),
        ("!Join [a]", ": Fn::Join does not take such arguments"),
        ("!Join ['-', {a: b}]", ": Fn::Join does not take such arguments"),
        ("!Select [9, [a]]", ": Fn::Select finds no item 9"),
        ("!FindInMap [M, nope, x]", ": the mapping M has nothing for nope and x"),
        ("!If [Nope, a, b]", ": there is no condition Nope"),
        ("!Cidr [a, b]", ": the function Fn::Cidr is not known here; write its value in the template"),
        ("!Sub '${List}'", ": List is no text"),
        ("!GetAtt Loop.MeshName", ": functions and references go too deep here, or in a circle"),
    ];
    for (expression, expected) in table {
        assert_eq!(hostname(&[], expression, REST), format!("?{expected}"), "{expression}");
    }
    let circle = hostname(&[], "!If [Circle, a, b]", REST);
    assert!(
        circle.contains("Conditions.Circle: functions and references go too deep here, or in a circle"),
        "{circle}"
    );
}

#[test]
fn references_that_double_are_bounded() {
    let mut template = "Resources:\n".to_owned();
    for i in 0..60 {
        template += &format!(
            "  M{i}: {{Type: AWS::AppMesh::Mesh, Properties: {{MeshName: !Sub '${{M{}.MeshName}}${{M{}.MeshName}}'}}}}\n",
            i + 1,
            i + 1
        );
    }
    template += "  M60: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: m}}\n";
    let outcome = imported(&[], &[("t.yaml", &template)]);
    let said = shown(&outcome);
    assert!(said.contains("Resources.M0.Properties.MeshName"), "{said}");
    assert_eq!(outcome.exit_code(), 1);
}

#[test]
fn a_template_with_everything() {
    let template = include_str!("../../../../../e2e/import/cloudformation.yaml");
    check(
        &["--parameter=MeshName=shop", "--parameter=Environment=prod", "--parameter=CartPort=9090"],
        &[("shop.yaml", template)],
        expect![[r##"
            # shop.yaml: Resources.Mesh
            meshName: shop
            spec:
              egressFilter:
                type: DROP_ALL
            tags:
            - key: team
              value: shop
            - key: environment
              value: prod
            ---
            # shop.yaml: Resources.CartNode
            meshName: shop
            virtualNodeName: cart
            spec:
              listeners:
              - connectionPool:
                  http:
                    maxConnections: 100
                    maxPendingRequests: 10
                healthCheck:
                  healthyThreshold: 2
                  intervalMillis: 5000
                  path: /ping
                  protocol: http
                  timeoutMillis: 2000
                  unhealthyThreshold: 3
                portMapping:
                  port: 9090
                  protocol: http
                timeout:
                  http:
                    perRequest:
                      unit: s
                      value: 5
              logging:
                accessLog:
                  file:
                    path: /dev/stdout
              serviceDiscovery:
                dns:
                  hostname: cart.shop.local
                  responseType: ENDPOINTS
            ---
            # shop.yaml: Resources.WebNode
            meshName: shop
            virtualNodeName: web
            spec:
              backends:
              - virtualService:
                  virtualServiceName: cart.prod.shop.local
            ---
            # shop.yaml: Resources.Router
            meshName: shop
            virtualRouterName: cart
            spec:
              listeners:
              - portMapping:
                  port: 9090
                  protocol: http
            ---
            # shop.yaml: Resources.Route
            meshName: shop
            virtualRouterName: cart
            routeName: default
            spec:
              httpRoute:
                action:
                  weightedTargets:
                  - virtualNode: cart
                    weight: 90
                match:
                  headers:
                  - invert: true
                    match:
                      range:
                        end: 9
                        start: 1
                    name: x-region
                  prefix: /
                  queryParameters:
                  - match:
                      exact: "1"
                    name: q
                retryPolicy:
                  httpRetryEvents:
                  - server-error
                  - gateway-error
                  maxRetries: 2
                  perRetryTimeout:
                    unit: ms
                    value: 500
                  tcpRetryEvents:
                  - connection-error
              priority: 10
            ---
            # shop.yaml: Resources.CartService
            meshName: shop
            virtualServiceName: cart.prod.shop.local
            spec:
              provider:
                virtualRouter:
                  virtualRouterName: cart
            ---
            # shop.yaml: Resources.Gateway
            meshName: shop
            virtualGatewayName: front
            spec:
              listeners:
              - portMapping:
                  port: 8080
                  protocol: http
            ---
            # shop.yaml: Resources.GatewayRoute
            meshName: shop
            virtualGatewayName: front
            gatewayRouteName: cart
            spec:
              httpRoute:
                action:
                  rewrite:
                    hostname:
                      defaultTargetHostname: DISABLED
                  target:
                    virtualService:
                      virtualServiceName: cart.prod.shop.local
                match:
                  hostname:
                    suffix: .example.com
                  prefix: /cart
            ! note     shop.yaml: Resources.CanaryNode: is passed over, since its condition does not hold
            ! note     passed over, being of other types: AWS::ECS::Cluster
            ! 8 written, 0 left out, 0 that the API would refuse
            exit code 0
        "##]],
    );
}

#[test]
fn a_template_in_json() {
    let template = r#"{"Resources": {
        "M": {"Type": "AWS::AppMesh::Mesh", "Properties": {"MeshName": {"Fn::Join": ["-", ["a", {"Ref": "AWS::Region"}]]}}},
        "S": {"Type": "AWS::AppMesh::VirtualService", "Properties": {"MeshName": {"Fn::GetAtt": ["M", "MeshName"]}, "VirtualServiceName": "s", "Spec": {}}}
    }}"#;
    check(
        &["--region=eu-west-1"],
        &[("t.json", template)],
        expect![[r#"
            # t.json: Resources.M
            meshName: a-eu-west-1
            spec: {}
            ---
            # t.json: Resources.S
            meshName: a-eu-west-1
            virtualServiceName: s
            spec: {}
            ! 2 written, 0 left out, 0 that the API would refuse
            exit code 0
        "#]],
    );
}

#[test]
fn what_is_left_out_and_what_is_noted() {
    check_template(
        &["--set=misspelt=1", "--parameter=Unused=1", "--parameter=Typo=1"],
        "
Transform: [Mine, 'AWS::LanguageExtensions']
Parameters: {Open: {Type: String}, Unused: {Type: String}}
Conditions: {Never: !Equals [a, b]}
Resources:
  Mesh:
    Type: AWS::AppMesh::Mesh
    DeletionPolicy: Retain
    Properties: {MeshName: m, MeshOwner: '123456789012'}
  Never:
    Type: AWS::AppMesh::Mesh
    Condition: Never
    Properties: {MeshName: never}
  Unnamed:
    Type: AWS::AppMesh::VirtualNode
    Properties: {MeshName: !Ref Mesh, Spec: {Listeners: [{PortMapping: {Port: 70000, Protocol: http}, Surprise: 1}]}, Color: red}
  Unknown:
    Type: AWS::AppMesh::VirtualRouter
    Properties: {MeshName: m, VirtualRouterName: !Ref Open, Spec: {}}
  Secure:
    Type: AWS::AppMesh::VirtualGateway
    Properties:
      MeshName: m
      VirtualGatewayName: g
      Spec:
        Listeners:
          - PortMapping: {Port: 443, Protocol: http}
            TLS: {Mode: STRICT, Certificate: {ACM: {CertificateArn: arn}}}
  Route:
    Type: AWS::AppMesh::Route
    Properties:
      MeshName: m
      VirtualRouterName: elsewhere
      RouteName: r
      Spec: {TcpRoute: {Action: {WeightedTargets: [{VirtualNode: elsewhere, Weight: 1}]}}}
  New: {Type: 'AWS::AppMesh::Novelty'}
  A: {Type: 'AWS::ECS::Service'}
  B: {Type: 'AWS::ECS::Service'}
  'Fn::ForEach::X': [a, [b], {}]
  Bad: 7
",
        expect![[r##"
            # t.yaml: Resources.Mesh
            meshName: m
            spec: {}
            ---
            # t.yaml: Resources.Unnamed
            meshName: m
            virtualNodeName: Unnamed
            spec:
              listeners:
              - portMapping:
                  port: 70000
                  protocol: http
            ---
            # t.yaml: Resources.Route
            meshName: m
            virtualRouterName: elsewhere
            routeName: r
            spec:
              tcpRoute:
                action:
                  weightedTargets:
                  - virtualNode: elsewhere
                    weight: 1
            ---
            # t.yaml: Resources.Secure
            meshName: m
            virtualGatewayName: g
            spec:
              listeners:
              - portMapping:
                  port: 443
                  protocol: http
                tls:
                  certificate:
                    acm:
                      certificateArn: arn
                  mode: STRICT
            ! left out t.yaml: Resources.Unnamed.Properties.VirtualNodeName: is not given, so CloudFormation made up a name; Unnamed is written: give the real one with --set 'Unnamed.VirtualNodeName=NAME'
            ! left out t.yaml: Resources.Unnamed.Properties.Color: is no property of such a resource
            ! left out t.yaml: Resources.Unnamed.Properties.Spec.Listeners[0].Surprise: App Mesh's API has no such field
            ! left out t.yaml: Resources.Unknown.Properties.VirtualRouterName: the parameter Open has no default; give it with --parameter 'Open=VALUE'; Unknown is left out without it
            ! left out t.yaml: Resources.New: AWS::AppMesh::Novelty is not known
            ! left out t.yaml: Resources.Fn::ForEach::X: is a macro, which is not expanded here; import the processed template
            ! left out t.yaml: Resources.Bad: is no resource: it has no Type
            ! left out --parameter: nothing asks for Typo; is it misspelt?
            ! left out --set: nothing asks for misspelt; is it misspelt?
            ! refused  virtual node "Unnamed" in mesh "m" (t.yaml: Resources.Unnamed): spec.listeners[0].portMapping.port: 70000 is not in 1..=65535
            ! refused  virtual gateway "g" in mesh "m" (t.yaml: Resources.Secure): spec.listeners[0].tls: TLS is not supported yet
            ! note     t.yaml: Transform: what the macro Mine would change is not known here; import the processed template (aws cloudformation get-template --template-stage Processed) if it makes resources of App Mesh
            ! note     t.yaml: Resources.Mesh.Properties.MeshOwner: is passed over: there are no meshes of other accounts
            ! note     t.yaml: Resources.Never: is passed over, since its condition does not hold
            ! note     t.yaml: Resources.Unnamed.Properties.MeshName: is an ARN where a name belongs; the name in it is taken: m
            ! note     t.yaml: AWS::Region is taken to be us-east-1; --region says otherwise
            ! note     t.yaml: AWS::AccountId is taken to be 000000000000; --account says otherwise
            ! note     virtual node "elsewhere" in mesh "m": is needed by route "r" of virtual router "elsewhere" in mesh "m" and not among what is written: it must exist before
            ! note     virtual router "elsewhere" in mesh "m": is needed by route "r" of virtual router "elsewhere" in mesh "m" and not among what is written: it must exist before
            ! note     passed over, being of other types: AWS::ECS::Service (2)
            ! 4 written, 9 left out, 2 that the API would refuse
            exit code 1
        "##]],
    );
}

#[test]
fn numbers_whose_digits_are_lost_are_no_texts() {
    // 0123 and 1.10 are numbers to YAML, and the zeros are gone
    check_template(
        &[],
        "
Resources:
  Mesh: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: 0123, Spec: {}}}
  N: {Type: AWS::AppMesh::VirtualNode, Properties: {MeshName: m, VirtualNodeName: n, Spec: {ServiceDiscovery: {DNS: {Hostname: 1.10}}}}}
",
        expect![[r##"
            # t.yaml: Resources.N
            meshName: m
            virtualNodeName: "n"
            spec:
              serviceDiscovery:
                dns:
                  hostname: 1.1
            ! left out t.yaml: Resources.Mesh.Properties.MeshName: is no text; Mesh is left out without it
            ! refused  virtual node "n" in mesh "m" (t.yaml: Resources.N): spec.serviceDiscovery.dns.hostname: 1.1 is a number; a string is expected
            ! note     mesh "m": is needed by virtual node "n" in mesh "m" and not among what is written: it must exist before
            ! 1 written, 1 left out, 1 that the API would refuse
            exit code 1
        "##]],
    );
}

#[test]
fn a_parameter_has_one_of_the_values_that_it_may_have() {
    let template = "\
Parameters:
  Env: {Type: String, AllowedValues: [dev, prod], Default: dev, NoEcho: true}
  Ports: {Type: CommaDelimitedList, AllowedValues: [80, 443], Default: '80'}
Resources:
  Mesh: {Type: 'AWS::AppMesh::Mesh', Properties: {MeshName: !Sub '${Env}-mesh'}}
";
    check(
        &["--parameter=Env=prod"],
        &[("t.yaml", template)],
        expect![[r#"
        # t.yaml: Resources.Mesh
        meshName: prod-mesh
        spec: {}
        ! 1 written, 0 left out, 0 that the API would refuse
        exit code 0
    "#]],
    );
    check(
        &["--parameter=Env=typo"],
        &[("t.yaml", template)],
        expect![[r#"
        ! left out t.yaml: Resources.Mesh.Properties.MeshName: the parameter Env has a value that is not among its AllowedValues; Mesh is left out without it
        ! error: nothing could be carried over
        ! nothing was written
        exit code 2
    "#]],
    );
    let template = template.replace("'${Env}-mesh'", "['m-${Port}', {Port: !Select [1, !Ref Ports]}]");
    check(
        &["--parameter=Ports=80, 443"],
        &[("t.yaml", &template)],
        expect![[r#"
        # t.yaml: Resources.Mesh
        meshName: m-443
        spec: {}
        ! 1 written, 0 left out, 0 that the API would refuse
        exit code 0
    "#]],
    );
    check(
        &["--parameter=Ports=80,8080"],
        &[("t.yaml", &template)],
        expect![[r#"
        ! left out t.yaml: Resources.Mesh.Properties.MeshName: the parameter Ports has a value that is not among its AllowedValues; Mesh is left out without it
        ! error: nothing could be carried over
        ! nothing was written
        exit code 2
    "#]],
    );
}

#[test]
fn nothing_is_no_part_of_a_text() {
    let template = "\
Resources:
  Mesh: {Type: 'AWS::AppMesh::Mesh', Properties: {MeshName: m, Tags: [{Key: k, Value: !Sub 'a${AWS::NoValue}'}]}}
";
    check(
        &[],
        &[("t.yaml", template)],
        expect![[r#"
        ! left out t.yaml: Resources.Mesh.Properties.Tags[0].Value: AWS::NoValue is no text; Mesh is left out without it
        ! error: nothing could be carried over
        ! nothing was written
        exit code 2
    "#]],
    );
}

#[test]
fn keys_of_mappings_may_be_numbers() {
    let template = "\
Mappings:
  Accounts:
    111111111111: {Mesh: one}
Resources:
  Mesh: {Type: 'AWS::AppMesh::Mesh', Properties: {MeshName: !FindInMap [Accounts, !Ref 'AWS::AccountId', Mesh]}}
";
    check(
        &["--account=111111111111"],
        &[("t.yaml", template)],
        expect![[r#"
        # t.yaml: Resources.Mesh
        meshName: one
        spec: {}
        ! 1 written, 0 left out, 0 that the API would refuse
        exit code 0
    "#]],
    );
}

#[test]
fn lines_may_end_as_on_windows() {
    let template = "\
Parameters:
  Name: {Type: String}
Resources:
  Mesh:
    Type: AWS::AppMesh::Mesh
    Properties:
      MeshName: !Sub
        - '${Name}-${Suffix}'
        - Suffix: mesh
"
    .replace('\n', "\r\n");
    check(
        &["--parameter=Name=a"],
        &[("t.yaml", &template)],
        expect![[r#"
        # t.yaml: Resources.Mesh
        meshName: a-mesh
        spec: {}
        ! 1 written, 0 left out, 0 that the API would refuse
        exit code 0
    "#]],
    );
}
