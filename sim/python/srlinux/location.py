"""Stand-in for srlinux.location: paths."""

from __future__ import annotations

import re

STEP = re.compile(r"/([a-z0-9-]+)((?:\[[a-z0-9-]+=(?:\\.|[^\]])*\])*)")
KEY = re.compile(r"\[([a-z0-9-]+)=((?:\\.|[^\]])*)\]")

Path = list[tuple[str, dict[str, str]]]


def build_path(template: str, **values: str) -> Path:
    """Returns the steps of a path with their keys. A key's value `{name}` stands for the argument of that name."""
    path: Path = []
    at = 0
    for step in STEP.finditer(template):
        if step.start() != at:
            break
        at = step.end()
        keys = {name: key_value(text, values) for name, text in KEY.findall(step[2])}
        path.append((step[1], keys))
    if at != len(template) or not path:
        raise ValueError(f"'{template}' is no path from '{template[at:]}' on")
    return path


def key_value(text: str, values: dict[str, str]) -> str:
    """Returns the value of the text between `=` and `]`."""
    if text.startswith("{") and text.endswith("}"):
        return values[text[1:-1]]
    return re.sub(r"\\(.)", r"\1", text).strip('"')
