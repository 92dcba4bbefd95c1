"""Adds `show k8s-services` to the SR Linux CLI: the state of Kubernetes VIPs as this leaf sees them.

    show k8s-services                     one screen: agent, sources, counts, lost sessions, what is not up and why
    show k8s-services services            one row per service
    show k8s-services vips                one row per VIP
    show k8s-services vip <address>       all about one VIP, next-hop by next-hop
    show k8s-services nodes               which nodes announce VIPs, from which address, over which session
    show k8s-services impact              how many VIPs depend on each node; which depend on one node, session or port
    show k8s-services alarms [history]    active alarms, or cleared ones

The plugin is installed as /etc/opt/srlinux/cli/plugins/k8s_services.py; the CLI loads it at the next login. It only
reads state, and only the paths that a command needs.

The plugin is one file because the CLI loads every file in that folder as a plugin of its own, and it is not documented
that plugins can import each other. Each part uses only the parts above it: reading state, words, freshness, rows,
layout, reports, then one part per command, and the commands themselves.
"""

import ipaddress
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

from srlinux.data import Data, Formatter
from srlinux.location import build_path
from srlinux.mgmt.cli import CliPlugin, KeyCompleter
from srlinux.schema import FixedSchemaRoot
from srlinux.syntax import Syntax

AGENT = "k8s-services"
ROOT = "/k8s-services"
SUMMARY = "/k8s-services/summary"
SOURCES = "/k8s-services/summary/source[name=*]"
CLUSTERS = "/k8s-services/cluster[name={cluster}]"
NODES = CLUSTERS + "/node[name={node}]"
SERVICES = CLUSTERS + "/service[namespace={namespace}][name={service}]"
VIPS = SERVICES + "/vip[address={vip}]"
SESSIONS = NODES + "/peer[address={session}]"
ALARMS = "/k8s-services/alarm[id=*]"
HISTORY = "/k8s-services/alarm-history[sequence=*]"
APPLICATION = "/system/app-management/application[name=k8s-services]"

STATES = ("down", "degraded", "unknown", "up")
SEVERITIES = ("critical", "major", "minor", "warning")
# Who has to act, in the order of display: what this switch's operator can repair comes first, whatever its state.
OWNERS = ("network", "cluster", "application", "")
ALL = "*"
# Number of rows of each table of things that are not up in the summary, which must fit on one screen.
WORST = 10
NARROW, WIDE = 80, 120
# The source whose last event is updated every ten seconds while the agent runs, and how old that event may become: two
# updates may be late.
SWITCH = "ndk"
UNHEARD = timedelta(seconds=25)
# Reasons that concern a node's BGP session or the routes received over it, and advice for those without a known cause.
SESSION_REASONS = ("session-down", "no-vip-received", "no-neighbor")
ADVICE = {
    "no-vip-received": "its session is up, and no route to its VIPs leads there: show k8s-services vips says why",
    "no-neighbor": "it answers ARP or ND here, but this switch has no BGP neighbor for it: configure one, or set "
    "transit-address if it peers with other routers",
}
# Reason of a next-hop that is not expected, whether it serves or not.
EXTRA = "next-hop-unexpected"
# What an agent that does not run may have left in state.
NOTHING = "nothing is in state"
START = f"Start it with: tools system app-management application {AGENT} start"
# Folder of the documentation that the package installs.
PAGES = "/usr/share/doc/srl-k8s-services/docs"

# Control characters, marks of direction, separators of lines, and characters that do not show.
UNPRINTABLE = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\u00ad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f"
    "\\ufeff\\ufff9-\\ufffb\\U000e0000-\\U000e0fff]"
)

Row = dict[str, str]


# --- reading state ---------------------------------------------------------------------------------------------------


class Unreadable(Exception):
    """Raised if the state of a path cannot be read."""


def read(state: Any, path: str, recursive: bool = False, **keys: str) -> Any:
    """Returns the state at `path`: its own leaves, and with `recursive` everything below it."""
    try:
        return state.server_data_store.get_data(build_path(path, **keys), recursive=recursive)
    except Exception as error:
        # It is a ServerError if the server does not answer; what a path outside of the schema raises is not documented.
        raise Unreadable(str(error) or type(error).__name__) from error


def walk(node: Any, *names: str) -> Iterator[tuple[Any, ...]]:
    """Yields each entry of nested lists and containers with those around it; nothing if the module lacks a name."""
    if not names:
        yield ()
        return
    for child in entries(getattr(node, names[0], None)):
        for below in walk(child, *names[1:]):
            yield (child, *below)


def entries(children: Any) -> Iterator[Any]:
    """Yields the entries of a list, or that of a container, which has no `items` on some releases."""
    if children is None:
        return
    items = getattr(children, "items", None)
    if callable(items):
        yield from items()
    elif children.exists():
        yield children.get()


def leaf(entry: Any, name: str) -> str:
    """Returns a leaf as text; empty if it is absent, or if the module on this switch does not define it."""
    value = getattr(entry, name, None)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return printable(str(value))


def printable(text: str) -> str:
    """Returns text with a blank in place of each character that controls a terminal or the direction of writing.

    The agent writes no such text; but state may be what a crashed or older agent left behind.
    """
    return text if text.isascii() and text.isprintable() else UNPRINTABLE.sub(" ", text)


def number(entry: Any, name: str) -> int:
    """Returns a counter; 0 if it is absent."""
    value = leaf(entry, name)
    return int(value) if value.isdecimal() else 0


def time(entry: Any, name: str) -> str:
    """Returns a date-and-time without the "(2 minutes ago)" that some releases append."""
    return leaf(entry, name).split(" ", 1)[0]


# --- words -----------------------------------------------------------------------------------------------------------


def now() -> datetime:
    """Returns the time of the switch's clock, which the agent uses too."""
    return datetime.now(timezone.utc)


def moment(text: str) -> Optional[datetime]:
    """Returns the time in `text`; None if it is not a time."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def between(start: datetime, end: datetime) -> str:
    """Returns a time span in its two largest units: 12s, 5m3s, 2h5m, 3d4h."""
    seconds = max(int((end - start).total_seconds()), 0)
    for size, unit, rest, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            more = seconds % size // rest
            return f"{seconds // size}{unit}" + (f"{more}{smaller}" if more else "")
    return f"{seconds}s"


def age(text: str) -> str:
    """Returns how long ago the time in `text` was; empty if it is not a time."""
    then = moment(text)
    return between(then, now()) if then else ""


def share(part: str, whole: str) -> str:
    """Returns `part/whole`, such as 2/3; empty if neither is known."""
    return f"{part or '?'}/{whole or '?'}" if part or whole else ""


def rank(word: str, order: Sequence[str]) -> int:
    """Returns the position of `word` in `order`. An unknown word, of a newer agent, comes first so that it is seen."""
    return order.index(word) if word in order else -1


def worst_first(row: Row) -> tuple[Any, ...]:
    """Returns the sort key of a row: by owner, by state, then by names in natural order. What is up comes last."""
    names = (row.get(name, "") for name in ("VIP", "Cluster", "Namespace", "Service", "Node", "Next-hop"))
    owner = rank(row.get("Owner", ""), OWNERS)
    return (row["State"] == "up", owner, rank(row["State"], STATES), *map(natural, names))


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Returns a sort key that puts leaf2 before leaf10, and 10.0.0.9 before 10.0.0.10."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)


# --- freshness: what is known about the agent itself -----------------------------------------------------------------


def application(state: Any) -> Row:
    """Returns the agent's process as app_mgr sees it; empty if that cannot be read."""
    try:
        data = read(state, APPLICATION)
    except Unreadable:
        return {}
    for *_, entry in walk(data, "system", "app_management", "application"):
        return {"State": leaf(entry, "state"), "Since": time(entry, "last_change")}
    return {"State": "not installed", "Since": ""}


def sources(state: Any) -> list[Row]:
    """Returns each source of data and how fresh it is, the stale ones first."""
    rows = [
        {
            "Source": leaf(entry, "name"),
            "State": leaf(entry, "oper_state"),
            "Last event": time(entry, "last_event"),
            "Stale since": time(entry, "stale_since"),
        }
        for *_, entry in walk(read(state, SOURCES), "k8s_services", "summary", "source")
    ]
    return by_freshness(rows)


def notices(process: Row, rows: Sequence[Row]) -> list[str]:
    """Returns why the output may be out of date and, if something is wrong, the command that finds the cause."""
    found = []
    syncing = []
    if process and process["State"] != "running":
        word = process["State"]
        state = {"stopped": word, "": "in no known state"}.get(word, f"in state {word}")
        is_so = f"has been {state} for {age(process['Since'])}" if age(process["Since"]) else f"is {state}"
        found.append(f"the agent {is_so}: {'the data below is from before' if rows else NOTHING}")
    for row in rows:
        if row["State"] == "stale":
            until = f": based on data received until {row['Stale since']}" if row["Stale since"] else ""
            is_stale = f"has been stale for {age(row['Stale since'])}" if age(row["Stale since"]) else "is stale"
            found.append(f"{row['Source']} {is_stale}{until}")
        elif row["State"] == "syncing":
            syncing.append(f"{row['Source']} is syncing: not everything has been read yet")
        elif row["Source"] == SWITCH and (then := moment(row["Last event"])) and now() - then > UNHEARD:
            found.append(f"nothing heard from the agent for {between(then, now())}: the data below is from before")
    if found:
        found.append("to find out why: bash sudo k8s-services doctor")
    return found + syncing


# --- rows: what is shown ---------------------------------------------------------------------------------------------


def cluster_rows(state: Any) -> list[Row]:
    """Returns the clusters, the worst first."""
    rows = [
        {
            "Cluster": leaf(cluster, "name"),
            "State": leaf(cluster, "oper_state"),
            "Network instance": leaf(cluster, "network_instance"),
            "Speaker": leaf(cluster, "speaker"),
            "Services": leaf(cluster, "service_count"),
            "Endpoints": leaf(cluster, "endpoint_count"),
            "Nodes": leaf(cluster, "node_count"),
            "Reason": leaf(cluster, "oper_reason"),
        }
        for _, cluster in walk(read(state, CLUSTERS, cluster=ALL), "k8s_services", "cluster")
    ]
    return by_state(rows)


def verdict(entry: Any) -> Row:
    """Returns the fields that services, VIPs, nodes and next-hops have in common."""
    return {
        "State": leaf(entry, "oper_state"),
        "Reason": leaf(entry, "oper_reason"),
        "Owner": leaf(entry, "owner"),
        "Cause": leaf(entry, "probable_cause"),
    }


def service_rows(state: Any, keys: Row) -> list[Row]:
    """Returns the services, the worst first."""
    rows = [
        {
            "Cluster": leaf(cluster, "name"),
            "Namespace": leaf(service, "namespace"),
            "Service": leaf(service, "name"),
            **verdict(service),
            "Since": time(service, "last_change"),
            "Policy": leaf(service, "external_traffic_policy"),
            "Endpoints": share(leaf(service, "usable_endpoints"), leaf(service, "total_endpoints")),
            "Detail": leaf(service, "oper_detail"),
        }
        for _, cluster, service in walk(read(state, SERVICES, **keys), "k8s_services", "cluster", "service")
    ]
    return by_state(rows)


def vip_row(cluster: Any, service: Any, vip: Any) -> Row:
    """Returns the row of one VIP, without its next-hops."""
    return {
        "Cluster": leaf(cluster, "name"),
        "Namespace": leaf(service, "namespace"),
        "Service": leaf(service, "name"),
        "VIP": leaf(vip, "address"),
        **verdict(vip),
        "Since": time(vip, "last_change"),
        "Installed next-hops": leaf(vip, "installed_next_hops"),
        "Expected next-hops": leaf(vip, "expected_next_hops"),
        "Vantage": leaf(vip, "vantage"),
        "Network instance": leaf(vip, "network_instance"),
        "Prefix": leaf(vip, "prefix"),
        "Route owner": leaf(vip, "route_owner"),
        "Preference": leaf(vip, "preference"),
        "Metric": leaf(vip, "metric"),
        "FIB": leaf(vip, "fib_status"),
        "Announcement": leaf(vip, "announcement"),
        "Detail": leaf(vip, "oper_detail"),
        "Cause detail": leaf(vip, "cause_detail"),
    }


def vip_entries(state: Any, keys: Row, recursive: bool = False) -> Iterator[tuple[Row, Any]]:
    """Yields VIPs as rows, each with its entry in state."""
    data = read(state, VIPS, recursive, **keys)
    for _, cluster, service, vip in walk(data, "k8s_services", "cluster", "service", "vip"):
        yield vip_row(cluster, service, vip), vip


def next_hop_rows(vip: Any) -> list[Row]:
    """Returns the next-hops of a VIP that was read recursively, the worst first."""
    rows = [
        {
            "Next-hop": leaf(hop, "address"),
            "Node": leaf(hop, "node"),
            "Kind": leaf(hop, "kind"),
            "Expected": leaf(hop, "expected"),
            "Installed": leaf(hop, "installed"),
            "Session": leaf(hop, "session_state"),
            "Endpoints": leaf(hop, "usable_endpoints"),
            **verdict(hop),
            "Detail": leaf(hop, "cause_detail"),
        }
        for (hop,) in walk(vip, "next_hop")
    ]
    return by_state(rows)


def node_rows(state: Any, keys: Row) -> list[Row]:
    """Returns the nodes, the worst first. A selected node has a row for each address from which it speaks BGP."""
    one = keys["node"] != ALL
    rows = []
    for _, cluster, node in walk(read(state, NODES, one, **keys), "k8s_services", "cluster", "node"):
        peers = [peer for (peer,) in walk(node, "peer")] if one else []
        rows += [node_row(cluster, node, peer) for peer in peers or [node]]
    return by_state(rows)


def node_row(cluster: Any, node: Any, peer: Any) -> Row:
    """Returns the row of a node for one of its addresses."""
    attached = leaf(peer, "attachment") == "attached"
    return {
        "Cluster": leaf(cluster, "name"),
        "Node": leaf(node, "name"),
        "Address": leaf(peer, "address") or "-",
        "From": leaf(peer, "address_source"),
        "Attachment": leaf(peer, "attachment"),
        "Session": leaf(peer, "session_state"),
        "Changed": time(peer, "session_last_established"),
        "BFD": leaf(peer, "bfd_state"),
        "Port": leaf(peer, "port") or leaf(peer, "subinterface"),
        "Detail": leaf(peer, "cause_detail") or leaf(node, "cause_detail") or ADVICE.get(leaf(node, "oper_reason"), ""),
        # Routes to VIPs of a remote node come through the tunnel to its leaf, not over a session with its own address.
        "VIPs": share(leaf(node, "installed_vips"), leaf(node, "expected_vips")) if attached else "",
        "Sole path of": leaf(node, "sole_path_vips") if attached else "",
        **verdict(node),
    }


def alarm_rows(state: Any) -> list[Row]:
    """Returns active alarms, the most severe first, then the newest."""
    rows = [
        {**alarm_row(alarm), "Last change": time(alarm, "last_change"), "Occurrences": leaf(alarm, "occurrences")}
        for _, alarm in walk(read(state, ALARMS), "k8s_services", "alarm")
    ]
    return by_severity(rows)


def history_rows(state: Any) -> list[Row]:
    """Returns cleared alarms, the newest first."""
    rows = [
        {
            "Sequence": leaf(alarm, "sequence"),
            **alarm_row(alarm),
            "Cleared": time(alarm, "cleared"),
            "Because": leaf(alarm, "cleared_because"),
        }
        for _, alarm in walk(read(state, HISTORY), "k8s_services", "alarm_history")
    ]
    return by_sequence(rows)


def alarm_row(alarm: Any) -> Row:
    """Returns the fields that active and cleared alarms have in common."""
    kind = leaf(alarm, "type")
    return {
        "Severity": leaf(alarm, "severity"),
        "Type": kind,
        "About": leaf(alarm, "id").removeprefix(kind + "/"),
        "Id": leaf(alarm, "id"),
        "Resource": leaf(alarm, "resource"),
        "Raised": time(alarm, "raised"),
        "Owner": leaf(alarm, "owner"),
        "Affected": leaf(alarm, "affected"),
        "Detail": leaf(alarm, "text"),
    }


# --- layout ----------------------------------------------------------------------------------------------------------


class Table:
    """Draws rows under a header, in columns as wide as their content, with lines of `below` under a row.

    `columns` are headers with the functions that return their cells. If the screen is too narrow, the columns in
    `drops` are left out first, then the cells of those in `folds` are folded, and then columns in `spares` are left out.
    """

    def __init__(
        self,
        columns: Sequence[tuple[str, Callable[[Row], str]]],
        folds: Sequence[str] = (),
        below: Callable[[Row], str] = lambda _: "",
        drops: Sequence[str] = (),
        spares: Sequence[str] = (),
    ) -> None:
        self._columns = columns
        self._drops = drops
        self._spares = spares
        self._folds = folds
        self._below = below

    def lines(self, rows: Sequence[Row], width: int) -> Iterator[str]:
        """Yields the lines of the table. No line is longer than `width`, unless a cell cannot be folded."""
        headers = [header for header, _ in self._columns]
        cells = [[say(row) or "-" for _, say in self._columns] for row in rows]
        # Columns without any content are left out.
        kept = [at for at in range(len(headers)) if any(row[at] != "-" for row in cells)]
        headers, cells = [headers[at] for at in kept], [[row[at] for at in kept] for row in cells]
        for name in (*self._drops, *self._spares):
            folds = self._folds if name in self._spares else ()
            if name in headers and table_width(fitted(headers, cells, folds, width)) > width:
                at = headers.index(name)
                headers, *cells = [[*row[:at], *row[at + 1 :]] for row in (headers, *cells)]
        widths = fitted(headers, cells, self._folds, width)
        yield row_line(headers, widths)
        yield "-" * min(table_width(widths), width)
        for row, row_cells in zip(rows, cells):
            yield from folded(row_cells, widths)
            yield from wrapped(self._below(row), width, "    ", "    ")


def fitted(headers: Sequence[str], cells: Sequence[Sequence[str]], folds: Sequence[str], width: int) -> list[int]:
    """Returns the widths of columns: of the longest cell, and less in `folds` while the table is too wide."""
    widths = [max(len(row[at]) for row in (headers, *cells)) for at in range(len(headers))]
    for name in folds:
        over = table_width(widths) - width
        if over > 0 and name in headers:
            at = headers.index(name)
            widths[at] = min(widths[at], max(widths[at] - over, len(name), 12))
    return widths


def table_width(widths: Sequence[int]) -> int:
    """Returns the width of all columns, with two spaces between them."""
    return sum(widths) + 2 * len(widths) - 2


def wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Returns `text` in lines that break only between words, so that names and paths can be copied."""
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def row_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Returns a line of padded cells."""
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()


def folded(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yields the lines of one row, as many as its longest cell needs."""
    parts = [fold(cell, width) for cell, width in zip(cells, widths)]
    for at in range(max(map(len, parts))):
        yield row_line([part[at] if at < len(part) else "" for part in parts], widths)


def fold(cell: str, width: int) -> list[str]:
    """Returns `cell` in pieces of at most `width`, broken after a slash or hyphen if one is near the end."""
    pieces = []
    while len(cell) > width:
        cut = max(cell.rfind(mark, 0, width) for mark in "/-") + 1
        cut = cut if cut > width // 2 else width
        pieces.append(cell[:cut])
        cell = cell[cut:]
    return [*pieces, cell]


def tags(pairs: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    """Yields `Name   : value` lines between rules. Empty values are left out."""
    known = [(name, value) for name, value in pairs if value]
    size = max((len(name) for name, _ in known), default=0)
    yield "-" * width
    for name, value in known:
        head = f"{name.ljust(size)} : "
        yield from wrapped(value, width, head, " " * len(head))
    yield "-" * width


def field(name: str) -> Callable[[Row], str]:
    """Returns the cell function of a column that shows a field."""
    return lambda row: row.get(name, "")


def since(name: str) -> Callable[[Row], str]:
    """Returns the cell function of a column that shows how long ago the time in a field was."""
    return lambda row: age(row.get(name, ""))


def service_name(row: Row) -> str:
    """Returns cluster/namespace/name."""
    return "/".join((row["Cluster"], row["Namespace"], row["Service"]))


def next_hops(row: Row) -> str:
    """Returns the numbers of installed next-hops, of any kind, and of expected ones."""
    return share(row["Installed next-hops"], row["Expected next-hops"])


def affected(row: Row) -> str:
    """Returns how many things an alarm affects; empty if it is one."""
    return row["Affected"] if row.get("Affected", "") not in ("", "0", "1") else ""


def in_route(row: Row) -> str:
    """Returns whether a next-hop is in the route and should be: yes, missing or extra."""
    return {("true", "true"): "yes", ("true", "false"): "missing", ("false", "true"): "extra"}.get(
        (row["Expected"], row["Installed"]), ""
    )


def hop_reason(row: Row) -> str:
    """Returns the reason of a next-hop, unless `extra` already says that one which serves is not expected."""
    return "" if row["State"] == "up" and in_route(row) == "extra" and row["Reason"] == EXTRA else row["Reason"]


def explained(row: Row) -> str:
    """Returns the word of the cause, which has a section in the pages, and its sentence."""
    if row["Cause"]:
        return f"{row['Cause']}: {row['Detail']}" if row["Detail"] else f"cause: {row['Cause']}"
    return row["Detail"]


def down_for(row: Row) -> str:
    """How long a session has been down; since when one that is up lacks something is not known."""
    return age(row["Changed"]) if row["Reason"] == "session-down" else ""


def times(row: Row) -> str:
    """Returns how often an alarm was raised, such as x3; empty if it was once."""
    return f"x{row['Occurrences']}" if row.get("Occurrences", "") not in ("", "0", "1") else ""


def lasted(row: Row) -> str:
    """Returns how long a cleared alarm was active."""
    raised, cleared = moment(row["Raised"]), moment(row["Cleared"])
    return between(raised, cleared) if raised and cleared else ""


SOURCE_TABLE = Table(
    [("Source", field("Source")), ("State", field("State")), ("Last event", since("Last event")),
     ("Stale for", since("Stale since"))],
    folds=["Source"],
)
CLUSTER_TABLE = Table(
    [(name, field(name)) for name in
     ("Cluster", "State", "Network instance", "Speaker", "Services", "Endpoints", "Nodes")],
    folds=["Cluster", "Network instance"],
    below=field("Reason"),
)
SERVICE_TABLE = Table(
    [("Service", service_name), ("State", field("State")), ("Reason", field("Reason")), ("Owner", field("Owner")),
     ("For", since("Since")), ("Policy", field("Policy")), ("Endpoints", field("Endpoints"))],
    folds=["Service"],
    below=field("Detail"),
    spares=["Policy"],
)
VIP_TABLE = Table(
    [("VIP", field("VIP")), ("Service", service_name), ("State", field("State")), ("Reason", field("Reason")),
     ("Owner", field("Owner")), ("For", since("Since")), ("Inst/exp", next_hops), ("Vantage", field("Vantage"))],
    folds=["Service", "VIP"],
    below=field("Detail"),
    drops=["Vantage"],
    spares=["Inst/exp"],
)
NEXT_HOP_TABLE = Table(
    [("Next-hop", field("Next-hop")), ("Node", field("Node")), ("Kind", field("Kind")),
     ("In route", in_route), ("Session", field("Session")), ("Endpoints", field("Endpoints")),
     ("State", field("State")), ("Reason", hop_reason)],
    folds=["Node", "Next-hop"],
    below=explained,
    spares=["Kind"],
)
NODE_TABLE = Table(
    [("Node", lambda row: f"{row['Cluster']}/{row['Node']}"), ("State", field("State")), ("Reason", field("Reason")),
     ("Address", field("Address")), ("Attachment", field("Attachment")), ("Session", field("Session")),
     ("For", since("Changed")), ("Port", field("Port")), ("BFD", field("BFD")),
     ("VIPs", field("VIPs")), ("Sole path of", field("Sole path of"))],
    folds=["Node", "Address"],
    below=explained,
    drops=["Sole path of", "BFD"],
)
SESSION_TABLE = Table(
    [("Node", lambda row: f"{row['Cluster']}/{row['Node']}"), ("Address", field("Address")), ("Reason", field("Reason")),
     ("Session", field("Session")), ("For", down_for), ("Port", field("Port"))],
    folds=["Node", "Address"],
    below=explained,
)
ALARM_TABLE = Table(
    [("Severity", field("Severity")), ("Owner", field("Owner")), ("For", since("Raised")), ("Type", field("Type")),
     ("About", field("About")), ("Affected", affected), ("Times", times)],
    folds=["About"],
    below=field("Detail"),
)
HISTORY_TABLE = Table(
    [("Severity", field("Severity")), ("Owner", field("Owner")), ("Cleared", since("Cleared")), ("Lasted", lasted),
     ("Because", field("Because")), ("Type", field("Type")), ("About", field("About"))],
    folds=["About"],
    below=field("Detail"),
    drops=["Owner"],
)


# --- reports ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Listing:
    """A list of a report: its keys, its other fields, and the order in which it is shown."""

    keys: Sequence[str]
    fields: Sequence[str]
    order: Callable[[Iterable[Row]], list[Row]]

    def fill(self, entries: Any, rows: Iterable[Row]) -> None:
        """Adds `rows` to a list of the CLI's data."""
        for row in rows:
            entry = entries.create(*(row[key] for key in self.keys))
            for name in self.fields:
                if row.get(name):
                    setattr(entry, attribute(name), row[name])

    def rows(self, entries: Any) -> list[Row]:
        """Returns the rows that `fill` added. The CLI does not keep their order, so they are sorted again."""
        names = (*self.keys, *self.fields)
        return self.order({name: leaf(entry, attribute(name)) for name in names} for entry in entries.items())


@dataclass(frozen=True)
class Report:
    """What a command shows: fields and lists for every output format, and a screen of text."""

    fields: Sequence[str]
    lists: dict[str, Listing]
    gather: Callable[[Any, Row, "Found"], None]
    screen: Callable[["Found", int], Iterator[str]]

    def schema(self) -> FixedSchemaRoot:
        """Returns the fields and lists as a schema for the CLI."""
        root = FixedSchemaRoot()
        top = root.add_child(AGENT, fields=["Notice", *self.fields])
        for name, listing in self.lists.items():
            top.add_child(name, keys=list(listing.keys), fields=list(listing.fields))
        return root


@dataclass
class Found:
    """The content of a report: its fields, its lists, and why they may be out of date."""

    head: Row = dataclass_field(default_factory=dict)
    lists: dict[str, list[Row]] = dataclass_field(default_factory=dict)
    notices: list[str] = dataclass_field(default_factory=list)


class Layout(Formatter):
    """Draws a whole report itself, so that tables are as wide as their content and the worst comes first."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def iter_format(self, entry: Any, max_width: int) -> Iterator[str]:
        """Yields the lines of a report. The CLI calls it with the report's container and the width of the terminal."""
        report = self._report
        found = Found(
            head={name: leaf(entry, attribute(name)) for name in report.fields},
            lists={name: listing.rows(getattr(entry, attribute(name))) for name, listing in report.lists.items()},
            notices=[notice for notice in leaf(entry, "notice").split("; ") if notice],
        )
        width = min(max(max_width, NARROW), WIDE)
        for notice in found.notices:
            yield from wrapped(notice, width, "! ", "  ")
        if any(notice.endswith(NOTHING) for notice in found.notices):
            yield START
        else:
            yield from report.screen(found, width)


def attribute(name: str) -> str:
    """Returns the name of a field or list as the CLI has it in Python."""
    return re.sub("[ -]", "_", name).lower()


def by_state(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows sorted by owner and state, the worst first."""
    return sorted(rows, key=worst_first)


def by_severity(rows: Iterable[Row]) -> list[Row]:
    """Returns the alarms, the most severe first, then the newest."""
    newest_first = sorted(rows, key=lambda row: row["Raised"], reverse=True)
    return sorted(newest_first, key=lambda row: rank(row["Severity"], SEVERITIES))


def by_sequence(rows: Iterable[Row]) -> list[Row]:
    """Returns the alarms, the newest first."""
    return sorted(rows, key=lambda row: natural(row["Sequence"]), reverse=True)


def by_freshness(rows: Iterable[Row]) -> list[Row]:
    """Returns the sources, the stale ones first."""
    return sorted(rows, key=lambda row: (rank(row["State"], ("stale", "syncing", "synced")), row["Source"]))


SERVICE_KEYS = ("Cluster", "Namespace", "Service")
VERDICT = ("State", "Reason")
OWNED = (*VERDICT, "Owner", "Cause")
SOURCE_LIST = Listing(["Source"], ["State", "Last event", "Stale since"], by_freshness)
CLUSTER_LIST = Listing(
    ["Cluster"], [*VERDICT, "Network instance", "Speaker", "Services", "Endpoints", "Nodes"], by_state
)
SERVICE_LIST = Listing(SERVICE_KEYS, [*OWNED, "Since", "Policy", "Endpoints", "Detail"], by_state)
VIP_LIST = Listing(
    [*SERVICE_KEYS, "VIP"],
    [*OWNED, "Since", "Installed next-hops", "Expected next-hops", "Vantage", "Network instance", "Prefix",
     "Route owner", "Preference", "Metric", "FIB", "Announcement", "Policy", "Endpoints", "Detail", "Cause detail"],
    by_state,
)
NEXT_HOP_LIST = Listing(
    [*SERVICE_KEYS, "VIP", "Next-hop"],
    [*OWNED, "Node", "Kind", "Expected", "Installed", "Session", "Endpoints", "Detail"],
    by_state,
)
NODE_LIST = Listing(
    ["Cluster", "Node", "Address"],
    [*OWNED, "From", "Attachment", "Session", "Changed", "BFD", "Port", "VIPs", "Sole path of", "Detail"],
    by_state,
)
ALARM = ("Severity", "Owner", "Affected", "Type", "About", "Resource", "Raised", "Detail")
ALARM_LIST = Listing(["Id"], [*ALARM, "Last change", "Occurrences"], by_severity)
HISTORY_LIST = Listing(["Sequence"], ["Id", *ALARM, "Cleared", "Because"], by_sequence)


# --- show k8s-services -----------------------------------------------------------------------------------------------

COUNTS = {
    "Services": "services",
    "VIPs": "vips",
    "Up": "vips_up",
    "Degraded": "vips_degraded",
    "Down": "vips_down",
    "Unknown": "vips_unknown",
    "Critical": "alarms_critical",
    "Major": "alarms_major",
    "Minor": "alarms_minor",
    "Warning": "alarms_warning",
}


def gather_summary(state: Any, _filters: Row, found: Found) -> None:
    """Gathers counts and sessions, and services if the counts show that one of them is not up."""
    for (root,) in walk(read(state, ROOT), "k8s_services"):
        found.head |= {"Version": leaf(root, "version"), **verdict(root)}
    counts = dict.fromkeys(COUNTS, 0)
    for _, summary in walk(read(state, SUMMARY), "k8s_services", "summary"):
        counts = {name: number(summary, counter) for name, counter in COUNTS.items()}
        found.head |= {name: str(count) for name, count in counts.items()}
    found.lists["cluster"] = cluster_rows(state)
    nodes = node_rows(state, dict.fromkeys(("cluster", "node"), ALL))
    # A node can be down although no VIP needs it.
    found.lists["node"] = [row for row in nodes if row["Reason"] in SESSION_REASONS]
    # A service without an address has no VIP that could be counted, but it has an alarm.
    if counts["VIPs"] != counts["Up"] or any(counts[severity.capitalize()] for severity in SEVERITIES):
        found.lists["service"] = not_up(service_rows(state, dict.fromkeys(("cluster", "namespace", "service"), ALL)))


def not_up(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows whose state is not up."""
    return [row for row in rows if row["State"] != "up"]


def draw_summary(found: Found, width: int) -> Iterator[str]:
    """Yields the summary, one screen."""
    head = found.head
    ran = f" for {age(head['Agent since'])}" if age(head["Agent since"]) else ""
    known = (head["State"], head["Agent"] + ran, head["Version"] and f"version {head['Version']}")
    active = any(head[severity.capitalize()] not in ("", "0") for severity in SEVERITIES)
    pairs = [("Agent", ", ".join(part for part in known if part)), ("Reason", head["Reason"])]
    if head["VIPs"]:
        vips = "1 VIP" if head["VIPs"] == "1" else f"{head['VIPs']} VIPs"
        pairs.append(("Services", f"{head['Services']}, with {vips}: {counted(head, STATES)}"))
        pairs.append(("Alarms", counted(head, SEVERITIES) + (f" (show {AGENT} alarms)" if active else "")))
    yield from tags(pairs, width)
    if not found.lists["source"] and not found.lists["cluster"]:
        yield "Nothing is in state: the agent is not running or has only just started."
        yield START
        return
    yield from table_or(SOURCE_TABLE, found.lists["source"], width, "No source is known yet.")
    yield ""
    nothing = "No cluster is configured: set / k8s-services cluster <name> kubeconfig <file>"
    yield from table_or(CLUSTER_TABLE, found.lists["cluster"], width, nothing)
    nodes = found.lists["node"]
    if nodes:
        yield ""
        yield f"BGP sessions that need a look ({len(nodes)}):"
        yield from SESSION_TABLE.lines(nodes[:WORST], width)
    if len(nodes) > WORST:
        yield f"... and {len(nodes) - WORST} more: show k8s-services nodes not-up"
    worst = found.lists["service"]
    if worst:
        yield ""
        yield f"Not up ({len(worst)}), by owner, the worst first:"
        yield from SERVICE_TABLE.lines(worst[:WORST], width)
    if len(worst) > WORST:
        yield f"... and {len(worst) - WORST} more: show k8s-services services not-up"
    if nodes or worst or active or any(row["State"] != "up" for row in found.lists["cluster"]):
        yield from meanings("README.md")


def meanings(page: str) -> Iterator[str]:
    """Where the words above are explained."""
    yield ""
    yield f"Meanings and remedies: {PAGES}/{page}"


def counted(head: Row, words: Sequence[str]) -> str:
    """Returns counts in words, the worst first: `1 down, 0 degraded, ...`."""
    return ", ".join(f"{head[word.capitalize()]} {word}" for word in words)


def table_or(table: Table, rows: Sequence[Row], width: int, nothing: str) -> Iterator[str]:
    """Yields the table, or the sentence `nothing` if there are no rows."""
    yield from table.lines(rows, width) if rows else wrapped(nothing, width)


# --- show k8s-services services | vips | vip | nodes | alarms --------------------------------------------------------


def filtered(rows: Iterable[Row], filters: Row) -> list[Row]:
    """Returns the rows, only those that are not up if `not-up` is given."""
    return not_up(rows) if filters.get("not-up") else list(rows)


def gather_services(state: Any, filters: Row, found: Found) -> None:
    """Gathers the services that match."""
    found.lists["service"] = filtered(service_rows(state, filters), filters)


def gather_vips(state: Any, filters: Row, found: Found) -> None:
    """Gathers the VIPs that match, without their next-hops."""
    found.lists["vip"] = filtered((row for row, _ in vip_entries(state, filters)), filters)


def gather_vip(state: Any, filters: Row, found: Found) -> None:
    """Gathers one VIP, once for each service that has it."""
    found.head |= {"Shown": filters["vip"], "Watched": watched(state)}
    for row, entry in vip_entries(state, filters, recursive=True):
        keys = {"cluster": row["Cluster"], "namespace": row["Namespace"], "service": row["Service"]}
        for service in service_rows(state, keys):
            row |= {"Policy": service["Policy"], "Endpoints": service["Endpoints"]}
        found.lists["vip"].append(row)
        names = {name: row[name] for name in (*SERVICE_KEYS, "VIP")}
        found.lists["next-hop"] += [{**names, **hop} for hop in next_hop_rows(entry)]


def watched(state: Any) -> str:
    """Returns the clusters that this leaf watches, with their filters."""
    clusters = []
    for _, cluster in walk(read(state, CLUSTERS, cluster=ALL), "k8s_services", "cluster"):
        filters = [
            f"{word} {value}"
            for word, value in (
                ("namespace", leaf_list(cluster, "namespace")),
                ("label-selector", leaf(cluster, "label_selector")),
                ("class", leaf(cluster, "load_balancer_class")),
                ("vip-pool", leaf_list(cluster, "vip_pool")),
            )
            if value
        ]
        state_word = leaf(cluster, "oper_state")
        notes = [*filters, *([state_word] if state_word not in ("", "up") else [])]
        clusters.append(leaf(cluster, "name") + (f" ({', '.join(notes)})" if notes else ""))
    return ", ".join(sorted(clusters))


def leaf_list(entry: Any, name: str) -> str:
    """Returns the values of a leaf-list, separated by spaces."""
    values = getattr(entry, name, None)
    if not values:
        return ""
    return printable(values if isinstance(values, str) else " ".join(map(str, values)))


def gather_nodes(state: Any, filters: Row, found: Found) -> None:
    """Gathers the nodes that match."""
    found.lists["node"] = filtered(node_rows(state, filters), filters)


def gather_alarms(state: Any, filters: Row, found: Found) -> None:
    """Gathers active alarms, or cleared ones if `history` is given."""
    if filters.get("history"):
        found.lists["history"] = history_rows(state)
        found.head["Shown"] = "history"
    else:
        found.lists["alarm"] = alarm_rows(state)
        found.head["Shown"] = "active"


def explained_rows(table: Table, rows: Sequence[Row], width: int, nothing: str) -> Iterator[str]:
    """Yields a table, and where the words under `Reason` are explained."""
    yield from table_or(table, rows, width, nothing)
    if any(row["Reason"] for row in rows):
        yield from meanings("reasons/<reason>.md")


def draw_services(found: Found, width: int) -> Iterator[str]:
    """Yields a table of services."""
    yield from explained_rows(SERVICE_TABLE, found.lists["service"], width, "No such service.")


def draw_vips(found: Found, width: int) -> Iterator[str]:
    """Yields a table of VIPs."""
    yield from explained_rows(VIP_TABLE, found.lists["vip"], width, "No such VIP.")


def draw_vip(found: Found, width: int) -> Iterator[str]:
    """Yields the VIP as each service has it, and its next-hops."""
    if not found.lists["vip"]:
        yield from not_found(found.head, width)
    for row in found.lists["vip"]:
        yield from tags(vip_tags(row), width)
        same = [without_what_is_said(hop, row) for hop in found.lists["next-hop"] if service_name(hop) == service_name(row)]
        yield from table_or(NEXT_HOP_TABLE, same, width, "No next-hop is expected or installed.")


def without_what_is_said(hop: Row, vip: Row) -> Row:
    """Returns a next-hop without its sentence if that of its VIP contains it."""
    return {**hop, "Detail": "" if hop["Detail"] in vip["Detail"] else hop["Detail"]}


def not_found(head: Row, width: int) -> Iterator[str]:
    """Yields what can be said about an address that no service has."""
    yield f"No service has the VIP {head['Shown']} here."
    clusters = head["Watched"]
    yield from wrapped(f"Clusters watched by this leaf: {clusters or 'none'}", width)
    if clusters:
        yield "Services that wait for an address: show k8s-services services not-up"


def vip_tags(row: Row) -> Iterator[tuple[str, str]]:
    """Yields names and values of what is shown about a VIP."""
    yield "VIP", row["VIP"] + (f" in {row['Network instance']}" if row["Network instance"] else "")
    policy = f"policy {row['Policy']}, " if row["Policy"] else ""
    endpoints = f"{row['Endpoints']} endpoints usable" if row["Endpoints"] else "endpoints unknown"
    yield "Service", f"{service_name(row)} ({policy}{endpoints})"
    since_then = f"for {age(row['Since'])}, since {row['Since']}" if age(row["Since"]) else ""
    yield "State", ", ".join(part for part in (row["State"], row["Reason"], since_then) if part)
    yield "Owner", row["Owner"]
    yield "Detail", row["Detail"]
    # If the detail already contains that of the cause, it is not repeated.
    new = row["Cause detail"] not in row["Detail"]
    yield "Cause", ": ".join(part for part in (row["Cause"], row["Cause detail"] if new else "") if part)
    route = [row["Prefix"], row["Route owner"]]
    route += [f"{name.lower()} {row[name]}" for name in ("Preference", "Metric") if row[name]]
    route += [f"FIB {row['FIB']}"] if row["FIB"] else []
    yield "Route", ", ".join(part for part in route if part) if row["Prefix"] else "none"
    yield "Vantage", row["Vantage"]
    yield "Page", f"{PAGES}/reasons/{row['Reason']}.md" if row["Reason"] else ""
    counts = {word: row[f"{word} next-hops"] for word in ("Installed", "Expected")}
    yield "Next-hops", ", ".join(f"{count} {word.lower()}" for word, count in counts.items() if count)


def draw_nodes(found: Found, width: int) -> Iterator[str]:
    """Yields a table of nodes."""
    yield from explained_rows(NODE_TABLE, found.lists["node"], width, "No such node.")


def draw_alarms(found: Found, width: int) -> Iterator[str]:
    """Yields a table of active or cleared alarms."""
    if found.head["Shown"] == "history":
        yield from table_or(HISTORY_TABLE, found.lists["history"], width, "No alarm has been cleared.")
    else:
        yield from table_or(ALARM_TABLE, found.lists["alarm"], width, "No active alarm.")
        if found.lists["alarm"]:
            yield from meanings("alarms/<type>.md")


# --- show k8s-services impact ----------------------------------------------------------------------------------------

# What can be lost, the narrowest first. The agent publishes the state without a node or port only if that loss takes
# more with it than the narrower one.
LOSSES = ("session", "node", "port")


def by_impact(rows: Iterable[Row]) -> list[Row]:
    """Returns the losses, those with the most VIPs down first."""
    return sorted(rows, key=lambda row: (*(-int(row[word.capitalize()]) for word in STATES[:2]), natural(row["Lost"])))


def by_without(rows: Iterable[Row]) -> list[Row]:
    """Returns the VIPs, those that would be worst first."""
    return sorted(by_state(rows), key=lambda row: rank(row["Without"], STATES))


LOSS_TABLE = Table(
    [("Without", field("Lost")), ("Session", field("Session")), ("Port", field("Port")),
     *((word.capitalize(), field(word.capitalize())) for word in STATES)],
    folds=["Without", "Session"],
)
IMPACT_TABLE = Table(
    [("VIP", field("VIP")), ("Service", service_name), ("State", field("State")), ("Without", field("Without"))],
    folds=["Service", "VIP"],
)
LOSS_LIST = Listing(["Lost"], ["Session", "Port", *(word.capitalize() for word in STATES)], by_impact)
IMPACT_LIST = Listing([*SERVICE_KEYS, "VIP"], ["State", "Without"], by_without)


def state_without(hop: Any, loss: str) -> str:
    """Returns a VIP's state without a next-hop's session, node or port; empty if it does not depend on it here."""
    names = LOSSES[: LOSSES.index(loss) + 1]
    return next((word for name in reversed(names) if (word := leaf(hop, f"state_without_{name}"))), "")


def places(state: Any) -> list[Row]:
    """Returns each address from which a node speaks BGP, with its node and port."""
    keys = dict.fromkeys(PATHS, ALL)
    return [
        {
            "Cluster": leaf(cluster, "name"),
            "Node": leaf(node, "name"),
            "Address": leaf(peer, "address"),
            "Port": leaf(peer, "port"),
        }
        for _, cluster, node in walk(read(state, NODES, True, **keys), "k8s_services", "cluster", "node")
        for (peer,) in walk(node, "peer")
    ]


def losses(row: Row, hop: Any, known: Sequence[Row]) -> Row:
    """Returns what a next-hop depends on: its node, its session and its port, as far as they are known."""
    own = [place for place in known if (place["Cluster"], place["Node"]) == (row["Cluster"], leaf(hop, "node"))]
    same = [place for place in own if ":" in place["Address"]] if ":" in row["VIP"] else own
    by = next((place for place in own if place["Address"] == leaf(hop, "address")), (same or own or [{}])[0])
    return {"node": leaf(hop, "node"), "session": by.get("Address", ""), "port": by.get("Port", "")}


def gather_impact(state: Any, filters: Row, found: Found) -> None:
    """Gathers VIPs that use a named session, node or port; without a name, how many use each node and shared port."""
    named = [loss for loss in LOSSES if filters[loss] != ALL]
    if len(named) > 1:
        raise ValueError(f"name one of {', '.join(LOSSES)}, not {' and '.join(named)}")
    known = places(state)
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row, entry in vip_entries(state, dict.fromkeys(PATHS, ALL), recursive=True):
        without = {
            (loss, name if loss != "node" else f"{row['Cluster']}/{name}"): state_without(hop, loss)
            for (hop,) in walk(entry, "next_hop")
            for loss, name in losses(row, hop, known).items()
            if name and state_without(hop, loss)
        }
        for (loss, name), word in without.items():
            counts.setdefault((loss, name), dict.fromkeys(STATES, 0))[word] += 1
            if [loss] == named and filters[loss] in (name, name.partition("/")[2] if loss == "node" else name):
                found.lists["vip"].append({**row, "Without": word})
    if named:
        found.head["Shown"] = f"{named[0]} {filters[named[0]]}"
    else:
        found.lists["loss"] = [loss_row(loss, name, count, known) for (loss, name), count in counts.items()
                               if loss == "node" or loss == "port" and len(nodes_at(name, known)) > 1]


def nodes_at(port: str, known: Sequence[Row]) -> set[tuple[str, str]]:
    """Returns the nodes that are connected to a port."""
    return {(place["Cluster"], place["Node"]) for place in known if place["Port"] == port}


def loss_row(loss: str, name: str, count: dict[str, int], known: Sequence[Row]) -> Row:
    """Returns how many VIPs would be in which state without a node or a port."""
    own = [place for place in known if f"{place['Cluster']}/{place['Node']}" == name] if loss == "node" else []
    return {
        "Lost": f"{loss} {name}",
        "Session": ", ".join(place["Address"] for place in own),
        "Port": ", ".join(sorted({place["Port"] for place in own if place["Port"]})),
        **{word.capitalize(): str(count[word]) for word in STATES},
    }


def draw_impact(found: Found, width: int) -> Iterator[str]:
    """Yields a table of losses, or of VIPs that would not be up."""
    shown = found.head["Shown"]
    if not shown:
        yield from table_or(LOSS_TABLE, found.lists["loss"], width, "No VIP uses a node of this leaf.")
        return
    rows = found.lists["vip"]
    words = ", ".join(f"{sum(row['Without'] == word for row in rows)} {word}" for word in STATES)
    yield f"VIPs that use {shown}, as they would be without it: {words}"
    worse = [row for row in rows if row["Without"] != "up"]
    yield from table_or(IMPACT_TABLE, worse, width, f"No VIP would suffer without {shown}.")


SUMMARY_REPORT = Report(
    ["Agent", "Agent since", "Version", *VERDICT, *COUNTS],
    {"source": SOURCE_LIST, "cluster": CLUSTER_LIST, "node": NODE_LIST, "service": SERVICE_LIST},
    gather_summary,
    draw_summary,
)
SERVICES_REPORT = Report([], {"service": SERVICE_LIST}, gather_services, draw_services)
VIPS_REPORT = Report([], {"vip": VIP_LIST}, gather_vips, draw_vips)
VIP_REPORT = Report(["Shown", "Watched"], {"vip": VIP_LIST, "next-hop": NEXT_HOP_LIST}, gather_vip, draw_vip)
NODES_REPORT = Report([], {"node": NODE_LIST}, gather_nodes, draw_nodes)
IMPACT_REPORT = Report(["Shown"], {"loss": LOSS_LIST, "vip": IMPACT_LIST}, gather_impact, draw_impact)
ALARMS_REPORT = Report(["Shown"], {"alarm": ALARM_LIST, "history": HISTORY_LIST}, gather_alarms, draw_alarms)


def gather(report: Report, state: Any, filters: Row) -> Found:
    """Returns the content of a report, with notices if it may be out of date."""
    found = Found(head=dict.fromkeys(report.fields, ""), lists={name: [] for name in report.lists})
    process, known = application(state), sources(state)
    found.notices = notices(process, known)
    if "source" in report.lists:
        found.lists["source"] = known
        found.head |= {"Agent": process.get("State", "unknown"), "Agent since": process.get("Since", "")}
    report.gather(state, filters, found)
    return found


def fill(report: Report, schema: Any, found: Found) -> Data:
    """Returns a report as data of the CLI, which prints it as text, JSON, YAML or a table."""
    data = Data(schema)
    top = getattr(data, attribute(AGENT)).create()
    for name, value in {**found.head, "Notice": "; ".join(found.notices)}.items():
        if value:
            setattr(top, attribute(name), value)
    for name, listing in report.lists.items():
        listing.fill(getattr(top, attribute(name)), found.lists[name])
    data.set_formatter(f"/{AGENT}", Layout(report))
    return data


# --- commands --------------------------------------------------------------------------------------------------------

HELP = {
    "cluster": "Only this cluster",
    "namespace": "Only this Kubernetes namespace",
    "service": "Only services of this name",
    "vip": "Only this address",
    "node": "Only this node, with every address it speaks BGP from",
    "not-up": "Only what is not up",
    "session": "Only this address that a node speaks BGP from",
    "port": "Only this port",
    "history": "Alarms that have been cleared, the newest first",
}
PATHS = {
    "cluster": CLUSTERS, "namespace": SERVICES, "service": SERVICES, "vip": VIPS, "node": NODES, "session": SESSIONS,
    "port": "/interface[name={port}]",
}
SERVICE_FILTERS = ("cluster", "namespace", "service")


@dataclass(frozen=True)
class Command:
    """A command, `show k8s-services` or one below it, with its arguments."""

    name: str
    help: str
    report: Report
    filters: Sequence[str] = ()
    flags: Sequence[str] = ()
    required: Sequence[str] = ()

    def syntax(self) -> Syntax:
        """Returns the syntax of the command for the CLI. Values are completed from state."""
        syntax = Syntax(self.name, help=self.help)
        for name in self.required:
            syntax.add_unnamed_argument(name, help=HELP[name], suggestions=completer(name))
        for name in self.filters:
            syntax.add_named_argument(name, default=ALL, help=HELP[name], suggestions=completer(name))
        for name in self.flags:
            syntax.add_boolean_argument(name, help=HELP[name])
        return syntax

    def asked(self, arguments: Any) -> Row:
        """Returns what a command line selects: a value or ALL for each filter, and the flags that are given."""
        given = {name: str(arguments.get(name)) for name in self.required}
        given |= {name: str(arguments.get_or(name, ALL)) for name in self.filters}
        given |= {name: "yes" for name in self.flags if arguments.get_or(name, False)}
        for name in ("vip", "session"):
            if given.get(name, ALL) != ALL:
                given[name] = canonical(given[name])
        return dict.fromkeys(PATHS, ALL) | given

    def run(self, state: Any, output: Any, arguments: Any, **_kwargs: Any) -> None:
        """Runs the command. The CLI also calls `show k8s-services` on the way to the commands below it."""
        if state.is_intermediate_command:
            return
        try:
            found = gather(self.report, state, self.asked(arguments))
        except ValueError as error:
            output.print_error_line(str(error))
        except Unreadable as error:
            output.print_error_line(f"No answer for {ROOT}: {error}")
            output.print_error_line("Does the agent run? show system application k8s-services")
        else:
            output.print_data(fill(self.report, arguments.schema, found))


TOP = Command(AGENT, "Show whether Kubernetes VIPs are reached from this switch, and why not", SUMMARY_REPORT)
COMMANDS = (
    Command("services", "Show services, the worst first", SERVICES_REPORT, SERVICE_FILTERS, ("not-up",)),
    Command("vips", "Show VIPs, the worst first", VIPS_REPORT, (*SERVICE_FILTERS, "vip"), ("not-up",)),
    Command("vip", "Show all about one VIP, next-hop by next-hop", VIP_REPORT, required=("vip",)),
    Command("nodes", "Show nodes that announce VIPs, the worst first", NODES_REPORT, ("cluster", "node"), ("not-up",)),
    Command("impact", "Show which VIPs would not be up without a node, a session or a port", IMPACT_REPORT, LOSSES),
    Command("alarms", "Show active alarms, the most severe first", ALARMS_REPORT, flags=("history",)),
)


class Plugin(CliPlugin):
    """Adds `show k8s-services`."""

    def load(self, cli: Any, **_kwargs: Any) -> None:
        """Adds the commands. The CLI calls it when a session starts."""
        top = cli.show_mode.add_command(TOP.syntax(), schema=TOP.report.schema(), callback=TOP.run)
        for command in COMMANDS:
            top.add_command(
                command.syntax(), update_location=False, schema=command.report.schema(), callback=command.run
            )


def completer(name: str) -> Optional[KeyCompleter]:
    """Returns a completer of a filter's values from state; None if this release does not accept the path."""
    try:
        return KeyCompleter(path=PATHS[name].format_map(dict.fromkeys(PATHS, ALL)))
    except Exception:
        return None


def canonical(address: str) -> str:
    """Returns an address in the form of the state: 2001:DB8::0:1 as 2001:db8::1."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        raise ValueError(f"'{address}' is not an IP address") from None
