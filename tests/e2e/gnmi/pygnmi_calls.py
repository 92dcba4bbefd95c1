"""pygnmi, one call a line: pygnmi_calls.py ADDRESS USER PASSWORD

Reads {"call": ..., "arguments": {...}} and answers each with {"answer": ...} or {"refused": {"code": ..., "message": ...}}.
`subscribe` opens a subscription, `next` returns its next message. Ends with its input.
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

# Refusals are part of the answer. pygnmi, and the thread of a subscription, would also report them on stderr.
logging.disable()
threading.excepthook = lambda _: None


class Calls:
    """What can be called, on one connection."""

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
    """What a call failed with: gRPC's word, where it was the server's."""
    cause = getattr(error, "orig_exc", None) or error
    if isinstance(cause, grpc.RpcError):
        return {"code": cause.code().name, "message": cause.details()}
    return {"code": type(error).__name__, "message": str(error)}


def answer(calls: Calls, asked: dict[str, Any]) -> dict[str, Any]:
    """What a call gives."""
    try:
        return {"answer": getattr(calls, asked["call"])(**asked["arguments"])}
    except (gNMIException, grpc.RpcError, TimeoutError, ValueError) as error:
        return {"refused": refusal(error)}


def main() -> None:
    address, user, password = sys.argv[1:]
    try:
        # The client asks for the capabilities immediately.
        client = gNMIclient(target=tuple(address.rsplit(":", 1)), username=user, password=password, insecure=True).connect()
    except gNMIException as error:
        print(json.dumps({"refused": refusal(error)}), flush=True)
        return
    calls = Calls(client)
    for line in sys.stdin:
        print(json.dumps(answer(calls, json.loads(line))), flush=True)
    # pygnmi's threads wait for messages that nobody sends any longer.
    os._exit(0)


if __name__ == "__main__":
    main()
