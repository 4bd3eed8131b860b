"""App Mesh's own model of its API, as botocore carries it: the operations, and what is wrong with a value."""

import re
from dataclasses import dataclass, field

from botocore.loaders import Loader
from botocore.model import ServiceModel

MODEL = ServiceModel(Loader().load_service_model("appmesh", "service-2"), "appmesh")
OPERATIONS = [MODEL.operation_model(name) for name in MODEL.operation_names]


def members(shape, location=None):
    """The members of an input that stand in its `uri` or `querystring`; those of its body if no location is given."""
    return {name: member for name, member in shape.members.items()
            if member.serialization.get("location") == location}


@dataclass
class Body:
    """The body of an operation's requests, as a shape."""

    name: str
    members: dict
    required_members: list
    type_name: str = "structure"
    metadata: dict = field(default_factory=dict)
    is_tagged_union: bool = False


def body(operation):
    """What the body of a request has to be; nothing if there is none."""
    shape = operation.input_shape
    in_body = members(shape)
    return Body(shape.name, in_body, [name for name in shape.required_members if name in in_body]) if in_body else None


def output(operation):
    """The shape of the body of an answer: of most operations the only member of the output."""
    shape = operation.output_shape
    payload = shape.serialization.get("payload")
    return shape.members[payload] if payload else shape


def is_union(shape):
    """Whether exactly one of a structure's members has to be there."""
    return bool(shape.is_tagged_union)


def violations(value, shape, at=""):
    """All that the model has against a value, given as JSON has it. Null is taken for absent in structures."""
    if shape.type_name == "structure":
        return list(_of_structure(value, shape, at))
    if shape.type_name == "list":
        if not isinstance(value, list):
            return [f"{at}: is no list"]
        of_items = [found for index, item in enumerate(value)
                    for found in violations(item, shape.member, f"{at}[{index}]")]
        return [*_of_size(len(value), shape, at), *of_items]
    if shape.type_name == "string":
        return list(_of_string(value, shape, at))
    if shape.type_name in ("integer", "long"):
        if not isinstance(value, int) or isinstance(value, bool):
            return [f"{at}: is no integer"]
        bits = {"integer": 32, "long": 64}[shape.type_name]
        if not -(1 << bits - 1) <= value < 1 << bits - 1:
            return [f"{at}: has more than {bits} bits"]
        return list(_of_size(value, shape, at))
    if shape.type_name == "boolean":
        return [] if isinstance(value, bool) else [f"{at}: is no boolean"]
    assert shape.type_name == "timestamp", shape.type_name
    return [] if isinstance(value, (int, float)) and not isinstance(value, bool) else [f"{at}: is no time"]


def _of_structure(value, shape, at):
    if not isinstance(value, dict):
        yield f"{at}: is no object"
        return
    given = {name: member for name, member in value.items() if member is not None}
    for name in given.keys() - shape.members.keys():
        yield f"{at}.{name}: is not known"
    for name in shape.required_members:
        if name not in given:
            yield f"{at}.{name}: is required"
    if is_union(shape) and len(given) != 1:
        yield f"{at}: has {len(given)} members of a union"
    for name in given.keys() & shape.members.keys():
        yield from violations(given[name], shape.members[name], f"{at}.{name}")


def _of_string(value, shape, at):
    if not isinstance(value, str):
        yield f"{at}: is no string"
        return
    yield from _of_size(len(value), shape, at)
    if shape.enum and value not in shape.enum:
        yield f"{at}: {value!r} is not one of {shape.enum}"
    pattern = shape.metadata.get("pattern")
    if pattern and not re.search(pattern, value):
        yield f"{at}: {value!r} does not match {pattern}"


def _of_size(size, shape, at):
    low, high = shape.metadata.get("min", size), shape.metadata.get("max", size)
    if not low <= size <= high:
        yield f"{at}: {size} is not in {low}..{high}"
