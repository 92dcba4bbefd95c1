"""Tests the trap script on states of the lab, under CPython and under MicroPython."""

from __future__ import annotations

import copy
import json
import re
import unittest
from typing import Any

from framework import INFO, ROOT, Framework

STATE = json.loads((ROOT / "tests/cli_plugin/states/alarms.json").read_text())
ALARM = "k8sServicesAlarm"


def recorded(name: str) -> dict[str, Any]:
    """Returns /k8s-services of a recorded state, without the "(2 minutes ago)" that the CLI appends to times."""
    text = (ROOT / f"tests/cli_plugin/states/{name}.json").read_text()
    return json.loads(re.sub(r"Z \([^)]*\)", "Z", text))["k8s-services"]


def alarm(entry_id: str = "vip-route-missing/c1/default/nginxhello/1.1.1.100", **leaves: Any) -> dict[str, Any]:
    """Returns a state with one active alarm."""
    entry = next(entry for entry in STATE["alarm"] if entry["type"] == "vip-route-missing")
    return {"alarm": [{**entry, "id": entry_id, **leaves}]}


class Script:
    """Tests that must pass under every interpreter."""

    name: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.framework = Framework(cls.name)

    def test_new_alarm_is_a_raised_trap_with_all_an_operator_needs(self) -> None:
        traps = self.framework.change({}, alarm())
        self.assertEqual([trap["trap"] for trap in traps], [ALARM + "Raised"])
        self.assertEqual(
            traps[0]["objects"],
            {
                ALARM + "Id": "vip-route-missing/c1/default/nginxhello/1.1.1.100",
                ALARM + "Type": "vip-route-missing",
                ALARM + "Severity": 3,
                ALARM + "Resource": "/k8s-services/cluster[name=c1]/service[namespace=default][name=nginxhello]"
                "/vip[address=1.1.1.100]",
                ALARM + "Text": "no route to 1.1.1.100 in ip-vrf-1",
                ALARM + "RaisedTime": "2026-11-21T13:14:30.000Z",
                ALARM + "Owner": "network",
                ALARM + "Affected": 3,
                ALARM + "Occurrences": 1,
            },
        )

    def test_cleared_alarm_is_one_trap_though_two_entries_change(self) -> None:
        history = STATE["alarm-history"][0]
        before = {"alarm": [{**history, "last-change": history["raised"], "occurrences": 1}]}
        traps = self.framework.change(before, {"alarm-history": [history]})
        self.assertEqual([trap["trap"] for trap in traps], [ALARM + "Cleared"])
        objects = traps[0]["objects"]
        self.assertEqual(objects[ALARM + "Id"], "source-stale/kubernetes/c1")
        self.assertEqual(objects[ALARM + "ClearedTime"], "2026-11-21T12:05:03.000Z")
        self.assertEqual(objects[ALARM + "ClearedBecause"], "well")
        self.assertEqual(objects[ALARM + "Severity"], 4)

    def test_raised_and_cleared_carry_the_same_id(self) -> None:
        raised = self.framework.change({}, alarm("source-stale/kubernetes/c1"))
        cleared = self.framework.change({}, {"alarm-history": STATE["alarm-history"][:1]})
        self.assertEqual(raised[0]["objects"][ALARM + "Id"], cleared[0]["objects"][ALARM + "Id"])

    def test_more_occurrences_or_another_text_send_nothing(self) -> None:
        after = alarm(occurrences=7, text="changed", **{"last-change": "2026-11-21T13:20:00.000Z"})
        self.assertEqual(self.framework.change(alarm(), after), [])

    def test_history_that_makes_room_sends_nothing(self) -> None:
        self.assertEqual(self.framework.change({"alarm-history": STATE["alarm-history"]}, {}), [])

    def test_start_of_the_snmp_server_sends_active_alarms_and_no_old_clears(self) -> None:
        traps = self.framework.change({}, STATE, startup=True)
        self.assertEqual([trap["trap"] for trap in traps], [ALARM + "Raised"] * 3)

    def test_severities_are_numbered_as_in_rfc_3877(self) -> None:
        for word, value in (("critical", 3), ("major", 4), ("minor", 5), ("warning", 6), ("novel", 2)):
            traps = self.framework.change({}, alarm(severity=word))
            self.assertEqual(traps[0]["objects"][ALARM + "Severity"], value)

    def test_keys_with_any_character_select_their_own_entry(self) -> None:
        other = alarm("vip-route-missing/c1/default/other/1.1.1.100")["alarm"]
        for entry_id in ("vip-route-orphan/default/1.1.1.7/32", "x/2001:db8::1", "odd/a]b", "odd/a\\b", "odd/a[b=c]"):
            traps = self.framework.change({"alarm": other}, {"alarm": other + alarm(entry_id)["alarm"]})
            self.assertEqual([trap["objects"][ALARM + "Id"] for trap in traps], [entry_id])

    def test_context_may_hold_more_entries_than_the_one_that_changed(self) -> None:
        request = next(self.framework.requests({}, alarm(), False))
        request["k8s-services"]["alarm"] = STATE["alarm"]
        traps = self.framework.run(json.dumps(request))
        self.assertEqual([trap["objects"][ALARM + "Type"] for trap in traps], ["vip-route-missing"])

    def test_quoted_keys_and_module_prefixes_are_understood(self) -> None:
        request = next(self.framework.requests({}, alarm(), False))
        request["k8s-services:k8s-services"] = request.pop("k8s-services")
        request["_trap_info_"][0]["xpath"] = (
            '/k8s-services/alarm[id="vip-route-missing/c1/default/nginxhello/1.1.1.100"]/raised'
        )
        self.assertEqual(len(self.framework.run(json.dumps(request))), 1)

    def test_entry_that_is_one_object_and_not_a_list_is_understood(self) -> None:
        request = next(self.framework.requests({}, alarm(), False))
        request["k8s-services"]["alarm"] = request["k8s-services"]["alarm"][0]
        self.assertEqual(len(self.framework.run(json.dumps(request))), 1)

    def test_several_triggers_in_one_request_are_several_traps(self) -> None:
        requests = list(self.framework.requests({}, {"alarm": STATE["alarm"]}, False))
        request = {**requests[0], "_trap_info_": [event for each in requests for event in each["_trap_info_"]]}
        request["k8s-services"] = {"alarm": STATE["alarm"]}
        self.assertEqual(len(self.framework.run(json.dumps(request))), 3)

    def test_absent_leaves_are_sent_empty(self) -> None:
        entry = {"id": "a/b", "raised": "2026-11-21T13:14:30.000Z"}
        objects = self.framework.change({}, {"alarm": [entry]})[0]["objects"]
        self.assertEqual((objects[ALARM + "Text"], objects[ALARM + "Occurrences"]), ("", 0))

    def test_long_text_is_cut_between_characters(self) -> None:
        text = self.framework.change({}, alarm(text="ü" * 600))[0]["objects"][ALARM + "Text"]
        self.assertEqual(text, "ü" * 254 + "...")
        text = self.framework.change({}, alarm(text="x" + "日" * 600))[0]["objects"][ALARM + "Text"]
        self.assertEqual(text, "x" + "日" * 169 + "...")

    def test_forced_trap_is_sent_for_an_alarm_that_is_there_and_for_one_that_is_not(self) -> None:
        for state, text in ((alarm(), "no route to"), ({"alarm": []}, "test of the trap")):
            request = next(self.framework.requests({}, alarm(), False))
            request["_snmp_info_"]["_forced_"] = True
            request["k8s-services"] = state
            del request["_trap_info_"][0]["new-value"]
            traps = self.framework.run(json.dumps(request))
            self.assertTrue(traps[0]["objects"][ALARM + "Text"].startswith(text))

    def test_input_that_is_not_understood_is_an_empty_answer_and_a_line_on_the_console(self) -> None:
        for text in ("", "not json", "[]", "null", "3", '"text"', "{", '{"_trap_info_": [{"name": "bogus"}]}'):
            self.assertEqual(self.framework.run(text), [], text)
            self.assertIn("k8s-services traps:", self.framework.console, text)

    def test_every_part_of_the_input_may_be_missing_or_of_another_type(self) -> None:
        whole = next(self.framework.requests({}, alarm(), False))
        paths = (
            ("_snmp_info_",), ("_trap_info_",), ("k8s-services",), ("k8s-services", "alarm"),
            ("_trap_info_", 0, "xpath"), ("_trap_info_", 0, "name"), ("_trap_info_", 0),
            ("k8s-services", "alarm", 0), ("k8s-services", "alarm", 0, "id"),
        )  # fmt: skip
        cases = [(path, wrong) for path in paths for wrong in (None, 7, "text", [], {}, [None], {"a": 1})]
        texts = []
        for path, wrong in cases:
            request: Any = copy.deepcopy(whole)
            parent = request
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = wrong
            texts.append(json.dumps(request))
        for (path, wrong), traps in zip(cases, self.framework.run_all(texts), strict=True):
            self.assertEqual(len(traps), 1 if path == ("_snmp_info_",) else 0, f"{path} {wrong}")


    def test_faults_of_the_lab_as_the_agent_wrote_them_raise_and_clear(self) -> None:
        raised = self.framework.change(recorded("healthy"), recorded("broken"))
        self.assertEqual({trap["trap"] for trap in raised}, {ALARM + "Raised"})
        cleared = self.framework.change(recorded("broken"), recorded("healed"))
        self.assertEqual({trap["trap"] for trap in cleared}, {ALARM + "Cleared"})
        ids = {trap["objects"][ALARM + "Id"] for trap in raised}
        self.assertEqual(ids, {alarm["id"] for alarm in recorded("broken")["alarm"]})
        over = {trap["objects"][ALARM + "Id"] for trap in cleared}
        self.assertLessEqual({"vip-blackholed/c1/shop/checkout/1.1.1.102", "neighbor-session-down/c1/cluster1"}, over)

    def test_documentation_shows_an_answer_of_the_script(self) -> None:
        page = (ROOT / "docs/snmp.md").read_text()
        shown = json.loads(page.split("```json\n")[1].split("```")[0])["traps"]
        self.assertEqual(len(shown), 1)
        sent = self.framework.change({}, recorded("broken"))
        self.assertIn(shown[0], sent)


class UnderCPython(Script, unittest.TestCase):
    """Runs the tests under the reference interpreter."""

    name = "python3"


class UnderMicroPython(Script, unittest.TestCase):
    """Runs the tests under the interpreter of the switch."""

    name = "micropython"


class Request(unittest.TestCase):
    """Tests of the stand-in itself."""

    def test_requests_have_the_documented_members(self) -> None:
        request = next(Framework("python3").requests({}, alarm(), False))
        self.assertEqual(set(request), {"_snmp_info_", "_trap_info_", "k8s-services"})
        self.assertLess(set(INFO), set(request["_snmp_info_"]))
        self.assertEqual(
            set(request["_trap_info_"][0]), {"name", "trigger", "xpath", "new-value", "startup"}
        )


if __name__ == "__main__":
    unittest.main()
