"""A minimal NDK server for the agent, on Nokia's own bindings, so that one side of the protocol is third-party code.

    ndk_server.py SOCKET

It reads what the switch has as lines of JSON, and prints what the agent does in the same form:

    in   {"commit": [{"path": ".k8s_services", "json": {...}}]}      without json, the path is deleted
         {"instance": "ip-vrf-1"}
         {"app": {"id": 7, "name": "bgp_mgr"}}
         {"group": {"id": 3, "addresses": ["192.168.1.11"]}}         without addresses, it is deleted
         {"route": {"instance": "ip-vrf-1", "prefix": "1.1.1.100/32", "group": 3, "owner": 7}}    same without group
         {"streams": "end"}
    out  {"registered": {...}} {"unregistered": true} {"subscribed": "route"}
         {"acknowledged": [{"path": ..., "error": ...}]}
         {"update": PATH, "json": {...}} {"delete": PATH}
"""

import ipaddress
import itertools
import json
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from ndk import config_service_pb2 as config
from ndk import config_service_pb2_grpc as config_grpc
from ndk import sdk_common_pb2 as common
from ndk import sdk_service_pb2 as sdk
from ndk import sdk_service_pb2_grpc as sdk_grpc
from ndk import telemetry_service_pb2 as telemetry
from ndk import telemetry_service_pb2_grpc as telemetry_grpc

AGENT = "k8s-services"
SUCCESS, FAILED = common.SDK_MGR_STATUS_SUCCESS, common.SDK_MGR_STATUS_FAILED
SET, DELETE = common.SDK_MGR_OPERATION_CREATE_OR_UPDATE, common.SDK_MGR_OPERATION_DELETE
Register = sdk.NotificationRegisterRequest


SAYING = threading.Lock()


def say(**what):
    """Prints a line. Lines of different threads do not mix."""
    with SAYING:
        print(json.dumps(what), flush=True)


class Stream:
    """A notification stream, with its subscriptions and the messages that it has not sent yet."""

    def __init__(self):
        self.subscriptions = set()
        self.untold = queue.Queue()


class Switch:
    """What the switch has, and the streams that it informs."""

    def __init__(self):
        self.lock = threading.Lock()
        self.registered = False
        self.rows = {}
        self.configuration = {}
        self.commits = itertools.count(1)
        self.ids = itertools.count(1)
        self.streams = {}

    def change(self, kind, key, notification, stands):
        """Keeps or removes a row, and informs the streams that are subscribed to its kind."""
        with self.lock:
            if stands:
                self.rows[kind, key] = notification
            else:
                self.rows.pop((kind, key), None)
            self.tell(kind, [notification])

    def commit(self, nodes):
        """Delivers configuration as one commit."""
        with self.lock:
            told = []
            for node in nodes:
                if "json" in node:
                    self.configuration[node["path"]] = node["json"]
                else:
                    self.configuration.pop(node["path"], None)
                told.append(config_node(node["path"], node.get("json")))
            self.tell("config", [*told, end_of_commit(next(self.commits))])

    def tell(self, kind, notifications):
        for stream in self.streams.values():
            if kind in stream.subscriptions:
                stream.untold.put(sdk.NotificationStreamResponse(notifications=notifications))

    def subscribe(self, stream, kind):
        """Adds a subscription and sends it all existing rows. Existing configuration ends with commit 0."""
        rows = [row for (of, _), row in self.rows.items() if of == kind]
        if kind == "config":
            rows = [config_node(path, content) for path, content in self.configuration.items()] + [end_of_commit(0)]
        stream.subscriptions.add(kind)
        if rows:
            stream.untold.put(sdk.NotificationStreamResponse(notifications=rows))

    def end_streams(self):
        with self.lock:
            for stream in self.streams.values():
                stream.untold.put(None)


def config_node(path, content):
    notification = config.ConfigNotification(op=DELETE if content is None else SET)
    notification.key.js_path = path.split("{")[0]
    notification.key.js_path_with_keys = path
    if content is not None:
        notification.data.json = json.dumps(content, indent=2) + "\n"
    return sdk.Notification(config=notification)


def end_of_commit(number):
    return config_node(".commit.end", {"commit_seq": number})


def fill_address(message, text):
    message.ip_address = ipaddress.ip_address(text).packed


class Manager(sdk_grpc.SdkMgrServiceServicer):
    """Serves registration and subscriptions."""

    def __init__(self, switch):
        self.switch = switch

    def AgentRegister(self, request, context):
        if dict(context.invocation_metadata()).get("agent_name") != AGENT:
            return sdk.AgentRegistrationResponse(status=FAILED, error_str="no such application")
        self.switch.registered = True
        fields = ["agent_liveliness", "wait_config_ack", "enable_cache", "auto_telemetry_state"]
        say(registered={field: getattr(request, field) for field in fields})
        return sdk.AgentRegistrationResponse(status=SUCCESS, app_id=1001)

    def AgentUnRegister(self, request, context):
        self.switch.registered = False
        say(unregistered=True)
        return sdk.AgentRegistrationResponse(status=SUCCESS)

    def KeepAlive(self, request, context):
        return sdk.KeepAliveResponse(status=SUCCESS if self.switch.registered else FAILED)

    def GetAppId(self, request, context):
        return sdk.AppIdResponse(status=SUCCESS, id=1001)

    def NotificationRegister(self, request, context):
        switch = self.switch
        with switch.lock:
            if request.op == Register.OPERATION_CREATE:
                stream_id = next(switch.ids)
                switch.streams[stream_id] = Stream()
                return sdk.NotificationRegisterResponse(status=SUCCESS, stream_id=stream_id)
            stream = switch.streams.get(request.stream_id)
            if stream is None:
                return sdk.NotificationRegisterResponse(status=FAILED)
            answer = sdk.NotificationRegisterResponse(status=SUCCESS, stream_id=request.stream_id)
            if request.op == Register.OPERATION_DELETE:
                stream.untold.put(None)
                del switch.streams[request.stream_id]
            elif request.op == Register.OPERATION_ADD_SUBSCRIPTION:
                kind = request.WhichOneof("subscription_types")
                switch.subscribe(stream, kind)
                answer.subscription_id = next(switch.ids)
                say(subscribed=kind)
            return answer


class Notifications(sdk_grpc.SdkNotificationServiceServicer):
    """Serves notification streams."""

    def __init__(self, switch):
        self.switch = switch

    def NotificationStream(self, request, context):
        stream = self.switch.streams.get(request.stream_id)
        if stream is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such stream")
        context.add_callback(lambda: stream.untold.put(None))
        while (response := stream.untold.get()) is not None:
            yield response


class Configuration(config_grpc.SdkMgrConfigServiceServicer):
    """Receives the agent's acknowledgements of commits."""

    def AcknowledgeConfig(self, request, context):
        infos = [{"path": info.js_path_with_keys, info.WhichOneof("result"): getattr(info, info.WhichOneof("result"))}
                 for info in request.infos]
        say(acknowledged=infos)
        return config.AcknowledgeConfigResponse(status=SUCCESS)


class Telemetry(telemetry_grpc.SdkMgrTelemetryServiceServicer):
    """Receives what the agent publishes."""

    def TelemetryAddOrUpdate(self, request, context):
        for state in request.states:
            say(update=state.key.js_path, json=json.loads(state.data.json_content))
        return telemetry.TelemetryUpdateResponse(status=SUCCESS)

    def TelemetryDelete(self, request, context):
        for key in request.keys:
            say(delete=key.js_path)
        return telemetry.TelemetryDeleteResponse(status=SUCCESS)


def obey(switch, order):
    """Does what a line of input says."""
    (what, value), = order.items()
    notification = sdk.Notification()
    if what == "commit":
        switch.commit(value)
    elif what == "streams":
        switch.end_streams()
    elif what == "instance":
        row = notification.network_instance
        row.op, row.key.instance_name, row.data.oper_is_up = SET, value, True
        switch.change(what_subscribed(notification), value, notification, True)
    elif what == "app":
        row = notification.app_id
        row.op, row.key.id, row.data.name, row.data.is_connected = SET, value["id"], value["name"], True
        switch.change(what_subscribed(notification), value["id"], notification, True)
    elif what == "group":
        row, addresses = notification.nexthop_group, value.get("addresses")
        row.op, row.key = SET if addresses else DELETE, value["id"]
        for address in addresses or []:
            hop = row.data.nexthops.add()
            hop.resolve_to, hop.type = hop.RESOLVE_TO_TYPE_INDIRECT, hop.RESOLUTION_TYPE_REGULAR
            fill_address(hop.ip_nexthop, address)
        switch.change(what_subscribed(notification), value["id"], notification, bool(addresses))
    elif what == "route":
        row, prefix = notification.route, ipaddress.ip_network(value["prefix"])
        row.op, row.key.network_instance_name = SET if "group" in value else DELETE, value["instance"]
        fill_address(row.key.ip_prefix.ip_addr, prefix.network_address)
        row.key.ip_prefix.prefix_length = prefix.prefixlen
        if "group" in value:
            row.data.nexthop_group_id, row.data.owner_id, row.data.preference = value["group"], value["owner"], 170
        switch.change(what_subscribed(notification), value["prefix"], notification, "group" in value)
    else:
        raise ValueError(f"cannot do {what}")


def what_subscribed(notification):
    """Returns the kind of subscription to which a notification belongs. Their names are the same."""
    return notification.WhichOneof("subscription_types")


def main():
    switch = Switch()
    server = grpc.server(ThreadPoolExecutor(max_workers=16))
    sdk_grpc.add_SdkMgrServiceServicer_to_server(Manager(switch), server)
    sdk_grpc.add_SdkNotificationServiceServicer_to_server(Notifications(switch), server)
    config_grpc.add_SdkMgrConfigServiceServicer_to_server(Configuration(), server)
    telemetry_grpc.add_SdkMgrTelemetryServiceServicer_to_server(Telemetry(), server)
    server.add_insecure_port(f"unix:{sys.argv[1]}")
    server.start()
    say(listening=sys.argv[1])
    for line in sys.stdin:
        obey(switch, json.loads(line))
    server.stop(None)


main()
