# Stand-in for module `utilities` of SR Linux's SNMP framework, as far as the trap script uses it. It must run under
# MicroPython.

forced = False


def process_snmp_info(info):
    # Like the framework's helper, this fails if the request has no general part.
    global forced
    forced = bool(info["_forced_"]) if "_forced_" in info else False


def is_forced_simulated_trap():
    return forced
