"""Tests the gnmic processor on recorded states.

The processor is Starlark that Python can run too. The recording beside this file shows that gnmic itself runs it.
"""

from __future__ import annotations

import json
import re
import unittest
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRIPT = ROOT / "packaging/telemetry/gnmic/k8s_services.star"
KEYS = {
    "source": ["name"], "cluster": ["name"], "node": ["name"], "peer": ["address"], "vip": ["address"],
    "next-hop": ["address"], "service": ["namespace", "name"], "orphan-route": ["network-instance", "prefix"],
    "alarm": ["id"], "alarm-history": ["sequence"], "application": ["name"],
}  # fmt: skip

Metrics = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Event(SimpleNamespace):
    """An event, which gnmic passes to the processor and gets back from it."""

    def __init__(self, name: str, tags: dict[str, str] | None = None, values: dict[str, Any] | None = None) -> None:
        super().__init__(name=name, timestamp=0, tags=tags or {}, values=values or {}, deletes=[])


def parse_time(text: str) -> Any:
    """Stands in for gnmic's time.parse_time."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    past = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return SimpleNamespace(unix_nano=(past.days * 86400 + past.seconds) * 10**9 + past.microseconds * 1000)


def processor() -> Any:
    """Returns the script's apply()."""
    scope: dict[str, Any] = {"Event": Event, "load": lambda *_: None, "time": SimpleNamespace(parse_time=parse_time)}
    exec(compile(SCRIPT.read_text(), str(SCRIPT), "exec"), scope)  # noqa: S102
    return scope["apply"]


def events(leaf: str, node: dict[str, Any], path: str = "", tags: dict[str, str] | None = None) -> Iterator[Event]:
    """Yields a state as events of gnmic: one per YANG leaf, with the keys of lists as tags."""
    tags = tags or {"source": leaf, "subscription-name": "state"}
    for name, value in node.items():
        here = f"{path}/{name}"
        entries = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
        for entry in entries:
            if isinstance(entry, dict):
                keys = {f"{name}_{key}": str(entry[key]) for key in KEYS.get(name, []) if key in entry}
                yield from events(leaf, entry, here, tags | keys)
            else:
                yield Event("state", tags, {here: entry})


def metrics(*found: Event) -> Metrics:
    """Returns the metrics that the processor makes from events."""
    result: Metrics = {}
    for event in processor()(*found):
        for name, value in event.values.items():
            key = (name, tuple(sorted(event.tags.items())))
            assert key not in result, f"{key} twice"
            result[key] = value
    return result


def state(name: str) -> dict[str, Any]:
    """Returns a state that was recorded for the CLI plugin."""
    return json.loads((ROOT / f"tests/cli_plugin/states/{name}.json").read_text())


def names(found: Metrics) -> set[str]:
    """Returns the names of the metrics."""
    return {name for name, _ in found}


class Processor(unittest.TestCase):
    """Tests how state becomes metrics."""

    def value(self, found: Metrics, name: str, **labels: str) -> float | None:
        """Returns the value of the only metric with this name and these labels; None if there is none."""
        fits = [value for (known, has), value in found.items() if known == name and labels.items() <= dict(has).items()]
        self.assertLessEqual(len(fits), 1, f"{name} {labels}")
        return fits[0] if fits else None

    def test_states_are_numbers_the_higher_the_better(self) -> None:
        found = metrics(*events("leaf1", state("broken")))
        self.assertEqual(self.value(found, "k8s_services_vip_oper_state", vip="1.1.1.102"), 0)
        self.assertEqual(self.value(found, "k8s_services_vip_oper_state", vip="1.1.1.100"), 2)
        self.assertEqual(self.value(found, "k8s_services_source_state", source="gnmi"), 2)

    def test_why_is_a_label_beside_the_state_so_that_another_reason_is_not_another_vip(self) -> None:
        found = metrics(*events("leaf1", state("broken")))
        labels = {"vip": "1.1.1.102", "reason": "route-not-programmed"}
        self.assertEqual(self.value(found, "k8s_services_vip_reason", **labels), 1)
        self.assertFalse([1 for name, has in found if name == "k8s_services_vip_oper_state" and "reason" in dict(has)])

    def test_times_are_seconds(self) -> None:
        found = metrics(*events("leaf1", {"k8s-services": {"cluster": [{"name": "c1", "service": [{
            "namespace": "n", "name": "s", "vip": [{"address": "a", "last-change": "2026-11-21T13:20:00.250Z (now)"}]
        }]}]}}))  # fmt: skip
        self.assertEqual(self.value(found, "k8s_services_vip_last_change_seconds"), 1795267200.25)

    def test_names_are_those_real_gnmic_was_recorded_with(self) -> None:
        recorded = set(re.findall(r"^(k8s_services_\w+)\{", (HERE / "leaves.prom").read_text(), re.MULTILINE))
        made = set()
        for name in ("broken", "remote", "stale", "stopped"):
            made |= names(metrics(*events("leaf1", state(name))))
        self.assertLessEqual(made, recorded)
        self.assertLessEqual(recorded - made, {"k8s_services_orphan_route_since_seconds"})

    def test_stopped_agent_says_only_that(self) -> None:
        found = metrics(*events("leaf2", state("stopped")))
        self.assertEqual(found, {("k8s_services_agent_running", (("leaf", "leaf2"),)): 0})

    def test_what_a_dead_agent_left_behind_is_not_passed_on(self) -> None:
        content = state("healthy")
        content["system"]["app-management"]["application"][0]["state"] = "error"
        self.assertEqual(names(metrics(*events("leaf1", content))), {"k8s_services_agent_running"})

    def test_leaves_are_kept_apart(self) -> None:
        found = metrics(*events("leaf1", state("broken")), *events("leaf2", state("stopped")))
        self.assertEqual({dict(has)["leaf"] for name, has in found if name == "k8s_services_vip_oper_state"}, {"leaf1"})

    def test_module_prefixes_change_nothing(self) -> None:
        plain = list(events("leaf1", state("broken")))
        prefixed = [
            Event(event.name, event.tags, {path.replace("/k8s-services/", "/k8s-services:k8s-services/"): value})
            for event in plain
            for path, value in event.values.items()
        ]
        self.assertEqual(metrics(*plain), metrics(*prefixed))

    def test_absent_leaves_give_no_metric(self) -> None:
        found = metrics(*events("leaf1", {"k8s-services": {"cluster": [{"name": "c1", "service": [
            {"namespace": "n", "name": "s", "vip": [{"address": "192.0.2.1"}]}
        ]}]}}))  # fmt: skip
        self.assertNotIn("k8s_services_vip_oper_state", names(found))
        self.assertNotIn("k8s_services_vip_last_change_seconds", names(found))

    def test_only_next_hops_that_are_not_well_have_a_series(self) -> None:
        found = metrics(*events("leaf4", state("remote")))
        hops = [dict(has) for name, has in found if name == "k8s_services_next_hop_oper_state"]
        self.assertEqual({hop["next_hop"] for hop in hops}, {"10.0.1.1"})
        self.assertEqual({hop["reason"] for hop in hops}, {"next-hop-missing"})

    def test_alarm_text_is_apart_from_the_alarm(self) -> None:
        found = metrics(*events("leaf1", state("broken")))
        alarm = next(dict(has) for name, has in found if name == "k8s_services_alarm")
        self.assertEqual(set(alarm), {"leaf", "id", "type", "severity", "owner"})
        text = next(dict(has) for name, has in found if name == "k8s_services_alarm_text")
        self.assertEqual(set(text), {"leaf", "id", "resource", "text", "cause"})

    def test_a_cause_has_a_series_of_its_own_and_only_where_it_is_known(self) -> None:
        why = {"probable-cause": "peer-shutdown", "cause-detail": "10.0.0.1 sent NOTIFICATION Cease"}
        node = {"name": "n1", "oper-state": "down", "attachment": "attached", "sole-path-vips": 3, **why}
        hop = {"address": "10.0.0.1", "oper-state": "down", "oper-reason": "session-down", **why}
        vip = {"address": "192.0.2.1", "oper-state": "down", "oper-reason": "session-down", "next-hop": [hop], **why}
        well = {"address": "192.0.2.2", "oper-state": "up"}
        cluster = {"name": "c1", "node": [node], "service": [{"namespace": "n", "name": "s", "vip": [vip, well]}]}
        found = metrics(*events("leaf1", {"k8s-services": {"cluster": [cluster]}}))
        labels = {"cause": "peer-shutdown", "detail": "10.0.0.1 sent NOTIFICATION Cease"}
        self.assertEqual(self.value(found, "k8s_services_vip_cause", vip="192.0.2.1", **labels), 1)
        self.assertEqual(self.value(found, "k8s_services_vip_cause", vip="192.0.2.2"), None)
        self.assertEqual(self.value(found, "k8s_services_node_cause", node="n1", **labels), 1)
        self.assertEqual(self.value(found, "k8s_services_node_sole_path_vips", node="n1"), 3)
        self.assertEqual(self.value(found, "k8s_services_next_hop_oper_state", cause="peer-shutdown"), 0)

    def test_nothing_gives_nothing(self) -> None:
        self.assertEqual(metrics(), {})


if __name__ == "__main__":
    unittest.main()
