# What SR Linux's SNMP framework offers to scripts as `utilities`, as far as the trap script uses it. Runs under
# MicroPython.

forced = False


def process_snmp_info(info):
    # The framework's own helper reads the general part of the request and fails without it.
    global forced
    forced = bool(info["_forced_"]) if "_forced_" in info else False


def is_forced_simulated_trap():
    return forced
