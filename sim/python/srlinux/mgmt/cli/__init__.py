"""Stand-in for srlinux.mgmt.cli: what a plugin is, and where it puts its commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from srlinux.location import build_path
from srlinux.schema import FixedSchemaNode
from srlinux.syntax import Syntax


class CliPlugin:
    """What the CLI loads from a file: its class `Plugin`."""


class KeyCompleter:
    """Completes an argument with keys from state."""

    def __init__(self, path: Any) -> None:
        self.path = build_path(path) if isinstance(path, str) else path


class CommandNode:
    """A command, and those below it."""

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
        """Adds a command below this one."""
        if syntax.name in self.commands:
            raise ValueError(f"'{syntax.name}' is there already")
        self.commands[syntax.name] = CommandNode(syntax, schema, callback)
        return self.commands[syntax.name]


class CommandNodeWithArguments:
    """A command as it was typed."""

    def __init__(self, node: CommandNode, values: dict[str, Any]) -> None:
        self.node = node
        self.schema = node.schema
        self._values = values

    def get(self, name: str) -> Any:
        """The value of a declared argument: as given, or its default."""
        return self._values[name]

    def get_or(self, name: str, default: Any) -> Any:
        """The same, `default` where it has none."""
        if name not in self.node.syntax.suggestions:
            raise KeyError(name)
        return self._values.get(name, default)
