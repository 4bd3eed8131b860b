"""Values at random of the shapes of App Mesh's model, and the same with one thing wrong.

What the model says is kept always. What Legation asks for beyond it (`docs/api.md`, "What is stricter", and what App Mesh's
user guide says of routes) is kept mostly, so that much is accepted.
"""

import copy
import string

from harness.service_model import is_union, violations

# optional members are left out more often the deeper they are
KEPT = 0.6
# what is refused because it is not built yet is tried seldom
UNSUPPORTED = {"tls", "awsCloudMap"}
UNSUPPORTED_KEPT = 0.02
ITEMS_MAX = 4
# where a shape has no limit of its own; times have at most this many (docs/api.md)
INTEGER_MAX = 1_000_000
HTTP_RETRY_EVENTS = ["server-error", "gateway-error", "client-error", "stream-error"]

LETTERS = string.ascii_letters + string.digits + "-_. "
ODD_LETTERS = "äßİ漢🦀\u0301\u200b\u202e\u2028\ufeff\U0010ffff\"'\\/<>&%{}$;=#?*+~|^`\x7f"
CONTROLS = "\0\t\n\r\x1b\x85"


class Generator:
    """Values of shapes. `names` has, by the kind of resource, the names that texts refer to."""

    def __init__(self, random, names):
        self.random = random
        self.names = names

    def chance(self, probability):
        return self.random.random() < probability

    def value(self, shape, owner=None, member=None, depth=0):
        """A value of `shape`, which is the member of that name of the structure called `owner`."""
        special = SPECIAL.get((owner, member))
        if special and self.chance(0.97):
            return special(self)
        made = getattr(self, f"_{shape.type_name}")(shape, depth)
        adjust = ADJUST.get(shape.name)
        if adjust and self.chance(0.97):
            adjust(self, made)
        return made

    def _structure(self, shape, depth):
        if is_union(shape):
            likely = [name for name in shape.members if name not in UNSUPPORTED or self.chance(UNSUPPORTED_KEPT)]
            kept = [self.random.choice(likely or list(shape.members))]
        else:
            required = set(shape.required_members)
            kept = [name for name in shape.members if name in required or self.chance(
                UNSUPPORTED_KEPT if name in UNSUPPORTED else KEPT ** (1 + depth / 4))]
        return {name: self.value(shape.members[name], shape.name, name, depth + 1) for name in kept}

    def _list(self, shape, depth):
        low = shape.metadata.get("min", 0)
        high = min(shape.metadata.get("max", ITEMS_MAX), max(ITEMS_MAX, low))
        return [self.value(shape.member, shape.name, "member", depth) for _ in range(self.random.randint(low, high))]

    def _string(self, shape, _):
        return self.random.choice(shape.enum) if shape.enum else self.text(
            shape.metadata.get("min", 0), shape.metadata.get("max", 300))

    def text(self, low, high):
        """Any text of `low` to `high` characters."""
        length = self.random.choice([low, min(high, max(low, self.random.randint(1, 20))), high])
        letters = LETTERS + (ODD_LETTERS if self.chance(0.3) else "") + (CONTROLS if self.chance(0.02) else "")
        return "".join(self.random.choices(letters, k=length))

    def _integer(self, shape, _):
        low = shape.metadata.get("min", -INTEGER_MAX)
        high = shape.metadata.get("max", INTEGER_MAX)
        return self.random.choice([low, high, self.random.randint(low, high), self.random.randint(low, high)])

    _long = _integer

    def _boolean(self, *_):
        return self.chance(0.5)

    def _timestamp(self, *_):
        raise AssertionError("no request has a time")

    # texts that have to be more than texts

    def name(self, kind):
        return self.random.choice(self.names[kind])

    def host(self):
        labels = (self.word("-_", self.random.choice([1, 5, 5, 63])) for _ in range(self.random.randint(1, 3)))
        return ".".join(labels) + self.random.choice(["", "", "."])

    def path(self):
        return "/" + "/".join(self.word("-_~ä%+", self.random.randint(1, 8)) for _ in range(self.random.randint(0, 3)))

    def word(self, more, length):
        return "".join(self.random.choices(string.ascii_letters + string.digits + more, k=length))

    def regex(self):
        return self.random.choice([".*", "/item/[0-9]+", "(a|b)*c?", "[^x]{2,5}", "\\d+\\.html", "ä+", "^x$", "(?i)hello"])

    def log_format(self):
        return self.random.choice(["%PROTOCOL%", "[%START_TIME%] %REQ(:METHOD)%\n", "plain text", "%RESPONSE_CODE% ä"])


SPECIAL = {
    **{(owner, member): (lambda kind: lambda own: own.name(kind))(kind) for owner, member, kind in [
        ("WeightedTarget", "virtualNode", "virtualNode"),
        ("VirtualNodeServiceProvider", "virtualNodeName", "virtualNode"),
        ("VirtualRouterServiceProvider", "virtualRouterName", "virtualRouter"),
        ("VirtualServiceBackend", "virtualServiceName", "virtualService"),
        ("GatewayRouteVirtualService", "virtualServiceName", "virtualService"),
    ]},
    **{(owner, "regex"): Generator.regex for owner in (
        "HttpPathMatch", "HeaderMatchMethod", "GrpcMetadataMatchMethod", "GrpcRouteMetadataMatchMethod")},
    **{place: Generator.path for place in (
        ("HttpRouteMatch", "prefix"), ("HttpGatewayRouteMatch", "prefix"), ("HttpPathMatch", "exact"),
        ("HttpGatewayRoutePathRewrite", "exact"), ("HealthCheckPolicy", "path"), ("VirtualGatewayHealthCheckPolicy", "path"))},
    **{place: Generator.host for place in (
        ("DnsServiceDiscovery", "hostname"), ("GatewayRouteHostnameMatch", "exact"), ("GatewayRouteHostnameMatch", "suffix"))},
    ("HttpGatewayRoutePrefixRewrite", "value"): lambda own: own.path().rstrip("/") + "/",
    ("LoggingFormat", "text"): Generator.log_format,
    ("JsonFormatRef", "value"): Generator.log_format,
    ("HttpRetryPolicyEvents", "member"): lambda own: own.random.choice(HTTP_RETRY_EVENTS),
    **{("AwsCloudMapInstanceAttribute", member): lambda own: own.word("!-~", own.random.randint(1, 20)) for member in ("key", "value")},
    # what a target has to listen to is up to others
    ("VirtualNodeSpec", "backendDefaults"): lambda own: {},
    ("VirtualGatewaySpec", "backendDefaults"): lambda own: {},
}


def keep_one_of(*names):
    def adjust(own, made):
        given = [name for name in names if name in made]
        for name in given[1:]:
            del made[name]
    return adjust


def keep_exactly_one_of(**members):
    def adjust(own, made):
        name = own.random.choice(list(made) or list(members))
        kept = made.get(name, members[name](own))
        made.clear()
        made[name] = kept
    return adjust


def keep_distinct(items, key):
    """Drops items whose key an earlier one has."""
    seen = set()
    for item in list(items):
        if key(item) in seen:
            items.remove(item)
        seen.add(key(item))


def adjust_route(own, made):
    if not any(name.endswith("Route") for name in made):
        made["tcpRoute"] = {"action": {"weightedTargets": [{"virtualNode": own.name("virtualNode"), "weight": 1}]}}
    keep_one_of(*own.random.sample(["tcpRoute", "httpRoute", "http2Route", "grpcRoute"], 4))(own, made)


def adjust_gateway_route(own, made):
    if not any(name.endswith("Route") for name in made):
        target = {"virtualService": {"virtualServiceName": own.name("virtualService")}}
        made["httpRoute"] = {"match": {"prefix": "/"}, "action": {"target": target}}
    keep_one_of(*own.random.sample(["httpRoute", "http2Route", "grpcRoute"], 3))(own, made)


def adjust_targets(own, made):
    keep_distinct(made["weightedTargets"], lambda target: (target["virtualNode"], target.get("port")))


def adjust_conditions(own, made):
    for name in ("headers", "metadata"):
        for header in made.get(name, []):
            header["name"] = "".join(own.random.choices(string.ascii_lowercase, k=8))
    for index, parameter in enumerate(made.get("queryParameters", [])):
        parameter["name"] = f"{index}{parameter['name'][:10]}"


def adjust_http_match(own, made):
    keep_one_of(*own.random.sample(["prefix", "path"], 2))(own, made)
    if "path" not in made:
        made.setdefault("prefix", own.path())
    adjust_conditions(own, made)


def adjust_gateway_http_match(own, made):
    keep_one_of(*own.random.sample(["prefix", "path"], 2))(own, made)
    adjust_conditions(own, made)


def adjust_grpc_match(own, made):
    if "methodName" in made:
        made.setdefault("serviceName", "shop.Books")
    adjust_conditions(own, made)


def adjust_gateway_http_route(own, made):
    for name in ("prefix", "path"):
        if name not in made["match"]:
            made["action"].get("rewrite", {}).pop(name, None)


def adjust_range(own, made):
    start, end = sorted((made["start"], made["end"]))
    made.update(start=start, end=end if end > start else start + 1)


def adjust_retry_policy(own, made):
    if not any(name.endswith("Events") for name in made):
        made["tcpRetryEvents"] = ["connection-error"]


def adjust_health_check(own, made):
    if made["protocol"].startswith("http"):
        made.setdefault("path", "/")
    made.pop("port", None)


def adjust_listener(own, made):
    protocol = made["portMapping"]["protocol"]
    for name in ("connectionPool", "timeout"):
        if protocol not in made.get(name, {protocol: None}):
            del made[name]
    check = made.get("healthCheck")
    if check and check["protocol"] == "grpc" and protocol not in ("grpc", "http2"):
        del made["healthCheck"]


def adjust_listeners(own, made):
    if "listeners" in made:
        made["listeners"] = made["listeners"] or [{"portMapping": {"port": 80, "protocol": "http"}}]
        keep_distinct(made["listeners"], lambda listener: listener["portMapping"]["port"])
    keep_distinct(made.get("backends", []), lambda backend: backend["virtualService"]["virtualServiceName"])


def adjust_outlier_detection(own, made):
    made["interval"] = {"unit": "s", "value": 10}
    made["baseEjectionDuration"] = {"unit": "ms", "value": 5}


def adjust_log_format(own, made):
    if "json" in made:
        made["json"] = made["json"] or [{"key": "protocol", "value": "%PROTOCOL%"}]
        keep_distinct(made["json"], lambda entry: entry["key"])


def adjust_tags(own, made):
    keep_distinct(made, lambda tag: tag["key"])


ADJUST = {
    "RouteSpec": adjust_route,
    "GatewayRouteSpec": adjust_gateway_route,
    "HttpRouteAction": adjust_targets,
    "GrpcRouteAction": adjust_targets,
    "TcpRouteAction": adjust_targets,
    "HttpRouteMatch": adjust_http_match,
    "HttpGatewayRouteMatch": adjust_gateway_http_match,
    "GrpcRouteMatch": adjust_grpc_match,
    "GrpcGatewayRouteMatch": adjust_conditions,
    "HttpGatewayRoute": adjust_gateway_http_route,
    "HttpPathMatch": keep_exactly_one_of(exact=Generator.path, regex=Generator.regex),
    "GatewayRouteHostnameMatch": keep_exactly_one_of(exact=Generator.host, suffix=Generator.host),
    "HttpGatewayRoutePrefixRewrite": keep_exactly_one_of(value=lambda own: "/", defaultPrefix=lambda own: "ENABLED"),
    "HttpGatewayRoutePathRewrite": lambda own, made: made.setdefault("exact", own.path()),
    "MatchRange": adjust_range,
    "HttpRetryPolicy": adjust_retry_policy,
    "GrpcRetryPolicy": adjust_retry_policy,
    "HealthCheckPolicy": adjust_health_check,
    "VirtualGatewayHealthCheckPolicy": adjust_health_check,
    "Listener": adjust_listener,
    "VirtualGatewayListener": adjust_listener,
    "VirtualNodeSpec": adjust_listeners,
    "VirtualRouterSpec": adjust_listeners,
    "VirtualGatewaySpec": adjust_listeners,
    "OutlierDetection": adjust_outlier_detection,
    "LoggingFormat": adjust_log_format,
    "TagList": adjust_tags,
}

# values of every type of JSON, of which at least all but one are of the wrong type
OF_ANY_TYPE = ["text", "", "80", 80, 0, -1, 80.5, True, False, None, [], [[]], [None], {}, {"a": 1}]


def spoiled(generator, value, shape):
    """(what is wrong, the value with that one thing wrong). The value is one of `shape`, and is not touched."""
    random = generator.random
    while True:
        place, shape_there = random.choice(list(_places(value, shape)))
        there = _at(value, place)
        what, wrong = random.choice(list(_ways_to_be_wrong(generator, there, shape_there)))
        made = _replaced(value, place, wrong)
        found = violations(made, shape, "body")
        if found:
            return f"{what}: {found[0][:200]}", made


def _places(value, shape, place=()):
    yield place, shape
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from _places(member, shape.members[name], (*place, name))
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield from _places(item, shape.member, (*place, index))


def _at(value, place):
    for step in place:
        value = value[step]
    return value


def _replaced(value, place, wrong):
    if not place:
        return wrong
    made = copy.deepcopy(value)
    _at(made, place[:-1])[place[-1]] = wrong
    return made


def _ways_to_be_wrong(generator, value, shape):
    random, limits = generator.random, shape.metadata
    yield "a value of another type", random.choice(OF_ANY_TYPE)
    yield "lists in lists", _nested(random.choice([2, 50, 100, 200]), lambda inner: [inner])
    yield "objects in objects", _nested(random.choice([2, 50, 100, 200]), lambda inner: {"spec": inner})
    if shape.type_name == "structure":
        yield "a member too many", {**value, random.choice(["colour", "", "Spec", "spec ", "\0", "__proto__", "é" * 300]): 1}
        for name in value:
            yield "a member that is not there", {kept: value[kept] for kept in value if kept != name}
            yield "a member that is null", {**value, name: None}
            yield "a member in another case", {
                (kept.upper() if kept == name else kept): member for kept, member in value.items()}
        if is_union(shape):
            others = [name for name in shape.members if name not in value]
            if others:
                name = random.choice(others)
                yield "two members of a union", {**value, name: generator.value(shape.members[name], shape.name, name)}
    elif shape.type_name == "list":
        yield "an item that is null", [*value, None]
        if "max" in limits and value:
            yield "too many items", (value * (limits["max"] + 1))[:limits["max"] + random.choice([1, 1, 100])]
        if limits.get("min"):
            yield "too few items", value[:limits["min"] - 1]
    elif shape.type_name == "string":
        if "max" in limits:
            yield "too long a text", random.choice("aä🦀") * (limits["max"] + random.choice([1, 1, 5000]))
        if limits.get("min"):
            yield "too short a text", ""
        if shape.enum:
            yield "no such value", random.choice([value.swapcase(), value + " ", value + "\0", "", "NONE", value[:-1]])
    elif shape.type_name in ("integer", "long"):
        yield "a number with a fraction", random.choice([value + 0.5, float(value), 1e300, -0.0])
        yield "a number in a text", str(value)
        yield "a number of many digits", random.choice([1, -1]) * 10 ** random.choice([10, 19, 20, 100, 1000])
        yield "a number at an edge", random.choice([1, -1]) * 2 ** random.choice([31, 32, 53, 63, 64])
        if "min" in limits:
            yield "too small a number", limits["min"] - random.choice([1, 1, 1000])
        if "max" in limits:
            yield "too large a number", limits["max"] + random.choice([1, 1, 1000])


def _nested(depth, around):
    nested = []
    for _ in range(depth):
        nested = around(nested)
    return nested
