"""Stand-in for srlinux.mgmt.cli: the base class of plugins, and the tree of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from srlinux.location import build_path
from srlinux.schema import FixedSchemaNode
from srlinux.syntax import Syntax


class CliPlugin:
    """Base class of the class `Plugin`, which the CLI loads from a plugin's file."""


class KeyCompleter:
    """Completes an argument with the keys at a path in state."""

    def __init__(self, path: Any) -> None:
        self.path = build_path(path) if isinstance(path, str) else path


class CommandNode:
    """A command, with the commands below it."""

    def __init__(self, syntax: Syntax, schema: FixedSchemaNode | None, callback: Callable[..., None] | None) -> None:
        self.syntax = syntax
        self.name = syntax.name
        self.schema = schema
        self.callback = callback
        self.commands: dict[str, CommandNode] = {}

    def add_command(
        self,
        syntax: Syntax,
        update_location: bool = True,
        schema: FixedSchemaNode | None = None,
        callback: Callable[..., None] | None = None,
    ) -> "CommandNode":
        """Adds a command below this one and returns it."""
        if syntax.name in self.commands:
            raise ValueError(f"'{syntax.name}' is there already")
        self.commands[syntax.name] = CommandNode(syntax, schema, callback)
        return self.commands[syntax.name]


class CommandNodeWithArguments:
    """A command with the arguments of a line."""

    def __init__(self, node: CommandNode, values: dict[str, Any]) -> None:
        self.node = node
        self.schema = node.schema
        self._values = values

    def get(self, name: str) -> Any:
        """Returns the value of a declared argument, or its default."""
        return self._values[name]

    def get_or(self, name: str, default: Any) -> Any:
        """Returns the value of a declared argument, or `default` if it has none."""
        if name not in self.node.syntax.suggestions:
            raise KeyError(name)
        return self._values.get(name, default)
