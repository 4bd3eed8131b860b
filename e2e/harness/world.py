"""What a control plane has to have stored: everything that it accepted."""

import re
from dataclasses import dataclass

from harness.service_model import MODEL, OPERATIONS

ARNS = "arn:aws:appmesh:us-east-1:000000000000:"


@dataclass(frozen=True)
class Kind:
    """A kind of resource, as the model has it. `keys` are those of the names that its path has."""

    name: str
    keys: tuple

    @property
    def title(self):
        """As it stands in names of operations and shapes."""
        return self.name[0].upper() + self.name[1:]

    def operation(self, verb):
        return MODEL.operation_model(f"{verb}{self.title}")

    @property
    def container(self):
        return next((kind for kind in KINDS.values() if kind.keys == self.keys[:-1]), None)

    def arn(self, names):
        path = f"mesh/{names[0]}"
        for key, name in zip(self.keys[1:], names[1:], strict=True):
            path += f"/{key.removesuffix('Name')}/{name}"
        return ARNS + path


def _kinds():
    for operation in OPERATIONS:
        if operation.name.startswith("Describe"):
            title = operation.name.removeprefix("Describe")
            yield Kind(title[0].lower() + title[1:], tuple(re.findall(r"{(\w+)}", operation.http["requestUri"])))


KINDS = {kind.name: kind for kind in _kinds()}


@dataclass
class Resource:
    spec: dict
    tags: dict
    version: int


class World:
    """Resources by their kind and names, and how many changes there were: each is a transaction."""

    def __init__(self):
        self.resources = {}
        self.transaction = 0

    def names(self, kind, container=()):
        """The names of what there is of a kind."""
        return [names for of_kind, names in self.resources if of_kind == kind.name and names[:len(container)] == container]

    def put(self, kind, names, spec, tags):
        """Whether this changed anything. Without `tags` a resource keeps those that it has."""
        spec, before = without_nulls(spec), self.resources.get((kind.name, names))
        if before is None:
            container = kind.container
            assert container is None or (container.name, names[:-1]) in self.resources, "it is in what does not exist"
            self.resources[kind.name, names] = Resource(spec, tags or {}, 1)
            return True
        has_other_tags, has_other_spec = tags is not None and before.tags != tags, before.spec != spec
        if has_other_tags:
            before.tags = tags
        if has_other_spec:
            before.spec = spec
            before.version += 1
        return has_other_tags or has_other_spec

    def delete(self, kind, names):
        inside = [other for child in KINDS.values() if child.container == kind for other in self.names(child, names)]
        assert not inside, f"it was deleted, and {inside} are in it"
        return self.resources.pop((kind.name, names))


def without_nulls(value):
    """A value without members that are null, which are the same as absent."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def tags_of(body):
    return {tag["key"]: tag["value"] for tag in body.get("tags") or []}
