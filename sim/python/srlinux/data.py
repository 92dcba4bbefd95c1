"""Stand-in for srlinux.data: entries according to a schema, formatters, and output formats of the CLI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .schema import FixedSchemaNode, attribute


class Formatter:
    """Formats an entry as lines."""

    def iter_format(self, entry: "Data", max_width: int) -> Iterator[str]:
        """Yields the lines of one entry for a terminal of `max_width` columns."""
        raise NotImplementedError


class DataChildrenOfType:
    """The entries of one list, or the one entry of a container."""

    def __init__(self, schema: FixedSchemaNode) -> None:
        self.schema = schema
        self.entries: dict[tuple[str, ...], Data] = {}

    def create(self, *keys: str) -> "Data":
        """Adds an entry."""
        if len(keys) != len(self.schema.keys):
            raise TypeError(f"'{self.schema.name}' has the keys {self.schema.keys}, got {keys}")
        if keys in self.entries:
            raise ValueError(f"'{self.schema.name}' has an entry {keys} already")
        return self.entries.setdefault(keys, Data(self.schema, keys))

    def exists(self, *keys: str) -> bool:
        """Returns whether the entry with these keys exists."""
        return keys in self.entries

    def get(self, *keys: str) -> "Data":
        """Returns the entry with these keys."""
        return self.entries[keys]

    def items(self) -> Iterator["Data"]:
        """Yields all entries, in the order of their keys."""
        return iter([self.entries[keys] for keys in sorted(self.entries)])


class Data:
    """An entry: fields, which are None until they are set, and children. The root has no fields."""

    def __init__(self, schema: FixedSchemaNode, keys: tuple[str, ...] = ()) -> None:
        self.__dict__["schema"] = schema
        self.__dict__["formatters"] = {}
        self.__dict__["children"] = {
            attribute(child.name): DataChildrenOfType(child) for child in schema.children
        }
        names = [*schema.keys, *schema.fields]
        self.__dict__["fields"] = dict.fromkeys(map(attribute, names)) | dict(zip(map(attribute, schema.keys), keys))

    def __getattr__(self, name: str) -> Any:
        for members in (self.__dict__["children"], self.__dict__["fields"]):
            if name in members:
                return members[name]
        raise AttributeError(f"'{self.schema.name}' has no field or child '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.fields or name in map(attribute, self.schema.keys):
            raise AttributeError(f"'{self.schema.name}' has no field '{name}' that can be set")
        self.fields[name] = value

    def set_formatter(self, schema: str, formatter: Formatter) -> None:
        """Sets the formatter of the entries at a path."""
        node = self.schema
        for name in schema.strip("/").split("/"):
            node = next((child for child in node.children if child.name == name), None)
            if node is None:
                raise ValueError(f"no '{name}' in the schema for the formatter of '{schema}'")
        self.formatters[schema] = formatter

    def plain(self) -> dict[str, Any]:
        """Returns what `| as json` shows: names as declared, fields that are set, lists that have entries."""
        names = [*self.schema.keys, *self.schema.fields]
        members = {name: self.fields[attribute(name)] for name in names if self.fields[attribute(name)] is not None}
        for child in self.schema.children:
            entries = [entry.plain() for entry in self.children[attribute(child.name)].items()]
            if entries:
                members[child.name] = entries if child.keys else entries[0]
        return members

    def formatted(self, max_width: int) -> Iterator[str]:
        """Yields the lines that are shown without `| as ...`."""
        for child in self.schema.children:
            for entry in self.children[attribute(child.name)].items():
                yield from self.formatters[f"/{child.name}"].iter_format(entry, max_width)
