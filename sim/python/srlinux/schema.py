"""Stand-in for srlinux.schema: the schema that a report declares for its data."""

from __future__ import annotations

from collections.abc import Sequence


class FixedSchemaNode:
    """A container, or a list if it has keys."""

    def __init__(self, name: str, keys: Sequence[str] = (), fields: Sequence[str] = ()) -> None:
        self.name = name
        self.keys = list(keys)
        self.fields = list(fields)
        self.children: list[FixedSchemaNode] = []

    def add_child(
        self, name: str, key: str | None = None, keys: Sequence[str] = (), fields: Sequence[str] = ()
    ) -> "FixedSchemaNode":
        """Declares a child and returns it."""
        child = FixedSchemaNode(name, [key] if key else keys, fields)
        taken = [attribute(other) for node in (self,) for other in (*node.keys, *node.fields)]
        taken += [attribute(other.name) for other in self.children]
        if attribute(name) in taken:
            raise ValueError(f"'{name}' is declared twice in '{self.name}'")
        if len(set(map(attribute, (*child.keys, *child.fields)))) != len(child.keys) + len(child.fields):
            raise ValueError(f"'{name}' has two fields of one name")
        self.children.append(child)
        return child

    def child(self, name: str) -> "FixedSchemaNode | None":
        """Returns the child whose Python name is `name`."""
        return next((child for child in self.children if attribute(child.name) == name), None)


class FixedSchemaRoot(FixedSchemaNode):
    """The root of a report's schema."""

    def __init__(self) -> None:
        super().__init__("")


def attribute(name: str) -> str:
    """Returns the Python name of a field or child: last_booted for `Last Booted`."""
    return name.replace(" ", "_").replace("-", "_").lower()
