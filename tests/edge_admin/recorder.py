"""A gRPC server that stands for auth and quota where a test wants to say what they answer, or to
see what they were asked. It implements every RPC of the protos; each answers an empty message
unless told otherwise."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message

from gateway.auth.v1 import admin_pb2 as auth_admin
from gateway.auth.v1 import auth_pb2
from gateway.quota.v1 import admin_pb2 as quota_admin
from services.common.errors import GatewayError, to_status

SERVICES = (
    auth_admin.DESCRIPTOR.services_by_name["AuthAdminService"],
    auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
    quota_admin.DESCRIPTOR.services_by_name["QuotaAdminService"],
)

Answer = Message | GatewayError | Callable[[Any], Message]


@dataclass
class Recorder(grpc.GenericRpcHandler):
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, Any, dict[str, str]]] = field(default_factory=list)

    def requests(self, rpc: str) -> list[Any]:
        return [request for name, request, _ in self.asked if name == rpc]

    def metadata(self, rpc: str) -> dict[str, str]:
        return next(metadata for name, _, metadata in self.asked if name == rpc)

    def writes(self) -> list[str]:
        """RPCs that would have changed something."""
        reading = ("Get", "List", "Verify")
        return [name for name, _, _ in self.asked if not name.startswith(reading)]

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        _, service, rpc = details.method.split("/")
        method = next(s for s in SERVICES if s.full_name == service).methods_by_name[rpc]
        asked = message_factory.GetMessageClass(method.input_type)
        answered = message_factory.GetMessageClass(method.output_type)

        async def handle(request: Any, context: Any) -> Message:
            self.asked.append((rpc, request, dict(context.invocation_metadata())))
            answer = self.answers.get(rpc, answered())
            if isinstance(answer, GatewayError):
                status = to_status(answer)
                await context.abort(status.code, status.details, status.trailing_metadata)
                raise AssertionError("abort raises")
            return answer if isinstance(answer, Message) else answer(request)

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=asked.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
