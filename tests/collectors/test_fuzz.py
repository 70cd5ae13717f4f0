"""Bodies made to break a receiver, by name and by a coverage-guided fuzzer: answered, bounded, never half stored."""

import gzip
import http.client
import json
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import requests

from driftbell.collectors.decode import MalformedError, TooManyError, decode_traces
from driftbell.collectors.intake import MAX_MEMBERS, TooLargeError, inflate

FUZZ = Path(__file__).parents[2] / "bench" / "fuzz.py"
JSON = {"content-type": "application/json"}
PROTOBUF = {"content-type": "application/x-protobuf"}
SPAN = {
    "traceId": "5" * 32,
    "spanId": "6" * 16,
    "name": "chat m",
    "startTimeUnixNano": "1760000000000000000",
    "endTimeUnixNano": "1760000001000000000",
    "attributes": [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "7"}},
    ],
}


def with_span(text: str = "", **fields) -> bytes:
    """A request of one good span and one with other ``fields``; ``text`` is put in the place of "HERE"."""
    other = {**SPAN, "spanId": "7" * 16, "traceId": "8" * 32, **fields}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SPAN, other]}]}]})
    return body.replace('"HERE"', text).encode()


def test_a_bounded_run_of_the_fuzzer_finds_nothing(tmp_path):
    pytest.importorskip("atheris", reason="no atheris: pip install -r requirements-fuzz.lock (Linux)")
    command = [sys.executable, FUZZ, "--seconds", "3", "--corpus", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "new_units_added" in run.stderr


STRANGE = {
    "a number that is none": with_span(
        attributes=[{"key": "gen_ai.usage.input_tokens", "value": {"doubleValue": "NaN"}}]
    ),
    "NaN as a word": with_span("NaN", attributes=[{"key": "x", "value": {"doubleValue": "HERE"}}]),
    "a huge integer": with_span(attributes=[{"key": "gen_ai.usage.input_tokens", "value": {"intValue": "9" * 4000}}]),
    "a huge exponent": with_span("1e999999", attributes=[{"key": "x", "value": {"doubleValue": "HERE"}}]),
    "times as objects": with_span(startTimeUnixNano={}, endTimeUnixNano=[]),
    "times before time": with_span(startTimeUnixNano=-1, endTimeUnixNano="-99999999999999999999"),
    "times of a far future": with_span(endTimeUnixNano="18446744073709551615"),
    "a name that is a list": with_span(name=["chat"]),
    "attributes that are a word": with_span(attributes="chat"),
    "an attribute without key": with_span(attributes=[{"value": {"stringValue": "x"}}, None, 3, []]),
    "a key that is said twice": with_span(
        '1, "intValue": "2", "stringValue": "three"',
        attributes=[{"key": "gen_ai.usage.input_tokens", "value": {"intValue": "HERE"}}],
    ),
    "an attribute that is said twice": with_span(attributes=[SPAN["attributes"][2]] * 2),
    "half a character": with_span(name="\ud83d"),
    "a null character": with_span(name="\u0000chat"),
    "a very long name": with_span(name="n" * 10**6),
    "ten thousand events": with_span(events=[{"name": "e"}] * 10_000),
}


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE)
def test_a_strange_span_costs_at_most_itself(serve, store, all_calls, body):
    answer = requests.post(serve().url + "/v1/traces", data=body, headers=JSON, timeout=20)
    assert answer.status_code == 200
    assert "5" * 32 in {call.trace_id for call in all_calls(store)}


BROKEN = {
    "cut off": with_span()[:-9],
    "bytes that are no text": b'{"resourceSpans": "\xff\xfe\x00"}',
    "a million levels": b'{"a":' * 10**6,
    "a million lists": b"[" * 10**6,
    "an integer of a million digits": with_span("9" * 10**6, name="HERE"),
    "spans that are a number": b'{"resourceSpans": [{"scopeSpans": [{"spans": 3}]}]}',
    "a text": b'"resourceSpans"',
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_broken_body_is_refused_and_nothing_of_it_is_stored(serve, store, body):
    answer = requests.post(serve().url + "/v1/traces", data=body, headers=JSON, timeout=20)
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert store.workflows() == []


@pytest.mark.parametrize(
    "chunks",
    [
        b"5\r\nabc\r\n0\r\n\r\n",
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nabc",
        b"-5\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc",
    ],
)
def test_a_broken_chunk_is_no_server_error_and_the_server_goes_on(serve, store, chunks):
    server = serve()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    connection.putrequest("POST", "/v1/traces")
    for name, value in (
        ("content-type", "application/json"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(chunks)
    connection.sock.shutdown(1)
    answer = connection.sock.recv(1000)
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer
    connection.close()
    assert requests.post(server.url + "/v1/traces", data=with_span(), headers=JSON, timeout=20).status_code == 200
    assert server.intake.in_flight == (0, 0)


def test_a_gzip_bomb_is_refused_before_it_grows(serve):
    """Half a gigabyte of zeros in half a megabyte."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(512)), packer.flush()])
    server = serve()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    headers = {**PROTOBUF, "content-encoding": "gzip"}
    answers = [requests.post(server.url + "/v1/traces", data=bomb, headers=headers, timeout=60) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [413, 413]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10, "KiB"


def test_gzip_in_gzip_is_no_request(serve):
    headers = {**JSON, "content-encoding": "gzip"}
    twice = gzip.compress(gzip.compress(with_span()))
    assert requests.post(serve().url + "/v1/traces", data=twice, headers=headers, timeout=20).status_code == 400


def test_a_gzip_body_may_have_parts_but_not_a_million_empty_ones():
    assert inflate(gzip.compress(b"a") + gzip.compress(b"b"), 10) == b"ab"
    with pytest.raises(MalformedError, match="parts"):
        inflate(gzip.compress(b"") * 10**6, 10)
    with pytest.raises(TooLargeError):
        inflate(gzip.compress(b"aaaa") * MAX_MEMBERS, 10)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"\x0a\x00" * 10**6, "protobuf"), (b'{"resourceSpans":[' + b"{}," * (7 * 10**6) + b"{}]}", "json")],
)
def test_millions_of_empty_groups_are_too_many(body, encoding):
    with pytest.raises(TooManyError):
        decode_traces(body, encoding)
