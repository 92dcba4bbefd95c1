"""A minimal NDK application on Nokia's bindings. For a configured prefix, it publishes the next-hops of its route.

    app.py unix:///...        the NDK's socket
"""

import ipaddress
import json
import sys
import threading
import time

import grpc
from ndk import config_service_pb2 as config
from ndk import nexthop_group_service_pb2 as groups
from ndk import route_service_pb2 as routes
from ndk import sdk_common_pb2 as common
from ndk import sdk_service_pb2 as sdk
from ndk import sdk_service_pb2_grpc as sdk_grpc
from ndk import telemetry_service_pb2 as telemetry
from ndk import telemetry_service_pb2_grpc as telemetry_grpc

METADATA = [("agent_name", "pyapp")]
Register = sdk.NotificationRegisterRequest


def text_of(address):
    return str(ipaddress.ip_address(address.ip_address))


class App:
    """The application, with its connection and what it received."""

    def __init__(self, channel):
        self.manager = sdk_grpc.SdkMgrServiceStub(channel)
        self.notifications = sdk_grpc.SdkNotificationServiceStub(channel)
        self.telemetry = telemetry_grpc.SdkMgrTelemetryServiceStub(channel)
        self.prefix = None
        self.routes = {}
        self.groups = {}

    def run(self):
        registered = self.manager.AgentRegister(
            sdk.AgentRegistrationRequest(agent_liveliness=10), metadata=METADATA)
        if registered.status != common.SDK_MGR_STATUS_SUCCESS:
            sys.exit(f"not registered: {registered.error_str}")
        threading.Thread(target=self.keep_alive, daemon=True).start()
        created = self.manager.NotificationRegister(Register(op=Register.OPERATION_CREATE), metadata=METADATA)
        for subscription in (
                {"config": config.ConfigSubscriptionRequest()},
                {"route": routes.IpRouteSubscriptionRequest()},
                {"nexthop_group": groups.NextHopGroupSubscriptionRequest()}):
            self.manager.NotificationRegister(
                Register(op=Register.OPERATION_ADD_SUBSCRIPTION, stream_id=created.stream_id, **subscription),
                metadata=METADATA)
        request = sdk.NotificationStreamRequest(stream_id=created.stream_id)
        for response in self.notifications.NotificationStream(request, metadata=METADATA):
            for notification in response.notifications:
                self.learn(notification)
            self.show()

    def keep_alive(self):
        while True:
            self.manager.KeepAlive(sdk.KeepAliveRequest(), metadata=METADATA)
            time.sleep(2)

    def learn(self, notification):
        kind = notification.WhichOneof("subscription_types")
        row = getattr(notification, kind)
        gone = row.op == common.SDK_MGR_OPERATION_DELETE
        if kind == "config" and row.key.js_path == ".pyapp":
            self.prefix = None if gone else json.loads(row.data.json).get("prefix")
        elif kind == "route":
            prefix = f"{text_of(row.key.ip_prefix.ip_addr)}/{row.key.ip_prefix.prefix_length}"
            key = row.key.network_instance_name, prefix
            self.routes.pop(key, None)
            if not gone:
                self.routes[key] = row.data.nexthop_group_id
        elif kind == "nexthop_group":
            self.groups.pop(row.key, None)
            if not gone:
                # The next-hops of local and broadcast routes have no address.
                addresses = [hop.ip_nexthop for hop in row.data.nexthops if hop.ip_nexthop.ip_address]
                self.groups[row.key] = [text_of(address) for address in addresses]

    def show(self):
        if self.prefix is None:
            request = telemetry.TelemetryDeleteRequest(keys=[telemetry.TelemetryKey(js_path=".pyapp")])
            self.telemetry.TelemetryDelete(request, metadata=METADATA)
            return
        found = [group for (_, prefix), group in self.routes.items() if prefix == self.prefix]
        next_hops = sorted({hop for group in found for hop in self.groups.get(group, [])})
        content = json.dumps({"prefix": self.prefix, "next_hop": next_hops})
        state = telemetry.TelemetryInfo(key=telemetry.TelemetryKey(js_path=".pyapp"),
                                        data=telemetry.TelemetryData(json_content=content))
        answer = self.telemetry.TelemetryAddOrUpdate(
            telemetry.TelemetryUpdateRequest(states=[state]), metadata=METADATA)
        print("shown" if answer.status == common.SDK_MGR_STATUS_SUCCESS else answer.error_str, content, flush=True)


App(grpc.insecure_channel(sys.argv[1])).run()
