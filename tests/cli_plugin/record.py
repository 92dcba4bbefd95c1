#!/usr/bin/env python3
"""Records states for these tests. Start a lab with `make lab`, then run tests/cli_plugin/record.py target/lab/<lab>.

A state is the output of `info from state ... | as json` on a leaf, for the two trees that the plugin reads.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SIM = HERE.parent.parent / "target" / "debug" / "srl-sim"


def sim(run: Path, *words: str) -> str:
    """Runs `srl-sim` on the lab."""
    command = [str(SIM), words[0], "--run", str(run), *words[1:]]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def state(run: Path, leaf: str) -> dict[str, Any]:
    """Returns the two trees as the state store has them. The folder of the lab is replaced."""

    def info(path: str) -> Any:
        text = sim(run, "cli", leaf, f"info from state {path} | as json") or "{}"
        return json.loads(text.replace(str(run), "/etc/opt/srlinux/k8s-services"))

    agent = info("k8s-services")
    application = info("system app-management application k8s-services")
    leaves = ("pid", "state", "last-change")
    entry = {"name": "k8s-services"} | {name: application[name] for name in leaves if name in application}
    content: dict[str, Any] = {"system": {"app-management": {"application": [entry]}}}
    return {"k8s-services": agent, **content} if agent else content


def settle() -> None:
    """Waits until alarms, which the lab holds for a second, and freshness, which is written every ten, are in state."""
    time.sleep(12)


def record(run: Path) -> None:
    """Breaks the lab step by step and writes the states of its leaves."""
    sim(run, "lever", "release-all")
    settle()
    save("healthy", state(run, "leaf1"))
    sim(run, "act", "apply", "cluster=c1", f"file={HERE / 'more-services.yaml'}")
    sim(run, "lever", "pull", "session-down", "leaf=leaf1", "node=cluster1")
    sim(run, "lever", "pull", "fib-failed", "leaf=leaf1", "prefix=1.1.1.102/32")
    settle()
    save("broken", state(run, "leaf1"))
    save("remote", state(run, "leaf4"))
    sim(run, "act", "api-server", "cluster=c1", "to=stop")
    settle()
    save("stale", state(run, "leaf1"))
    sim(run, "act", "api-server", "cluster=c1", "to=start")
    sim(run, "lever", "release-all")
    settle()
    save("healed", state(run, "leaf1"))
    sim(run, "act", "app", "leaf=leaf2", "app=k8s-services", "operation=stop")
    settle()
    save("stopped", state(run, "leaf2"))
    sim(run, "act", "app", "leaf=leaf2", "app=k8s-services", "operation=start")


def save(name: str, content: dict[str, Any]) -> None:
    """Writes a state to its file."""
    (HERE / "states" / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def main(arguments: Sequence[str]) -> int:
    """Records from the lab whose folder is the argument."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    record(Path(arguments[0]).resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
