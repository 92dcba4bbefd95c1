"""Tests `show k8s-services` on recorded states, in the stand-in of the CLI."""

from __future__ import annotations

import copy
import json
import re
import sys
import time
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

from session import ParsingError, Session, load_plugin, recorded, recorded_at  # noqa: E402

plugin = load_plugin()


def agent(content: dict[str, Any]) -> dict[str, Any]:
    """Returns /k8s-services of a state."""
    return content["k8s-services"]


def service(name: str, state: str = "up", **leaves: Any) -> dict[str, Any]:
    """Returns a service with one VIP."""
    verdict = {"oper-state": state, "last-change": "2026-11-21T13:00:00.000Z"}
    vip = {"address": leaves.pop("address", "192.0.2.1"), **verdict, "installed-next-hops": 2, "expected-next-hops": 2}
    return {"namespace": "shop", "name": name, **verdict, **leaves, "vip": [{**vip, "next-hop": []}]}


class Case(unittest.TestCase):
    """A test with sessions at a fixed time."""

    def setUp(self) -> None:
        self.clock = datetime(2026, 11, 21, 13, 15, tzinfo=timezone.utc)  # just after states/alarms.json
        original, plugin.now = plugin.now, lambda: self.clock
        self.addCleanup(setattr, plugin, "now", original)

    def session(self, content: str | dict[str, Any], width: int = 100) -> Session:
        """Starts a session on a state, which may be named."""
        return Session(plugin, recorded(content) if isinstance(content, str) else content, width)

    def with_services(self, entries: list[dict[str, Any]], **counts: int) -> dict[str, Any]:
        """Returns the healthy state with these services instead of its own."""
        content = recorded("healthy")
        agent(content)["cluster"][0]["service"] = entries
        agent(content)["summary"] |= {name.replace("_", "-"): count for name, count in counts.items()}
        return content

    def lines(self, text: str, *words: str) -> list[str]:
        """Returns the lines that contain all the words."""
        return [line for line in text.splitlines() if all(word in line for word in words)]


class Summary(Case):
    """show k8s-services"""

    def test_healthy_leaf_fits_a_small_screen_and_names_no_trouble(self) -> None:
        text = self.session("healthy", 80).text("show k8s-services")
        self.assertLessEqual(len(text.splitlines()), 24)
        self.assertRegex(text, r"Services : \d+, with (\d+) VIPs?: 0 down, 0 degraded, 0 unknown, \1 up")
        self.assertNotIn("Not up", text)
        self.assertNotIn("!", text)

    def test_says_whether_the_agent_runs_and_which_version(self) -> None:
        text = self.session("healthy").text("show k8s-services")
        self.assertRegex(text, r"Agent +: up, running for \w+, version 0\.")

    def test_what_is_not_up_comes_worst_first_with_the_reason_in_words(self) -> None:
        text = self.session("broken").text("show k8s-services")
        down, degraded = text.index("c1/shop/checkout"), text.index("c1/default/nginxhello")
        self.assertLess(down, degraded)
        self.assertTrue(self.lines(text, "c1/shop/checkout", "down", "route-not-programmed"))
        self.assertIn("programming it into the FIB failed", text)

    def test_active_alarms_are_counted_with_the_command_that_lists_them(self) -> None:
        content = recorded("healthy")
        agent(content)["summary"]["alarms-warning"] = 1
        text = self.session(content).text("show k8s-services")
        self.assertRegex(text, r"Alarms +: .*1 warning \(show k8s-services alarms\)")
        self.assertRegex(text, r"\nMeanings and remedies: /usr/share/doc/srl-k8s-services/docs/README\.md$")
        self.assertNotIn("show k8s-services alarms", self.session("healthy").text("show k8s-services"))

    def test_healthy_leaf_reads_no_service_at_all(self) -> None:
        content = self.with_services([service(f"s{at}") for at in range(10_000)], services=10_000, vips=10_000)
        agent(content)["summary"]["vips-up"] = 10_000
        session = self.session(content)
        session.text("show k8s-services")
        self.assertNotIn("k8s-services/cluster/service", session.store.fetched)
        self.assertLess(session.store.entries, 20)

    def test_services_without_an_address_show_through_their_alarm(self) -> None:
        pending = {"namespace": "shop", "name": "new", "oper-state": "down", "oper-reason": "address-pending"}
        content = self.with_services([pending], services=1, vips=0, vips_up=0, alarms_warning=1)
        self.assertTrue(self.lines(self.session(content).text("show k8s-services"), "c1/shop/new", "address-pending"))

    def test_only_the_ten_worst_are_shown_and_the_rest_counted(self) -> None:
        broken = [service(f"s{at}", "down", **{"oper-reason": "no-route"}) for at in range(25)]
        text = self.session(self.with_services(broken, vips=25, vips_up=0, vips_down=25)).text("show k8s-services")
        self.assertIn("Not up (25)", text)
        self.assertEqual(len(self.lines(text, "no-route")), 10)
        self.assertIn("... and 15 more: show k8s-services services not-up", text)

    def test_nothing_in_state_controls_the_terminal(self) -> None:
        bad = "\x1b[2J\u202egpj\nWARN \x9b\u2066x\U000e0041"
        broken = service("s1", "down", **{"oper-reason": "no-route", "oper-detail": bad, "namespace": f"shop{bad}"})
        broken["vip"][0]["oper-detail"] = bad
        content = self.with_services([broken], vips=1, vips_up=0, vips_down=1)
        agent(content)["cluster"][0] |= {"oper-detail": bad, "speaker": bad, "vip-pool": [bad]}
        session = self.session(content)
        for command in ("", " services", " vips", " vip 192.0.2.1", " vip 192.0.2.9", " nodes", " alarms"):
            text = session.text("show k8s-services" + command)
            self.assertNotRegex(text, "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066\U000e0041]", command)
            self.assertFalse([line for line in text.splitlines() if line.startswith("WARN")], command)

    def test_a_stale_source_is_the_first_thing_said(self) -> None:
        text = self.session("stale").text("show k8s-services")
        self.assertRegex(text.splitlines()[0], r"^! kubernetes/c1 has been stale for \w+: based on data received until 20")
        self.assertTrue(self.lines(text, "kubernetes/c1", "stale"))
        self.assertEqual(text.splitlines()[1], "! to find out why: bash sudo k8s-services doctor")

    def test_stopped_agent_is_said_and_how_to_start_it(self) -> None:
        for command in ("", " services", " vips", " nodes", " alarms", " vip 1.1.1.100"):
            said = self.session("stopped").text("show k8s-services" + command).splitlines()
            self.assertRegex(said[0], r"^! the agent has been stopped for \w+: nothing is in state$", command)
            self.assertEqual(
                said[-1], "Start it with: tools system app-management application k8s-services start", command
            )

    def test_killed_agent_whose_state_was_left_behind_is_not_taken_for_health(self) -> None:
        content = recorded("healthy")
        content["system"]["app-management"]["application"][0]["state"] = "error"
        for command in ("", " services", " vips", " nodes", " alarms", " vip 1.1.1.100"):
            text = self.session(content).text("show k8s-services" + command)
            self.assertRegex(text.splitlines()[0], r"^! the agent has been in state error", command)

    def test_agent_that_hangs_is_noticed_by_what_it_no_longer_writes(self) -> None:
        content = recorded("healthy")
        self.clock = recorded_at(content)
        self.assertNotIn("doctor", self.session(content).text("show k8s-services"))
        self.assertNotIn("!", self.session(content).text("show k8s-services vips"))
        self.clock += timedelta(minutes=5)
        first = self.session(content).text("show k8s-services vips").splitlines()[0]
        self.assertRegex(first, r"^! nothing heard from the agent for 5m\d*s?: the data below is from before")

    def test_no_cluster_says_how_to_configure_one(self) -> None:
        content = recorded("healthy")
        del agent(content)["cluster"]
        text = self.session(content).text("show k8s-services")
        self.assertIn("set / k8s-services cluster <name> kubeconfig <file>", text)

    def test_disabled_cluster_says_so(self) -> None:
        content = recorded("healthy")
        agent(content)["cluster"] = [{"name": "c1", "oper-state": "down", "oper-reason": "admin-disabled"}]
        text = self.session(content).text("show k8s-services")
        self.assertIn("admin-disabled", text)

    def test_clusters_come_worst_first(self) -> None:
        content = recorded("healthy")
        agent(content)["cluster"] = [
            {"name": name, "oper-state": state} for name, state in (("a", "up"), ("b", "degraded"), ("c", "down"))
        ]
        text = self.session(content).text("show k8s-services")
        places = [text.index(f"\n{name}  ") for name in "cba"]
        self.assertEqual(places, sorted(places))

    def test_json_has_the_same_under_the_same_names(self) -> None:
        data = self.session("broken").json("show k8s-services")["k8s-services"]
        self.assertEqual(data["State"], "up")
        self.assertEqual({row["Source"] for row in data["source"]}, {"gnmi", "kubernetes/c1", "ndk"})
        reasons = {row["Service"]: row["Reason"] for row in data["service"]}
        self.assertEqual(reasons["checkout"], "route-not-programmed")


class Owners(Case):
    """The order by owner, and what helps the one who has to act."""

    def test_the_network_s_faults_come_before_the_application_s_whatever_their_state(self) -> None:
        services = [
            service("app", "down", **{"oper-reason": "no-ready-endpoint", "owner": "application"}),
            service("cluster", "down", **{"oper-reason": "no-announcer", "owner": "cluster"}),
            service("net", "degraded", **{"oper-reason": "session-down", "owner": "network"}),
        ]
        text = self.session(self.with_services(services, vips=3, vips_up=0)).text("show k8s-services")
        places = [text.index(f"c1/shop/{name}") for name in ("net", "cluster", "app")]
        self.assertEqual(places, sorted(places))

    def test_a_lost_session_is_on_the_first_screen_even_if_no_vip_needs_it(self) -> None:
        content = self.with_services([], services=0, vips=0, vips_up=0)
        node = agent(content)["cluster"][0]["node"][0]
        node |= {"oper-state": "down", "oper-reason": "session-down", "session-state": "active"}
        text = self.session(content).text("show k8s-services")
        self.assertIn("BGP sessions that need a look (1):", text)
        self.assertTrue(self.lines(text, f"c1/{node['name']}", "session-down", "active"))

    def test_an_address_that_is_not_here_names_what_is_watched(self) -> None:
        content = recorded("healthy")
        agent(content)["cluster"][0] |= {"namespace": ["shop", "web"], "label-selector": "tier=front"}
        text = self.session(content).text("show k8s-services vip 9.9.9.9")
        self.assertIn("No service has the VIP 9.9.9.9 here.", text)
        self.assertIn("c1 (namespace shop web, label-selector tier=front)", text)

    def test_names_are_never_broken_inside(self) -> None:
        detail = "the route of 1.1.1.100/32 goes to network-instance ip-vrf-1 by client-control-plane " * 3
        content = self.with_services([service("a", "down", **{"oper-detail": detail.strip()})], vips=1, vips_up=0)
        text = self.session(content, 80).text("show k8s-services services")
        self.assertNotRegex(text, r"\w-\n")


class Unanswered(Case):
    """Output if state cannot be read."""

    def test_module_that_is_not_loaded_is_named_with_the_remedy(self) -> None:
        session = self.session("healthy")
        session.store.schema = copy.deepcopy(session.store.schema)
        del session.store.schema.children["k8s-services"]
        for command in ("", " services", " vips", " nodes", " alarms"):
            output = session.type("show k8s-services" + command)
            self.assertEqual(output.lines, [])
            self.assertIn("unknown element 'k8s-services'", output.errors[0])
            self.assertIn("show system application k8s-services", output.errors[1])

    def test_management_server_that_is_away_is_said(self) -> None:
        session = self.session("healthy")
        session.store.away = True
        self.assertIn("management server is closed", session.type("show k8s-services").errors[0])

    def test_user_who_may_not_see_applications_sees_the_rest(self) -> None:
        session = self.session("healthy")
        session.store.schema = copy.deepcopy(session.store.schema)
        del session.store.schema.children["system"]
        text = session.text("show k8s-services")
        self.assertRegex(text, r"Agent +: up, unknown")
        self.assertNotIn("!", text)

    def test_nothing_in_state_is_an_empty_report_for_every_command(self) -> None:
        for command, said in (
            ("services", "No such service."),
            ("vips", "No such VIP."),
            ("vip 192.0.2.1", "No service has the VIP 192.0.2.1 here.\nClusters watched by this leaf: none"),
            ("nodes", "No such node."),
            ("alarms", "No active alarm."),
            ("alarms history", "No alarm has been cleared."),
        ):
            content = {"system": recorded("healthy")["system"]}
            self.assertEqual(self.session(content).text(f"show k8s-services {command}"), said)

    def test_leaves_that_are_absent_are_left_out(self) -> None:
        bare = {"namespace": "shop", "name": "bare", "vip": [{"address": "192.0.2.1"}]}
        session = self.session(self.with_services([bare]))
        self.assertIn("c1/shop/bare", session.text("show k8s-services services"))
        self.assertIn("Route   : none", session.text("show k8s-services vip 192.0.2.1"))

    def test_leaf_an_older_agent_does_not_have_is_as_if_absent(self) -> None:
        session = self.session("healthy")
        session.store.schema = copy.deepcopy(session.store.schema)
        cluster = session.store.schema.children["k8s-services"].children["cluster"]
        del cluster.children["node"].children["bfd-state"]
        self.assertIn("c1/cluster1", session.text("show k8s-services nodes"))
        del cluster.children["node"].children["peer"]
        self.assertIn("c1/cluster1", session.text("show k8s-services nodes node cluster1"))


class Services(Case):
    """show k8s-services services"""

    def test_order_is_down_degraded_unknown_up_then_by_name_as_people_read(self) -> None:
        services = [
            service("s10", "down"), service("s9", "down"), service("a", "up"), service("b", "unknown"),
            service("c", "degraded"),
        ]  # fmt: skip
        rows = self.session(self.with_services(services)).json("show k8s-services services")["k8s-services"]["service"]
        self.assertEqual({row["Service"] for row in rows}, {"s9", "s10", "a", "b", "c"})
        text = self.session(self.with_services(services)).text("show k8s-services services")
        found = [line.split()[0] for line in text.splitlines() if line.startswith("c1/")]
        self.assertEqual([name.split("/")[-1] for name in found], ["s9", "s10", "c", "b", "a"])

    def test_state_of_a_newer_agent_comes_first_to_be_seen(self) -> None:
        text = self.session(self.with_services([service("a", "down"), service("z", "on-fire")])).text(
            "show k8s-services services"
        )
        self.assertLess(text.index("c1/shop/z"), text.index("c1/shop/a"))

    def test_not_up_leaves_the_rest_out(self) -> None:
        text = self.session(self.with_services([service("a"), service("b", "down")])).text(
            "show k8s-services services not-up"
        )
        self.assertIn("c1/shop/b", text)
        self.assertNotIn("c1/shop/a", text)

    def test_filters_by_key_are_asked_of_the_switch_not_sorted_out_here(self) -> None:
        services = [service(f"s{at}") for at in range(10_000)]
        session = self.session(self.with_services(services))
        text = session.text("show k8s-services services cluster c1 namespace shop service s77")
        self.assertIn("c1/shop/s77", text)
        self.assertNotIn("c1/shop/s770", text)
        self.assertLess(session.store.entries, 10)

    def test_vips_are_not_read(self) -> None:
        session = self.session("broken")
        session.text("show k8s-services services")
        self.assertFalse([path for path in session.store.fetched if path.endswith("/vip")])


class Vips(Case):
    """show k8s-services vips"""

    def test_row_has_service_verdict_and_next_hops(self) -> None:
        text = self.session("remote").text("show k8s-services vips")
        self.assertTrue(self.lines(text, "1.1.1.100", "c1/default/nginxhello", "degraded", "next-hop-missing", "2/3"))

    def test_each_filter(self) -> None:
        session = self.session("broken")
        filters = ("cluster c1 namespace default", "service nginxhello", "vip 1.1.1.100", "namespace default not-up")
        for words in filters:
            text = session.text(f"show k8s-services vips {words}")
            self.assertIn("1.1.1.100", text, words)
            self.assertNotIn("1.1.1.102", text, words)
        self.assertEqual(session.text("show k8s-services vips cluster c2"), "No such VIP.")

    def test_glob_is_left_to_the_switch(self) -> None:
        text = self.session("broken").text("show k8s-services vips service nginx*")
        self.assertIn("1.1.1.100", text)
        self.assertNotIn("1.1.1.101", text)

    def test_next_hops_are_not_read_for_the_table(self) -> None:
        vips = [service(f"s{at}", address=f"10.0.{at // 250}.{at % 250}") for at in range(10_000)]
        session = self.session(self.with_services(vips))
        session.store.content["k8s-services"]["cluster"][0]["service"][0]["vip"][0]["next-hop"] = "never looked at"
        start = time.monotonic()
        text = session.text("show k8s-services vips")
        self.assertEqual(len(self.lines(text, "c1/shop/")), 10_000)
        self.assertLess(time.monotonic() - start, 30)

    def test_same_address_in_two_clusters_is_two_rows(self) -> None:
        content = self.with_services([service("a")])
        agent(content)["cluster"].append({"name": "c2", "service": [service("a")]})
        text = self.session(content).text("show k8s-services vips vip 192.0.2.1")
        self.assertEqual(len(self.lines(text, "192.0.2.1")), 2)

    def test_addresses_sort_by_number(self) -> None:
        text = self.session(
            self.with_services([service("a", address="10.0.0.10"), service("b", address="10.0.0.9")])
        ).text("show k8s-services vips")
        self.assertLess(text.index("10.0.0.9 "), text.index("10.0.0.10"))

    def test_unknown_word_is_the_cli_s_to_refuse(self) -> None:
        with self.assertRaises(ParsingError):
            self.session("broken").text("show k8s-services vips bogus")


class Vip(Case):
    """show k8s-services vip <address>"""

    def test_says_route_next_hops_and_why(self) -> None:
        text = self.session("remote").text("show k8s-services vip 1.1.1.100")
        self.assertRegex(text, r"Route +: 1\.1\.1\.100/32, bgp_evpn_mgr, preference 170, metric 0, FIB programmed")
        self.assertRegex(text, r"State +: degraded, next-hop-missing, for \w+, since 2026-")
        self.assertRegex(text, r"Service +: c1/default/nginxhello \(policy cluster, 3/3 endpoints usable\)")
        self.assertTrue(self.lines(text, "10.0.1.1", "cluster1", "vtep", "next-hop-missing"))

    def test_a_next_hop_that_serves_carries_no_word_of_a_fault(self) -> None:
        text = self.session("broken").text("show k8s-services vip 1.1.1.100")
        self.assertTrue(self.lines(text, "10.0.1.2", "extra", "up"))
        self.assertNotIn("next-hop-unexpected", text)

    def test_a_cause_stands_under_its_next_hop_with_the_sentence_that_its_vip_lacks(self) -> None:
        content = recorded("broken")
        hop = agent(content)["cluster"][0]["service"][0]["vip"][0]["next-hop"][0]
        hop |= {"probable-cause": "damped", "cause-detail": "it came and went"}
        text = self.session(content).text("show k8s-services vip 1.1.1.100")
        self.assertIn("\n    damped: it came and went\n", text)
        self.assertIn("\n    cause: hold-timer-expired\n", text)

    def test_the_next_hop_that_fails_comes_first(self) -> None:
        text = self.session("remote").text("show k8s-services vip 1.1.1.100")
        self.assertLess(text.index("\n10.0.1.1 "), text.index("\n10.0.1.2 "))

    def test_ipv6_is_found_however_it_is_written(self) -> None:
        content = self.with_services([service("six", address="2001:db8::1")])
        for spelled in ("2001:db8::1", "2001:DB8:0::0:1"):
            self.assertIn("c1/shop/six", self.session(content).text(f"show k8s-services vip {spelled}"))

    def test_what_is_no_address_is_refused_in_words(self) -> None:
        output = self.session("healthy").type("show k8s-services vip nginxhello")
        self.assertEqual(output.errors, ["'nginxhello' is not an IP address"])
        self.assertEqual(output.lines, [])

    def test_address_is_required(self) -> None:
        with self.assertRaises(ParsingError):
            self.session("healthy").text("show k8s-services vip")

    def test_shared_vip_shows_every_service(self) -> None:
        content = self.with_services([service("a"), service("b", "down")])
        text = self.session(content).text("show k8s-services vip 192.0.2.1")
        self.assertLess(text.index("c1/shop/b"), text.index("c1/shop/a"))

    def test_only_this_vip_is_read(self) -> None:
        vips = [service(f"s{at}", address=f"10.0.{at // 250}.{at % 250}") for at in range(5_000)]
        session = self.session(self.with_services(vips))
        session.text("show k8s-services vip 10.0.3.7")
        self.assertLess(session.store.entries, 12)

    def test_json_holds_the_next_hops(self) -> None:
        data = self.session("remote").json("show k8s-services vip 1.1.1.100")["k8s-services"]
        self.assertEqual(data["vip"][0]["Installed next-hops"], "2")
        self.assertEqual(len(data["next-hop"]), 3)


class Nodes(Case):
    """show k8s-services nodes"""

    def test_node_whose_session_is_down_comes_first(self) -> None:
        text = self.session("broken").text("show k8s-services nodes")
        rows = self.lines(text, "c1/cluster")
        self.assertRegex(rows[0], r"^c1/cluster1 +down +session-down +192\.168\.1\.11 +attached +active")

    def test_not_up(self) -> None:
        text = self.session("broken").text("show k8s-services nodes not-up")
        self.assertEqual(len(self.lines(text, "c1/cluster")), 1)

    def test_one_node_shows_each_address_it_speaks_bgp_from(self) -> None:
        content = recorded("broken")
        node = agent(content)["cluster"][0]["node"][0]
        node["peer"].append({"address": "2001:db8::11", "attachment": "attached", "session-state": "established"})
        text = self.session(content).text("show k8s-services nodes node cluster1")
        self.assertEqual(len(self.lines(text, "c1/cluster1 ")), 2)
        self.assertTrue(self.lines(text, "2001:db8::11", "established"))

    def test_node_without_an_address_is_listed(self) -> None:
        content = recorded("healthy")
        agent(content)["cluster"][0]["node"] = [
            {"name": "lost", "oper-state": "unknown", "oper-reason": "node-address-unknown"}
        ]
        text = self.session(content).text("show k8s-services nodes")
        self.assertTrue(self.lines(text, "c1/lost", "unknown", "node-address-unknown"))

    def test_column_that_says_nothing_is_left_out(self) -> None:
        self.assertNotIn("BFD", self.session("healthy").text("show k8s-services nodes"))


class Impact(Case):
    """show k8s-services impact"""

    def content(self) -> dict[str, Any]:
        """Returns a state with VIPs on node n1, on n1 and n2 at the same port, and on n3 at another port."""

        def node(name: str, address: str, port: str) -> dict[str, Any]:
            peer = {"address": address, "attachment": "attached", "session-state": "established", "port": port}
            return {"name": name, "oper-state": "up", "peer": [peer]}

        def hop(address: str, name: str, state: str, **wider: str) -> dict[str, Any]:
            without = {f"state-without-{loss}": word for loss, word in {"session": state, **wider}.items()}
            return {"address": address, "node": name, "kind": "local", "installed": True, "oper-state": "up", **without}

        content = self.with_services([service("both", address="192.0.2.1"), service("one", address="192.0.2.2"),
                                      service("spare", address="192.0.2.3")])
        cluster = agent(content)["cluster"][0]
        cluster["node"] = [node("n1", "10.0.0.1", "ethernet-1/1"), node("n2", "10.0.0.2", "ethernet-1/1"),
                           node("n3", "10.0.0.3", "ethernet-1/3")]
        both, one, spare = (entry["vip"][0] for entry in cluster["service"])
        both["next-hop"] = [hop("10.0.0.1", "n1", "degraded", port="down"), hop("10.0.0.2", "n2", "degraded", port="down")]
        one["next-hop"] = [hop("10.0.0.1", "n1", "down")]
        spare["next-hop"] = [hop("10.0.0.3", "n3", "up"), {"address": "10.0.1.2", "kind": "vtep", "installed": True}]
        return content

    def test_a_node_lists_what_would_not_be_up_without_it_the_worst_first(self) -> None:
        text = self.session(self.content()).text("show k8s-services impact node n1")
        self.assertIn("VIPs that use node n1, as they would be without it: 1 down, 1 degraded, 0 unknown, 0 up", text)
        self.assertLess(text.index("192.0.2.2"), text.index("192.0.2.1"))
        self.assertTrue(self.lines(text, "192.0.2.2", "c1/shop/one", "up", "down"))

    def test_a_port_takes_all_nodes_along_that_are_plugged_in_there(self) -> None:
        rows = self.session(self.content()).json("show k8s-services impact port ethernet-1/1")["k8s-services"]["vip"]
        self.assertEqual({row["VIP"]: row["Without"] for row in rows}, {"192.0.2.1": "down", "192.0.2.2": "down"})

    def test_a_session_is_named_by_its_address_however_it_is_written(self) -> None:
        text = self.session(self.content()).text("show k8s-services impact session 10.0.0.2")
        self.assertIn("0 down, 1 degraded", text)
        self.assertIn("is not an IP address", self.session(self.content()).text("show k8s-services impact session n1"))

    def test_what_costs_nothing_says_so(self) -> None:
        text = self.session(self.content()).text("show k8s-services impact node n3")
        self.assertIn("No VIP would suffer without node n3.", text)

    def test_without_a_name_nodes_and_shared_ports_are_compared(self) -> None:
        text = self.session(self.content()).text("show k8s-services impact")
        rows = [line.split() for line in text.splitlines() if line.startswith(("node ", "port "))]
        self.assertEqual([row[:2] for row in rows],
                         [["port", "ethernet-1/1"], ["node", "c1/n1"], ["node", "c1/n2"], ["node", "c1/n3"]])
        self.assertEqual(rows[1][2:], ["10.0.0.1", "ethernet-1/1", "1", "1", "0", "0"])

    def test_two_names_are_one_too_many(self) -> None:
        text = self.session(self.content()).text("show k8s-services impact node n1 port ethernet-1/1")
        self.assertIn("name one of session, node, port, not node and port", text)


class Alarms(Case):
    """show k8s-services alarms [history]"""

    def content(self) -> dict[str, Any]:
        content = recorded("broken")
        agent(content).update(recorded("alarms"))
        return content

    def test_most_severe_first_then_newest(self) -> None:
        rows = self.session(self.content()).text("show k8s-services alarms").splitlines()
        types = [line.split()[3] for line in rows if line.startswith(("critical", "major"))]
        self.assertEqual(types, ["vip-route-missing", "vip-blackholed", "neighbor-session-down"])

    def test_row_says_since_when_what_and_how_often_and_the_text_stands_under_it(self) -> None:
        text = self.session(self.content()).text("show k8s-services alarms")
        self.assertTrue(self.lines(text, "major", "10m", "neighbor-session-down", "c1/cluster1", "x3"))
        self.assertIn("\n    BGP session with 192.168.1.11 (cluster1) is active", text)
        self.assertEqual(len(self.lines(text, " x")), 1)

    def test_history_is_newest_first_by_number_and_says_how_long_it_lasted(self) -> None:
        text = self.session(self.content()).text("show k8s-services alarms history")
        self.assertLess(text.index("source-stale"), text.index("vip-no-endpoint"))
        self.assertTrue(self.lines(text, "source-stale", "1h9m", "5m3s", "kubernetes/c1"))

    def test_active_and_cleared_are_not_mixed(self) -> None:
        session = self.session(self.content())
        self.assertNotIn("source-stale", session.text("show k8s-services alarms"))
        self.assertNotIn("blackholed", session.text("show k8s-services alarms history"))

    def test_json_carries_the_resource_and_exact_times(self) -> None:
        rows = self.session(self.content()).json("show k8s-services alarms")["k8s-services"]["alarm"]
        row = next(row for row in rows if row["Type"] == "vip-blackholed")
        self.assertTrue(row["Resource"].endswith("/vip[address=1.1.1.102]"))
        self.assertEqual(row["Raised"], "2026-11-21T13:04:00.000Z")


class Screen(Case):
    """Widths of lines and columns, and ages."""

    COMMANDS = ("", " services", " vips", " nodes", " alarms", " vip 1.1.1.100")

    def test_no_line_is_wider_than_the_terminal_nor_than_120(self) -> None:
        for width, bound in ((80, 80), (100, 100), (250, 120), (20, 80)):
            for command in self.COMMANDS:
                remote = recorded("remote")
                agent(remote).update(recorded("alarms"))
                for content in (remote, recorded("broken")):
                    text = self.session(content, width).text("show k8s-services" + command)
                    self.assertLessEqual(max(map(len, text.splitlines())), bound, f"{command} at {width}")

    def test_long_names_are_folded_and_lose_no_letter(self) -> None:
        name = "a-service-with-a-name-as-long-as-kubernetes-allows-63-characters"
        content = self.with_services([service(name, "down", address="2001:db8:1234:5678:9abc:def0:1234:5678")])
        rows = self.session(content, 80).text("show k8s-services vips").splitlines()
        self.assertLessEqual(max(map(len, rows)), 80)
        start = rows[0].index("Service")
        end = rows[0].index("State")
        self.assertEqual("".join(row[start:end].strip() for row in rows[2:]), f"c1/shop/{name}")

    def test_ages_use_two_units(self) -> None:
        for seconds, said in ((0, "0s"), (59, "59s"), (60, "1m"), (61, "1m1s"), (3600, "1h"), (90061, "1d1h")):
            then = datetime.fromtimestamp(self.clock.timestamp() - seconds, timezone.utc)
            self.assertEqual(plugin.age(then.isoformat()), said)
        self.assertEqual(plugin.age("no time"), "")

    def test_clock_that_was_set_back_gives_no_negative_age(self) -> None:
        self.assertEqual(plugin.age("2026-11-21T14:00:00.000Z"), "0s")


class Recorded(Case):
    """Alarms that were recorded from the agent, and output on the page of the documentation."""

    def test_alarms_of_a_broken_leaf_and_their_history_once_it_is_healed(self) -> None:
        active = self.session("broken").text("show k8s-services alarms")
        history = self.session("healed").text("show k8s-services alarms history")
        for kind in ("neighbor-session-down", "vip-blackholed"):
            self.assertIn(kind, active)
            self.assertIn(kind, history)
        self.assertNotIn("vip-blackholed", self.session("healed").text("show k8s-services alarms"))

    def test_documentation_shows_what_is_shown(self) -> None:
        page = (HERE.parent.parent / "docs" / "show.md").read_text()
        shown = re.findall(r"```text state=(\w+)\nA:admin@leaf\d# (show .*)\n((?:.*\n)*?)```\n", page)
        self.assertGreaterEqual(len(shown), 7)
        for state, line, text in shown:
            self.clock = recorded_at(recorded(state))
            line, _, after = line.partition(" | as ")
            session = self.session(state)
            said = json.dumps(session.json(line), indent=2) if after == "json" else session.text(line)
            self.assertEqual(said, text.rstrip("\n"), line)


class Commands(Case):
    """Declarations of the commands to the CLI."""

    def test_values_are_completed_from_state(self) -> None:
        top = self.session("healthy").engine.show.commands["k8s-services"]
        for name, command in top.commands.items():
            for argument, completer in command.syntax.suggestions.items():
                if argument not in command.syntax.booleans:
                    root = "interface" if argument == "port" else "k8s-services"
                    self.assertEqual(completer.path[0][0], root, f"{name} {argument}")

    def test_commands_are_those_of_the_documentation(self) -> None:
        top = self.session("healthy").engine.show.commands["k8s-services"]
        self.assertEqual(set(top.commands), {"services", "vips", "vip", "nodes", "impact", "alarms"})

    def test_parent_stays_silent_on_the_way_to_a_command_below_it(self) -> None:
        session = self.session("healthy")
        session.text("show k8s-services alarms")
        self.assertNotIn("k8s-services/cluster", session.store.fetched)


if __name__ == "__main__":
    unittest.main()
