#!/usr/bin/env python3
"""Runs `show k8s-services ...` on a recorded state. For a leaf of a running lab, use `srl-sim cli`.

    show.py broken show k8s-services
    show.py broken 'show k8s-services alarms | as json'
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

from session import ParsingError, Session, load_plugin, recorded, recorded_at  # noqa: E402


def main(arguments: list[str]) -> int:
    """Runs a command line on a state. The arguments are the state's name and the line."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    line, _, after = (part.strip() for part in " ".join(arguments[1:]).partition("|"))
    plugin = load_plugin()
    try:
        content = recorded(arguments[0])
    except FileNotFoundError as error:
        print(f"no state is recorded as {arguments[0]}: {error.filename}", file=sys.stderr)
        return 1
    plugin.now = lambda: recorded_at(content)
    try:
        session = Session(plugin, content)
        print(json.dumps(session.json(line), indent=2) if after == "as json" else session.text(line))
    except ParsingError as error:
        print(f"Parsing error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    # If the reader ends early, as head does, this program ends without an error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
