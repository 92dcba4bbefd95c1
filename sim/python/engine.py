"""Provides the CLI to plugins for host.py and tests: runs command lines, and presents state as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, Protocol

from srlinux.mgmt.cli import CommandNode, CommandNodeWithArguments, KeyCompleter
from srlinux.syntax import REQUIRED, Syntax


class ParsingError(Exception):
    """Raised if the CLI does not understand a line. Its text is what the CLI prints."""


class SchemaNode(Protocol):
    """A node of the state store's schema. A leaf has no children."""

    name: str

    @property
    def keys(self) -> list[str]:
        """Returns the names of a list's keys."""

    @property
    def children(self) -> Mapping[str, "SchemaNode"]:
        """Returns the nodes of a container or list, by name."""


class StateStore(Protocol):
    """What plugins access as `state.server_data_store`."""

    def get_data(self, path: Any, recursive: bool = False) -> "Entry":
        """Returns the root, with the content of a path in the containers and list entries that lead there."""


class Entry:
    """A node of the state store. Its attributes are leaves (None if absent), lists and containers."""

    def __init__(self, node: SchemaNode, value: dict[str, Any]) -> None:
        self._node = node
        self._value = value

    def __getattr__(self, name: str) -> Any:
        child = self._node.children.get(name.replace("_", "-"))
        if child is None:
            raise AttributeError(f"'{self._node.name}' has no '{name}'")
        value = self._value.get(child.name)
        return Children(child, value) if child.children else value


class Children:
    """The entries of a list, or of a container."""

    def __init__(self, node: SchemaNode, value: Any) -> None:
        self._entries = [] if value is None else value if isinstance(value, list) else [value]
        self._node = node

    def items(self) -> list[Entry]:
        """Returns all entries."""
        return [Entry(self._node, entry) for entry in self._entries]

    def exists(self, *keys: str) -> bool:
        """Returns whether the entry with these keys exists; without keys, whether the container exists."""
        return self._find(keys) is not None

    def get(self, *keys: str) -> Entry:
        """Returns the entry with these keys; without keys, the container."""
        found = self._find(keys)
        if found is None:
            raise KeyError(keys)
        return Entry(self._node, found)

    def _find(self, keys: tuple[str, ...]) -> dict[str, Any] | None:
        names = self._node.keys
        matching = (it for it in self._entries if tuple(str(it.get(name)) for name in names) == keys)
        return next(matching, None)


class Output:
    """What plugins access as `output`."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.data: Any = None

    def print_data(self, data: Any) -> None:
        """Keeps a report, both as lines and as data."""
        self.data = data
        self.lines += data.formatted(self.width)

    def print_line(self, line: str) -> None:
        """Prints a line."""
        self.lines.append(line)

    def print_error_line(self, line: str) -> None:
        """Prints an error."""
        self.errors.append(line)


class Engine:
    """The `show` mode with the commands of plugins."""

    def __init__(self, plugins: list[ModuleType], store: StateStore, width: int = 100) -> None:
        self.store = store
        self.width = width
        self.show = CommandNode(Syntax("show"), None, None)
        for plugin in plugins:
            plugin.Plugin().load(cli=SimpleNamespace(show_mode=self.show), arguments=SimpleNamespace())

    def run(self, words: list[str]) -> Output:
        """Runs the words after `show`. As in the CLI, every command on the way is called."""
        words = list(words)
        node, output = self.show, Output(self.width)
        calls = []
        while words:
            if words[0] not in node.commands:
                raise unknown(words[0], node.commands)
            node = node.commands[words.pop(0)]
            calls.append((node, take_arguments(node, words)))
        if not calls or not node.callback:
            raise ParsingError(f"Unexpected end of the line. Options are {listed(node.commands)}")
        for command, values in calls:
            if command.callback:
                state = SimpleNamespace(server_data_store=self.store, is_intermediate_command=command is not node)
                arguments = CommandNodeWithArguments(command, values)
                command.callback(state=state, input=None, output=output, arguments=arguments)
        return output

    def commands(self) -> dict[str, Any]:
        """Returns the tree of commands, for completion and help."""
        return describe(self.show)


def take_arguments(node: CommandNode, words: list[str]) -> dict[str, Any]:
    """Removes a command's arguments from `words` and returns their values."""
    syntax = node.syntax
    values = {name: default for name, default in syntax.named.items() if default is not REQUIRED}
    values |= {name: False for name in syntax.booleans}
    places = list(syntax.unnamed)
    while words and words[0] not in node.commands:
        word = words.pop(0)
        if word in syntax.named:
            if not words:
                raise ParsingError(f"Unexpected end of the line. Options are ['<{word}>']")
            values[word] = words.pop(0)
        elif word in syntax.booleans:
            values[word] = True
        elif places:
            values[places.pop(0)[0]] = word
        else:
            raise unknown(word, (*syntax.named, *syntax.booleans, *node.commands))
    if missing := [f"<{name}>" for name, default in places if default is REQUIRED]:
        raise ParsingError(f"Unexpected end of the line. Options are {listed(missing)}")
    return values


def unknown(word: str, options: Any) -> ParsingError:
    """Returns the error for an unknown word, with the words that are possible."""
    return ParsingError(f"Unknown token '{word}'. Options are {listed(options)}")


def listed(options: Any) -> str:
    """Returns words as the CLI lists them."""
    return "[" + ", ".join(f"'{option}'" for option in sorted(options)) + "]"


def describe(node: CommandNode) -> dict[str, Any]:
    """Returns a command and the commands below it."""
    syntax = node.syntax

    def argument(name: str, kind: str) -> dict[str, Any]:
        completer = syntax.suggestions.get(name)
        path = completer.path if isinstance(completer, KeyCompleter) else None
        return {"name": name, "kind": kind, "help": syntax.helps.get(name, ""), "path": path}

    return {
        "name": syntax.name,
        "help": syntax.help,
        "arguments": [
            *(argument(name, "unnamed") for name, _ in syntax.unnamed),
            *(argument(name, "named") for name in syntax.named),
            *(argument(name, "boolean") for name in syntax.booleans),
        ],
        "commands": [describe(command) for command in node.commands.values()],
    }
