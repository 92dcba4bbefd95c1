###########################################################################
# Alarms of k8s-services as SNMP traps, for SR Linux's SNMP framework.
#
# The framework runs this script under MicroPython when a trigger of k8s_services_traps.yaml changes. It calls snmp_main
# with the changes and the changed entry as JSON, and sends the traps that snmp_main returns. If a trap cannot be made,
# the script prints a line on the console (/tmp/snmp_debug/<network-instance>/*.console when debug is on). No exception
# reaches the framework.
###########################################################################

import json
from collections import OrderedDict

try:
    import utilities
except ImportError:  # without the framework's helpers, traps still work, but `force` does not
    utilities = None

# Objects of the traps, each with the YANG leaf of its value, in the MIB's order. This is a list because dictionaries of
# MicroPython are not ordered.
COMMON = [
    ("k8sServicesAlarmId", "id"),
    ("k8sServicesAlarmType", "type"),
    ("k8sServicesAlarmSeverity", "severity"),
    ("k8sServicesAlarmResource", "resource"),
    ("k8sServicesAlarmText", "text"),
    ("k8sServicesAlarmRaisedTime", "raised"),
    ("k8sServicesAlarmOwner", "owner"),
    ("k8sServicesAlarmAffected", "affected"),
]
# By trap: the list below /k8s-services, its key, and the trap's objects.
TRAPS = {
    "k8sServicesAlarmRaised": ("alarm", "id", COMMON + [("k8sServicesAlarmOccurrences", "occurrences")]),
    "k8sServicesAlarmCleared": ("alarm-history", "sequence", COMMON
        + [("k8sServicesAlarmClearedTime", "cleared"), ("k8sServicesAlarmClearedBecause", "cleared-because")]),
}

# X.733 perceived severities, numbered as in ItuPerceivedSeverity (RFC 3877); 2 is indeterminate.
SEVERITIES = {"critical": 3, "major": 4, "minor": 5, "warning": 6}
INDETERMINATE = 2
# Maximum size of K8sServicesText in the MIB.
TEXT_BYTES = 512


def snmp_main(in_json_str: str) -> str:
    """Returns the traps for a request of the framework, as JSON. The list is empty if there is nothing to send."""
    traps = []
    try:
        request = json.loads(in_json_str)
        if not isinstance(request, dict):
            raise ValueError("not an object")
        forced = is_forced(request.get("_snmp_info_"))
        for event in objects(request.get("_trap_info_")):
            trap = make_trap(event, request, forced)
            if trap is not None:
                traps.append(trap)
    except Exception as error:
        print("k8s-services traps: input not understood: {}".format(error))
    return json.dumps({"traps": traps})


def is_forced(info) -> bool:
    """Returns whether an operator asked for the trap with `tools system snmp trap <name> force ...`."""
    if utilities is None:
        return False
    try:
        utilities.process_snmp_info(info)
        return bool(utilities.is_forced_simulated_trap())
    except Exception as error:
        print("k8s-services traps: helpers failed: {}".format(error))
        return False


def make_trap(event: dict, request: dict, forced: bool):
    """Returns the trap for one trigger, or None if there is nothing to send."""
    name = event.get("name")
    if name not in TRAPS:
        print("k8s-services traps: unknown trap {}".format(name))
        return None
    # A deleted entry has no new value. An active alarm is deleted when it clears, which has a trap of its own. An entry
    # of the history is deleted to make room.
    if not event.get("new-value") and not forced:
        return None
    list_name, key, leaves = TRAPS[name]
    wanted = key_of(event.get("xpath"), list_name, key)
    entry = find(request, list_name, key, wanted)
    if entry is None:
        if not forced or wanted is None:
            print("k8s-services traps: {}: no entry {}".format(name, wanted))
            return None
        entry = {"id": wanted, "text": "test of the trap, by hand"}
    return OrderedDict([("trap", name), ("indexes", {}), ("objects", bindings(entry, leaves))])


def bindings(entry: dict, leaves: list) -> dict:
    """Returns all objects of the trap. Receivers expect every one, so an absent leaf becomes an empty text or 0."""
    values = OrderedDict()
    for name, leaf in leaves:
        value = entry.get(leaf)
        if leaf == "severity":
            values[name] = SEVERITIES.get(value, INDETERMINATE)
        elif leaf in ("occurrences", "affected"):
            values[name] = count(value)
        else:
            # Some sources of state append "(2 minutes ago)" to times.
            text = "" if value is None else str(value)
            values[name] = text.split(" ")[0] if leaf in ("raised", "cleared") else cut(text)
    return values


def cut(text: str) -> str:
    """Returns the text, shortened between characters if it is too long for an object of the MIB."""
    whole = text.encode()
    if len(whole) <= TEXT_BYTES:
        return text
    end = TEXT_BYTES - 3
    # A byte 10xxxxxx continues a character.
    while whole[end] & 0xC0 == 0x80:
        end -= 1
    return whole[:end].decode() + "..."


def count(value) -> int:
    """Returns a counter, which is a number or a text; 0 if it is neither."""
    try:
        return max(int(value), 0)
    except (TypeError, ValueError):
        return 0


def find(request: dict, list_name: str, key: str, wanted):
    """Returns the entry of /k8s-services/<list_name> whose key has the wanted value, or None."""
    root = member(request, "k8s-services")
    entries = member(root, list_name) if isinstance(root, dict) else None
    if isinstance(entries, dict):
        entries = [entries]
    for entry in objects(entries):
        if wanted is not None and str(entry.get(key)) == wanted:
            return entry
    return None


def member(node: dict, name: str):
    """Returns the member with this name, with or without a module prefix, or None."""
    return node.get(name, node.get("k8s-services:" + name))


def objects(values) -> list:
    """Returns the objects in a list; an empty list if the value is not a list."""
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def key_of(xpath, list_name: str, key: str):
    """Returns the value of `key` in .../<list_name>[<key>=<value>]/..., or None. `\\` escapes `]` and itself."""
    if not isinstance(xpath, str):
        return None
    start = "/" + list_name + "[" + key + "="
    at = xpath.find(start)
    if at < 0:
        return None
    value = ""
    at += len(start)
    while at < len(xpath) and xpath[at] != "]":
        if xpath[at] == "\\" and at + 1 < len(xpath):
            at += 1
        value += xpath[at]
        at += 1
    return unquoted(value) if at < len(xpath) else None


def unquoted(value: str) -> str:
    """Returns the value without the quotes that some releases put around key values."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
