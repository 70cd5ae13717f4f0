"""A local HTTP stand-in that answers in the words of every provider, for their real client libraries.

The truth behind every answer: 19 input tokens, of which 8 came from the cache, 10 output tokens, of which 4 were
reasoning where the provider tells it.
"""

import http.server
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

CHAT_USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 10,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
ANTHROPIC_USAGE = {
    "input_tokens": 11,
    "cache_read_input_tokens": 8,
    "cache_creation_input_tokens": 0,
    "output_tokens": 10,
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-4.1-2025-04-14",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello there", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 19,
        "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 29,
    },
}
ANTHROPIC = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Hello there"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": ANTHROPIC_USAGE,
}
GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello there"}]}, "finishReason": "STOP"}],
    "usageMetadata": {
        "promptTokenCount": 19,
        "cachedContentTokenCount": 8,
        "candidatesTokenCount": 6,
        "thoughtsTokenCount": 4,
        "totalTokenCount": 29,
    },
    "modelVersion": "gemini-2.5-flash",
    "responseId": "gem-1",
}
BEDROCK_USAGE = {"inputTokens": 11, "outputTokens": 10, "totalTokens": 29, "cacheReadInputTokens": 8}
COHERE_USAGE = {
    "billed_units": {"input_tokens": 11, "output_tokens": 10},
    "tokens": {"input_tokens": 19, "output_tokens": 10},
    "cached_tokens": 8,
}


def chat(model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hello there", "refusal": None}
    choices = [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}]
    about = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}
    return {**about, "choices": choices, "usage": CHAT_USAGE}


def chat_chunks(model: str) -> list[dict[str, Any]]:
    about = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    words = [{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None} for word in "ab"]
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [{**about, "choices": [one]} for one in (*words, end)] + [{**about, "choices": [], "usage": CHAT_USAGE}]


def anthropic_events() -> list[dict[str, Any]]:
    begun = {**ANTHROPIC, "content": [], "stop_reason": None, "usage": {**ANTHROPIC_USAGE, "output_tokens": 1}}
    return [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"w{n} "}}
            for n in range(20)
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 10},
        },
        {"type": "message_stop"},
    ]


def cohere(events: bool) -> Any:
    content = [{"type": "text", "text": "Hello there"}]
    if not events:
        message = {"role": "assistant", "content": content}
        return {"id": "co-1", "finish_reason": "COMPLETE", "message": message, "usage": COHERE_USAGE}
    start = {"type": "message-start", "id": "co-1", "delta": {"message": {"role": "assistant"}}}
    word = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hello"}}}}
    return [start, word, {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_USAGE}}]


def event_stream(events: list[tuple[str, dict[str, Any]]]) -> bytes:
    """Amazon's binary event stream: length, header length, checksum, headers, payload, checksum."""
    out = b""
    for name, payload in events:
        headers = b""
        for key, text in ((":event-type", name), (":content-type", "application/json"), (":message-type", "event")):
            headers += bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(text)) + text.encode()
        body = json.dumps(payload).encode()
        prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
        message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
        out += message + struct.pack(">I", zlib.crc32(message))
    return out


BEDROCK = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello there"}]}},
    "stopReason": "end_turn",
    "usage": BEDROCK_USAGE,
    "metrics": {"latencyMs": 1},
}
BEDROCK_EVENTS = [
    ("messageStart", {"role": "assistant"}),
    *(("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "w "}}) for _ in range(20)),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": BEDROCK_USAGE, "metrics": {"latencyMs": 1}}),
]


def answer(path: str, asked: dict[str, Any]) -> tuple[str, bytes]:
    """Content type and body for a request."""
    streamed = bool(asked.get("stream"))
    model = asked.get("model", "gpt-4o-2024-08-06")
    found: Any
    if "embeddings" in path:
        vector = {"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}
        usage = {"prompt_tokens": 19, "total_tokens": 19}
        found = {"id": "emb-1", "object": "list", "data": [vector], "model": model, "usage": usage}
    elif path.endswith("/responses"):
        found = RESPONSE
        if streamed:
            created = {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "usage": None}}
            found = [created, {"type": "response.completed", "sequence_number": 1, "response": RESPONSE}]
    elif path.endswith("/messages"):
        found = anthropic_events() if streamed else ANTHROPIC
    elif "GenerateContent" in path or "generateContent" in path:
        found = [GEMINI, GEMINI] if "stream" in path else GEMINI
    elif path.endswith("converse-stream"):
        return "application/vnd.amazon.eventstream", event_stream(BEDROCK_EVENTS)
    elif path.endswith("converse"):
        found = BEDROCK
    elif path.endswith("/v2/chat"):
        found = cohere(streamed)
    else:
        found = chat_chunks(model) if streamed else chat(model)
    if isinstance(found, dict):
        return "application/json", json.dumps(found).encode()
    named = "type" in found[0]
    lines = (f"event: {item.get('type')}\n" * named + f"data: {json.dumps(item)}\n\n" for item in found)
    ending = "data: [DONE]\n\n" if "chat/completions" in path else ""
    return "text/event-stream", ("".join(lines) + ending).encode()


@pytest.fixture(scope="session")
def standin() -> Iterator[str]:
    """The base address of the stand-in."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            kind, body = answer(self.path.partition("?")[0], asked)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
