"""Calls pygnmi, once per line of input: pygnmi_calls.py ADDRESS USER PASSWORD

Reads {"call": ..., "arguments": {...}} and prints {"answer": ...} or {"refused": {"code": ..., "message": ...}}.
`subscribe` opens a subscription, `next` returns its next message. The program ends at the end of its input.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from typing import Any

import grpc
from pygnmi.client import gNMIclient, gNMIException

# Refusals are in the answers. Without this, pygnmi and the thread of a subscription would also print them to stderr.
logging.disable()
threading.excepthook = lambda _: None


class Calls:
    """The calls that are possible, on one connection."""

    def __init__(self, client: gNMIclient) -> None:
        self.client = client
        self.subscription: Any = None

    def capabilities(self) -> Any:
        return self.client.capabilities()

    def get(self, **arguments: Any) -> Any:
        return self.client.get(**arguments)

    def set(self, **arguments: Any) -> Any:
        for operation in ("update", "replace"):
            if operation in arguments:
                arguments[operation] = [tuple(pair) for pair in arguments[operation]]
        return self.client.set(**arguments)

    def subscribe(self, **arguments: Any) -> Any:
        self.subscription = self.client.subscribe2(**arguments)

    def next(self, timeout: float) -> Any:
        try:
            return self.subscription.get_update(timeout)
        except TimeoutError:
            raise self.subscription.error or TimeoutError("nothing was told in time") from None


def refusal(error: BaseException) -> dict[str, str]:
    """Returns code and message of a failed call: those of gRPC if the server refused it."""
    cause = getattr(error, "orig_exc", None) or error
    if isinstance(cause, grpc.RpcError):
        return {"code": cause.code().name, "message": cause.details()}
    return {"code": type(error).__name__, "message": str(error)}


def answer(calls: Calls, asked: dict[str, Any]) -> dict[str, Any]:
    """Returns the answer to a call."""
    try:
        return {"answer": getattr(calls, asked["call"])(**asked["arguments"])}
    except (gNMIException, grpc.RpcError, TimeoutError, ValueError) as error:
        return {"refused": refusal(error)}


def main() -> None:
    address, user, password = sys.argv[1:]
    try:
        # connect() requests the capabilities immediately.
        client = gNMIclient(target=tuple(address.rsplit(":", 1)), username=user, password=password, insecure=True).connect()
    except gNMIException as error:
        print(json.dumps({"refused": refusal(error)}), flush=True)
        return
    calls = Calls(client)
    for line in sys.stdin:
        print(json.dumps(answer(calls, json.loads(line))), flush=True)
    # A normal exit would wait for pygnmi's threads, which wait for messages that will not come.
    os._exit(0)


if __name__ == "__main__":
    main()
