"""A server that cannot be used is told in one line that says what to do, and that quotes nothing."""

import socket

import pytest

from driftbell.collectors.batch import StoreUnavailableError
from driftbell.collectors.clickhouse.client import UrlError, connect
from driftbell.collectors.clickhouse.failure import meaning, too_old

pytest.importorskip("clickhouse_connect", reason="pip install -r requirements-clickhouse.lock")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "HTTP driver received HTTP status 401, server response: Code: 193, e.displayText() = DB::Exception: "
            "Wrong password for user default, e.what() = DB::Exception",
            "check the user in the address, and the password beside it (code 193)",
        ),
        (
            "HTTP driver received HTTP status 403, server response: Code: 516. DB::Exception: jane: Authentication "
            "failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)",
            "check the user in the address, and the password beside it (code 516)",
        ),
        (
            "Code: 497. DB::Exception: jane: Not enough privileges. To execute this query, it's necessary to have ...",
            "the user lacks a right in ClickHouse: grant what it needs (code 497)",
        ),
        ("Code: 81. DB::Exception: Database shop does not exist. (UNKNOWN_DATABASE)", "no database of that name"),
        ("Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)", "disk"),
        ("Code: 252. DB::Exception: Too many parts (3000 with average size of 1 KiB)", "too much to do (code 252)"),
        (
            "HTTP driver received HTTP status 400, server response: Port 9000 is for clickhouse-client program.\r\n"
            "You must use port 8123 for HTTP.",
            "not the HTTP port of ClickHouse: write 8123",
        ),
        ("Code: 36. DB::Exception: Error initializing EmbeddedServer: .", "does no other process use it?"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] ...", "this machine trusts"),
        ("Code: 7777. DB::Exception: Something with 'the text of a prompt'", "does not answer: ValueError (code 7777)"),
    ],
)
def test_what_a_server_says_is_told_in_words_that_quote_nothing(said, told):
    found = meaning(ValueError(said))
    assert told in found
    assert "jane" not in found
    assert "prompt" not in found
    assert len(found.splitlines()) == 1


def test_a_server_that_does_not_know_what_the_driver_asks_is_too_old():
    said = "Code: 47, e.displayText() = DB::Exception: Unknown identifier: readonly, e.what() = DB::Exception"
    assert (
        meaning(ValueError(said), connecting=True) == "that server is no ClickHouse of version 25.8 or later (code 47)"
    )
    assert too_old("24.8.14.39") == "ClickHouse 24.8 is too old: 25.8 or later is needed"
    assert too_old("25.8.2.1") is None
    assert too_old("26.9.2.1") is None


def test_an_address_at_which_nothing_answers_is_told_as_such():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(StoreUnavailableError, match="nothing answers at the address of ClickHouse"):
            connect(f"clickhouse://jane@127.0.0.1:{port}/driftbell")
    with pytest.raises(UrlError, match="the port must be a number"):
        connect("clickhouse://jane@127.0.0.1:http/driftbell")
