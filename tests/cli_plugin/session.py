"""Provides CLI sessions on recorded states."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "sim" / "python"))

from engine import Engine, Entry, Output, ParsingError  # noqa: E402
from schema_tree import Node, load  # noqa: E402
from srlinux.mgmt.server.server_error import ServerError  # noqa: E402

PLUGIN = HERE.parent.parent / "packaging" / "cli" / "k8s_services.py"


class StateStore:
    """Stands in for `state.server_data_store`. It counts what it returns, and can be made unreachable."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.schema = load()
        self.content = content
        self.away = False
        self.fetched: list[str] = []
        self.entries = 0

    def get_data(self, path: Any, recursive: bool = False) -> Entry:
        """Returns the root, with the content of a path in the containers and list entries that lead there."""
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


class Session:
    """A CLI session in which the plugin is loaded."""

    def __init__(self, plugin: Any, content: dict[str, Any], width: int = 100) -> None:
        self.store = StateStore(content)
        self.engine = Engine([plugin], self.store, width)

    def type(self, line: str) -> Output:
        """Runs a `show` command."""
        words = line.split()
        if words.pop(0) != "show":
            raise ParsingError("only show is known here")
        return self.engine.run(words)

    def text(self, line: str) -> str:
        """Returns the text that a command prints."""
        output = self.type(line)
        return "\n".join(output.lines + output.errors)

    def json(self, line: str) -> Any:
        """Returns what a command prints with `| as json`."""
        return json.loads(json.dumps(self.type(line).data.plain()))


def recorded(name: str) -> dict[str, Any]:
    """Returns a state that was recorded on an emulated leaf."""
    return json.loads((HERE / "states" / f"{name}.json").read_text())


def recorded_at(content: dict[str, Any]) -> datetime:
    """Returns when a state was recorded, which is the latest time in it."""
    times = re.findall(r"20\d\d-\d\d-\d\dT[\d:.]+Z", json.dumps(content))
    return datetime.fromisoformat(max(times).replace("Z", "+00:00"))


def load_plugin() -> Any:
    """Loads the plugin by its path. As on the switch, whose CLI scans a folder, it cannot be imported by name."""
    spec = importlib.util.spec_from_file_location("k8s_services", PLUGIN)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
