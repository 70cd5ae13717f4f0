"""OTLP trace requests as the fast path sees them: spans with their attributes and events left as bytes.

The messages declare the same field numbers as those of OTLP, with ``bytes`` where those nest further, so that one
parse finds all spans and looks into none of them. Whatever is not declared stays in the message as an unknown field.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from driftbell.collectors.otlp import MalformedError
from driftbell.collectors.otlp_protobuf import groups

_PACKAGE = "driftbell.wire"
_Kind = descriptor_pb2.FieldDescriptorProto
_MESSAGES = {
    "Request": {"resource_spans": (1, "*ResourceSpans")},
    "ResourceSpans": {"resource": (1, "bytes"), "scope_spans": (2, "*ScopeSpans")},
    "ScopeSpans": {"scope": (1, "bytes"), "spans": (2, "*Span")},
    "Span": {
        "trace_id": (1, "bytes"),
        "span_id": (2, "bytes"),
        "trace_state": (3, "string"),
        "parent_span_id": (4, "bytes"),
        "name": (5, "string"),
        "kind": (6, "int32"),
        "start_time_unix_nano": (7, "fixed64"),
        "end_time_unix_nano": (8, "fixed64"),
        "attributes": (9, "*bytes"),
        "events": (11, "*bytes"),
        "status": (15, "bytes"),
    },
}
"""Message -> field -> number and type; ``*`` is repeated, a capital letter begins a message."""
_TYPES = {
    "bytes": _Kind.TYPE_BYTES,
    "string": _Kind.TYPE_STRING,
    "int32": _Kind.TYPE_INT32,
    "fixed64": _Kind.TYPE_FIXED64,
}


def _request_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="driftbell/wire.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, written) in fields.items():
            kind = written.removeprefix("*")
            message.field.add(
                name=field,
                number=number,
                label=_Kind.LABEL_REPEATED if written[0] == "*" else _Kind.LABEL_OPTIONAL,
                type=_TYPES.get(kind, _Kind.TYPE_MESSAGE),
                type_name=None if kind in _TYPES else f".{_PACKAGE}.{kind}",
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Request"))


_Request = _request_class()


def scoped_spans(body: bytes) -> Iterator[tuple[bytes, bytes, Any]]:
    """``(resource, scope, spans)`` of each group of spans, the first two as bytes; raises `MalformedError`."""
    request = _Request()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise MalformedError("the body is not a protobuf ExportTraceServiceRequest") from None
    for of_resource in groups(request.resource_spans):
        for of_scope in groups(of_resource.scope_spans):
            yield of_resource.resource, of_scope.scope, of_scope.spans
