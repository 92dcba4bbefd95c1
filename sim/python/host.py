"""Runs CLI plugins for an emulated switch, which starts this program once per request.

Each line is a JSON text. The first line of input is the request. An output line with the member `ask` is a question
about schema or state, and the next line of input is its answer. The last line of output is the result.
"""

from __future__ import annotations

import json
import sys
from functools import cached_property
from types import ModuleType
from typing import Any

from engine import Engine, Entry, ParsingError
from srlinux.mgmt.server.server_error import ServerError


def ask(**question: Any) -> Any:
    """Asks the switch a question and returns its answer."""
    print(json.dumps({"ask": question}), flush=True)
    answer = json.loads(sys.stdin.readline())
    if "error" in answer:
        raise ServerError(answer["error"])
    return answer["found"]


class Node:
    """A node of the switch's schema. Its children are requested when they are needed."""

    def __init__(self, path: tuple[str, ...] = (), keys: tuple[str, ...] = (), is_leaf: bool = False) -> None:
        self.path = path
        self.name = path[-1] if path else ""
        self.keys = list(keys)
        self._is_leaf = is_leaf

    @cached_property
    def children(self) -> dict[str, "Node"]:
        """Returns the children by name; a leaf has none."""
        if self._is_leaf:
            return {}
        below = ask(schema=self.path)
        return {it["name"]: Node((*self.path, it["name"]), it["keys"], it["leaf"]) for it in below}


class Store:
    """The state of the switch."""

    def __init__(self) -> None:
        self.root = Node()

    def get_data(self, path: Any, recursive: bool = False) -> Entry:
        """Returns the root, with the content of a path in the containers and list entries that lead there."""
        steps = [{"name": name, "keys": keys} for name, keys in path]
        return Entry(self.root, ask(state=steps, recursive=recursive))


def load(name: str, source: str) -> ModuleType:
    """Loads a plugin from its source. As on the switch, its module cannot be imported by name."""
    module = ModuleType(name)
    module.__file__ = name
    exec(compile(source, name, "exec", dont_inherit=True), module.__dict__)
    return module


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Returns the answer to a request: the tree of commands, or what a line prints."""
    plugins = [load(it["name"], it["source"]) for it in request["plugins"]]
    engine = Engine(plugins, Store(), request["width"])
    if request["words"] is None:
        return {"commands": engine.commands()}
    try:
        output = engine.run(request["words"])
    except ParsingError as error:
        return {"refused": str(error)}
    data = None if output.data is None else output.data.plain()
    return {"lines": output.lines, "errors": output.errors, "data": data}


def main() -> None:
    """Answers one request."""
    print(json.dumps(run(json.loads(sys.stdin.readline()))), flush=True)
