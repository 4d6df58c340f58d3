"""Searches with nothing but gRPC and protobuf: FuseRank speaks the KServe v2 protocol, and any language can.

    python client/examples/raw_grpc.py "half gallon milk" --user 900 --url 127.0.0.1:8001

The messages are those of
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto,
cut down to the fields that a search needs. Elsewhere one would compile that file with protoc; here they are
declared at run time, so that this file shows all of the protocol that is used.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

METHOD = "/inference.GRPCInferenceService/ModelInfer"

TEXT, BYTES, INTEGER = (
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_BYTES,
    FieldDescriptorProto.TYPE_INT64,
)
# message -> (field, number on the wire, type or message, repeated)
PROTOCOL: dict[str, list[tuple[str, int, Any, bool]]] = {
    "InferTensor": [("name", 1, TEXT, False), ("datatype", 2, TEXT, False), ("shape", 3, INTEGER, True)],
    "ModelInferRequest": [
        ("model_name", 1, TEXT, False),
        ("inputs", 5, "InferTensor", True),
        ("raw_input_contents", 7, BYTES, True),
    ],
    "ModelInferResponse": [
        ("outputs", 5, "InferTensor", True),
        ("raw_output_contents", 6, BYTES, True),
    ],
}


def build_messages() -> dict[str, Any]:
    """Returns the message classes of `PROTOCOL`, by name."""
    file = FileDescriptorProto(name="kserve_v2.proto", package="inference", syntax="proto3")
    for name, fields in PROTOCOL.items():
        message: DescriptorProto = file.message_type.add(name=name)
        for field_name, number, kind, repeated in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = field.TYPE_MESSAGE, f".inference.{kind}"
            else:
                field.type = kind
    # A pool of its own: in the default one, tritonclient may have registered the same names.
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}")) for name in PROTOCOL}


def encode_bytes(text: str) -> bytes:
    """Returns a BYTES tensor of one element: its length in 4 bytes, little-endian, and the element."""
    content = text.encode()
    return struct.pack("<I", len(content)) + content


def decode_bytes(raw: bytes) -> list[bytes]:
    """Returns the elements of a BYTES tensor, in row-major order."""
    elements, position = [], 0
    while position < len(raw):
        (length,) = struct.unpack_from("<I", raw, position)
        elements.append(raw[position + 4 : position + 4 + length])
        position += 4 + length
    return elements


def search(url: str, query: str, user: str, options: dict[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    """Sends one search.

    Args:
        url: Host and port of Triton's gRPC endpoint.
        query: What to search for; may be empty.
        user: Id of the user who asks; may be empty.
        options: See `OPTIONS` in the contract, such as `{"k": 5, "explain": true}`.

    Returns:
        The ranked items, each with `id`, `score` and what `ITEM` holds; and what `STATUS` holds.

    Raises:
        grpc.RpcError: `code()` is INVALID_ARGUMENT where the request must be changed; `details()` says how.
    """
    messages = build_messages()
    request = messages["ModelInferRequest"](model_name="search")
    for name, text in (("QUERY", query), ("USER_ID", user), ("OPTIONS", json.dumps(options))):
        request.inputs.add(name=name, datatype="BYTES", shape=[1, 1])
        request.raw_input_contents.append(encode_bytes(text))

    with grpc.insecure_channel(url) as channel:
        infer = channel.unary_unary(
            METHOD,
            request_serializer=messages["ModelInferRequest"].SerializeToString,
            response_deserializer=messages["ModelInferResponse"].FromString,
        )
        response = infer(request, timeout=10)

    outputs = zip(response.outputs, response.raw_output_contents, strict=True)
    raw = {output.name: content for output, content in outputs}
    ids = [item_id.decode() for item_id in decode_bytes(raw["ITEM_ID"])]
    scores = struct.unpack(f"<{len(ids)}f", raw["SCORE"])
    items = [
        {"id": item_id, "score": score, **json.loads(item)}
        for item_id, score, item in zip(ids, scores, decode_bytes(raw["ITEM"]), strict=True)
        if item_id  # a row that has fewer than k items is padded with empty ids
    ]
    return items, json.loads(decode_bytes(raw["STATUS"])[0])


def main(arguments: list[str] | None = None) -> int:
    """Sends the search of the command line, prints one JSON object a line, and returns the exit code."""
    parser = argparse.ArgumentParser(description="Search over bare gRPC.")
    parser.add_argument("query", nargs="?", default="")
    parser.add_argument("--user", default="")
    parser.add_argument("--url", default="127.0.0.1:8001")
    parser.add_argument("--options", default="{}", help='a JSON object, such as {"k": 5}')
    options = parser.parse_args(arguments)
    try:
        items, status = search(options.url, options.query, options.user, json.loads(options.options))
    except grpc.RpcError as error:
        sys.stderr.write(f"{error.code().name}: {error.details()}\n")
        return 1
    for line in (*items, {"status": status}):
        sys.stdout.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
