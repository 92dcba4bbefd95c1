#!/usr/bin/env python3
"""Types `show k8s-services ...` where no SR Linux CLI is: on a leaf of a running lab, or on a recorded state.

    show.py --run target/lab/anycast-metallb leaf1 show k8s-services vips not-up
    show.py broken show k8s-services
    show.py broken 'show k8s-services alarms | as json'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import record  # noqa: E402
from session import ParsingError, Session, load_plugin, recorded, recorded_at  # noqa: E402


def main(arguments: list[str]) -> int:
    """Where, then the line."""
    run = None
    if arguments[:1] == ["--run"] and len(arguments) > 1:
        run, arguments = Path(arguments[1]).resolve(), arguments[2:]
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    where, line = arguments[0], " ".join(arguments[1:])
    line, _, after = (part.strip() for part in line.partition("|"))
    plugin = load_plugin()
    if run:
        content = record.state(run, where)
    else:
        content = recorded(where)
        plugin.now = lambda: recorded_at(content)
    try:
        session = Session(plugin, content)
        print(json.dumps(session.json(line), indent=2) if after == "as json" else session.text(line))
    except ParsingError as error:
        print(f"Parsing error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
