"""A CLI session: commands typed as text, state out of a recorded file, output as lines."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import re
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from schema_tree import Node, load
from srlinux.mgmt.cli import CommandNode, CommandNodeWithArguments
from srlinux.mgmt.server.server_error import ServerError
from srlinux.syntax import REQUIRED, Syntax

HERE = Path(__file__).resolve().parent
PLUGIN = HERE.parent.parent / "packaging" / "cli" / "k8s_services.py"


class ParsingError(Exception):
    """What the CLI says of a line it does not understand."""


class Entry:
    """A node of the state store: attributes are leaves (None if absent), lists and containers."""

    def __init__(self, node: Node, value: dict[str, Any]) -> None:
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

    def __init__(self, node: Node, value: Any) -> None:
        self._entries = [] if value is None else value if isinstance(value, list) else [value]
        self._node = node

    def items(self) -> list[Entry]:
        """Every entry."""
        return [Entry(self._node, entry) for entry in self._entries]


class StateStore:
    """What `state.server_data_store` is; counts what it hands out, and can be away."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.schema = load()
        self.content = content
        self.away = False
        self.fetched: list[str] = []
        self.entries = 0

    def get_data(self, path: Any, recursive: bool = False) -> Entry:
        """What stands at a path, in the containers and list entries it stands in."""
        if self.away:
            raise ServerError("Connection to the management server is closed")
        self.fetched.append("/".join(name for name, _ in path))
        return Entry(self.schema, self._pick(self.schema, self.content, path, recursive))

    def _pick(self, node: Node, value: dict[str, Any], path: Any, recursive: bool) -> dict[str, Any]:
        (name, keys), rest = path[0], path[1:]
        child = node.children.get(name)
        if child is None:
            raise LookupError(f"Path not valid - unknown element '{name}'")
        if unknown := set(keys) - set(child.keys):
            raise LookupError(f"'{name}' has no key {sorted(unknown)}")
        found = value.get(name)
        if found is None:
            return {}
        entries = [
            self._take(child, entry, rest, recursive)
            for entry in (found if isinstance(found, list) else [found])
            if all(fnmatch.fnmatchcase(str(entry.get(key)), wanted.replace("[", "[[]")) for key, wanted in keys.items())
        ]
        kept = [entry for entry in entries if entry is not None]
        return {name: kept if isinstance(found, list) else kept[0]} if kept else {}

    def _take(self, node: Node, entry: dict[str, Any], rest: Any, recursive: bool) -> dict[str, Any] | None:
        keys = {key: entry[key] for key in node.keys}
        if rest:
            below = self._pick(node, entry, rest, recursive)
            return {**keys, **below} if below else None
        self.entries += 1
        if recursive:
            return entry
        return {name: value for name, value in entry.items() if not node.children[name].children}


class Output:
    """What `output` is."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.data: Any = None

    def print_data(self, data: Any) -> None:
        """Takes a report; drawn when the session knows in which format."""
        self.data = data
        self.lines += data.formatted(self.width)

    def print_error_line(self, line: str) -> None:
        """Says what went wrong."""
        self.errors.append(line)


class Session:
    """A login: the plugin is loaded, lines can be typed."""

    def __init__(self, plugin: Any, content: dict[str, Any], width: int = 100) -> None:
        self.store = StateStore(content)
        self.width = width
        self.show = CommandNode(Syntax("show"), None, None)
        plugin.Plugin().load(cli=SimpleNamespace(show_mode=self.show), arguments=SimpleNamespace())

    def type(self, line: str) -> Output:
        """Runs `show ...`, calling every command on the way as the CLI does."""
        words = line.split()
        if words.pop(0) != "show":
            raise ParsingError("only show is known here")
        node, output = self.show, Output(self.width)
        while words:
            if words[0] not in node.commands:
                raise ParsingError(f"Unknown token '{words[0]}'. Options are {sorted(node.commands)}")
            node = node.commands[words.pop(0)]
            arguments = CommandNodeWithArguments(node, take_arguments(node, words))
            last = not words
            state = SimpleNamespace(server_data_store=self.store, is_intermediate_command=not last)
            if node.callback:
                node.callback(state=state, input=None, output=output, arguments=arguments)
        return output

    def text(self, line: str) -> str:
        """What a person sees."""
        output = self.type(line)
        return "\n".join(output.lines + output.errors)

    def json(self, line: str) -> Any:
        """What `| as json` gives."""
        return json.loads(json.dumps(self.type(line).data.plain()))


def take_arguments(node: CommandNode, words: list[str]) -> dict[str, Any]:
    """Takes a command's arguments off `words`."""
    syntax = node.syntax
    values = {name: default for name, default in syntax.named.items() if default is not REQUIRED}
    values |= {name: False for name in syntax.booleans}
    places = list(syntax.unnamed)
    while words and words[0] not in node.commands:
        word = words.pop(0)
        if word in syntax.named and words:
            values[word] = words.pop(0)
        elif word in syntax.booleans:
            values[word] = True
        elif places:
            values[places.pop(0)[0]] = word
        else:
            raise ParsingError(f"Unknown token '{word}'. Options are {sorted((*syntax.named, *syntax.booleans))}")
    if missing := [name for name, default in places if default is REQUIRED]:
        raise ParsingError(f"Missing value for {missing}")
    return values


def recorded(name: str) -> dict[str, Any]:
    """A state that was recorded on the emulated leaf."""
    return json.loads((HERE / "states" / f"{name}.json").read_text())


def recorded_at(content: dict[str, Any]) -> datetime:
    """When a state was recorded: the last time it names."""
    times = re.findall(r"20\d\d-\d\d-\d\dT[\d:.]+Z", json.dumps(content))
    return datetime.fromisoformat(max(times).replace("Z", "+00:00"))


def load_plugin() -> Any:
    """Loads the file by its path, as a CLI does that scans a folder: the module is not known by a name."""
    spec = importlib.util.spec_from_file_location("k8s_services", PLUGIN)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
