"""Stand-in for SR Linux's SNMP framework: finds triggers in changed state, runs the script and checks its answers.

It behaves as the framework's documentation describes. A changed leaf makes one request, with every trap that it
triggers and with its entry as context. Names have no module prefixes. Answers must comply with the trap definitions.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRIPT = ROOT / "packaging" / "snmp" / "k8s_services_traps.py"
WASM = ROOT / "target/micropython/node_modules/@micropython/micropython-webassembly-pyscript/micropython.mjs"
INFO = {
    "boottime": "2026-11-21T10:00:00Z",
    "datetime": "2026-11-21T13:15:00Z",
    "debug": False,
    "is-cold-boot": False,
    "network-instance": "mgmt",
    "platform-type": "7220 IXR-D2L",
    "script": "k8s_services_traps.yaml",
    "sysobjectid": "1.3.6.1.4.1.6527.1.20.26",
    "sysuptime": 1170000,
}


def definitions() -> dict[str, Any]:
    """Returns the trap definitions, which the driver of these tests converts from YAML to JSON."""
    return json.loads(os.environ["K8S_SERVICES_TRAPS"])


def interpreter(name: str) -> list[str]:
    """Returns the command that runs main.py in the current folder."""
    if name == "python3":
        return [sys.executable, "-B", "main.py"]
    if native := shutil.which("micropython"):
        return [native, "main.py"]
    if WASM.exists():
        return ["node", str(HERE / "micropython.mjs"), str(WASM), "."]
    raise FileNotFoundError("no MicroPython: run packaging/need-micropython target/micropython")


class Framework:
    """Runs the script under one interpreter."""

    def __init__(self, name: str) -> None:
        self.command = interpreter(name)
        self.traps = {trap["name"]: trap for trap in definitions()["traps"]}
        self.console = ""

    def run(self, text: str) -> list[dict[str, Any]]:
        """Returns the traps for one request, checked."""
        return self.run_all([text])[0]

    def run_all(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        """Returns the traps for each of several requests, checked."""
        with tempfile.TemporaryDirectory() as folder:
            for file in (SCRIPT, HERE / "utilities.py", HERE / "main.py"):
                shutil.copy(file, folder)
            (Path(folder) / "inputs.json").write_text(json.dumps(texts))
            done = subprocess.run(self.command, cwd=folder, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"the script threw: {done.stderr}{done.stdout}")
        lines = done.stdout.splitlines()
        self.console = "\n".join(line for line in lines if not line.startswith(":"))
        answers = [json.loads(line[1:])["traps"] for line in lines if line.startswith(":")]
        if len(answers) != len(texts):
            raise AssertionError(f"{len(answers)} answers to {len(texts)} requests")
        for trap in (trap for traps in answers for trap in traps):
            self._check(trap)
        return answers

    def change(self, before: dict[str, Any], after: dict[str, Any], startup: bool = False) -> list[dict[str, Any]]:
        """Returns the traps that are sent if state changes from `before`, which is empty at the start, to `after`."""
        texts = [json.dumps(request) for request in self.requests(before, after, startup)]
        return [trap for traps in (self.run_all(texts) if texts else []) for trap in traps]

    def requests(self, before: dict[str, Any], after: dict[str, Any], startup: bool) -> Iterator[dict[str, Any]]:
        """Yields the requests to the script, one for each changed leaf that is a trigger."""
        for name, key in (("alarm", "id"), ("alarm-history", "sequence")):
            old, new = ({entry[key]: entry for entry in state.get(name, [])} for state in (before, after))
            for value in sorted(old.keys() | new.keys()):
                yield from self._entry(name, key, value, old.get(value, {}), new.get(value, {}), startup)

    def _entry(
        self, name: str, key: str, value: str, old: dict[str, Any], new: dict[str, Any], startup: bool
    ) -> Iterator[dict[str, Any]]:
        escaped = value.replace("\\", "\\\\").replace("]", "\\]")
        entry = f"/k8s-services/{name}[{key}={escaped}]"
        triggers = sorted({trigger for trap in self.traps.values() for trigger in trap["triggers"]})
        for trigger in triggers:
            leaf = trigger.rsplit("/", 1)[1]
            if trigger != f"/k8s-services/{name}/{leaf}" or old.get(leaf) == new.get(leaf):
                continue
            events = [
                {"name": trap["name"], "trigger": trigger, "xpath": f"{entry}/{leaf}", "startup": startup}
                | ({"old-value": old[leaf]} if leaf in old else {})
                | ({"new-value": new[leaf]} if leaf in new else {})
                for trap in self.traps.values()
                if trigger in trap["triggers"] and (not startup or trap.get("startup"))
            ]
            if events:
                info = {**INFO, "trigger": entry, "paths": [entry]}
                yield {"_snmp_info_": info, "_trap_info_": events, "k8s-services": {name: [new] if new else []}}

    def _check(self, trap: dict[str, Any]) -> None:
        definition = self.traps[trap["trap"]]
        declared = {entry["name"]: entry for part in definition["data"] for entry in part["objects"]}
        if list(trap["objects"]) != list(declared) or trap["indexes"] != {}:
            raise AssertionError(f"{trap} is not as declared: {sorted(declared)}")
        for name, value in trap["objects"].items():
            text = declared[name]["syntax"] == "octet string"
            if type(value) is not (str if text else int):
                raise AssertionError(f"{name} is {value!r}, not {declared[name]['syntax']}")
            if text and len(value.encode()) > 512:
                raise AssertionError(f"{name} is longer than the MIB allows")
