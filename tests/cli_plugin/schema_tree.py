"""Reads the nodes of the YANG tree from the text with which the module is compared in tests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

TREE = Path(__file__).parent.parent / "yang" / "k8s-services-tree.txt"
LINE = re.compile(r"^(?P<indent>[ |]*)\+--r[ow] (?P<rest>.*)$")


@dataclass
class Node:
    """A leaf, or a container or list with its children."""

    name: str
    keys: list[str] = field(default_factory=list)
    children: dict[str, "Node"] = field(default_factory=dict)


@cache
def load() -> Node:
    """Returns the root, with /k8s-services and the nodes of the switch that the CLI plugin reads."""
    root = Node("")
    open_nodes: list[tuple[int, Node]] = [(-1, root)]
    for line in TREE.read_text().splitlines():
        match = LINE.match(line)
        if not match:
            continue
        indent = len(match["indent"])
        while open_nodes[-1][0] >= indent:
            open_nodes.pop()
        parent = open_nodes[-1][1]
        for node in nodes(match["rest"], parent.keys):
            parent.children.setdefault(node.name, node)
            open_nodes.append((indent, node))
    application = Node("application", ["name"], {name: Node(name) for name in ("name", "pid", "state", "last-change")})
    management = Node("app-management", [], {"application": application})
    root.children["system"] = Node("system", [], {"app-management": management})
    return root


def nodes(text: str, above: list[str]) -> list[Node]:
    """Returns the nodes that a line declares. Leaves in braces belong to the list of that line."""
    if inner := re.match(r"([a-z0-9-]+)\* \[([a-z -]+)\] \{(.*)\}", text):
        keys = inner[2].split()
        return [Node(inner[1], keys, {name: Node(name) for name in (*keys, *names(inner[3]))})]
    if head := re.match(r"([a-z0-9-]+)\* \[([a-z -]+)\]", text):
        keys = head[2].split()
        return [Node(head[1], keys, {key: Node(key) for key in keys})]
    return [Node(name) for name in names(text)]


def names(text: str) -> list[str]:
    """Returns the names in a line, such as `a?  b?` or `a, b?`, up to the description."""
    found: list[str] = []
    previous = ","
    for word in text.split():
        name = re.fullmatch(r"([a-z0-9-]+)[?*]?,?", word)
        if not name or not (previous.endswith(",") or word.rstrip(",").endswith("?")):
            break
        found.append(name[1])
        previous = word
    return found
