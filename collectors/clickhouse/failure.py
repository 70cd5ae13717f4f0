"""What a failure of ClickHouse means, in words that say what to do. Its own text may quote data: it is kept back."""

import re

OLDEST = (25, 8)
"""Version of the server: the oldest engine on which the tests were run."""
_CODE = re.compile(r"Code: (\d+)|error code (\d+)")
_REFUSED = "ClickHouse refuses the user or the password: check the user in the address, and the password beside it"
_LATER = "ClickHouse has too much to do"
NO_DATABASE = "ClickHouse has no database of that name: check the address"
_MEANING = {
    **dict.fromkeys((192, 193, 194, 516), _REFUSED),
    **dict.fromkeys((159, 202, 241, 252), _LATER),
    81: NO_DATABASE,
    164: "the user may only read in ClickHouse: grant what it needs",
    243: "the disk of ClickHouse is full",
    497: "the user lacks a right in ClickHouse: grant what it needs",
}
"""By the code of ClickHouse."""
_SAID = (
    ("Failed to resolve", "the host of ClickHouse is not known: check the address"),
    ("EmbeddedServer", "the folder of chDB cannot be opened: is it writable, and does no other process use it?"),
    ("clickhouse-client program", "that is not the HTTP port of ClickHouse: write 8123, or the one of your server"),
    ("CERTIFICATE_VERIFY_FAILED", "the certificate of ClickHouse is not one that this machine trusts"),
    ("WRONG_VERSION_NUMBER", "ClickHouse speaks no TLS on that port: check the port and ?secure=true in the address"),
    ("Connection refused", "nothing answers at the address of ClickHouse: connection refused"),
    ("timed out", "ClickHouse does not answer in time"),
)
"""By a part of what the driver says."""
_UNKNOWN_WORDS = (46, 47, 62)


def meaning(error: Exception, connecting: bool = False) -> str:
    """One line; ``connecting`` tells that the driver was asking for what every server of today knows."""
    text = str(error)
    found = _CODE.search(text)
    code = int(found.group(1) or found.group(2)) if found else None
    words = next((words for said, words in _SAID if said in text), None)
    if words is None and code is not None:
        words = _MEANING.get(code)
        if connecting and code in _UNKNOWN_WORDS:
            words = f"that server is no ClickHouse of version {version(OLDEST)} or later"
    told = words or f"ClickHouse does not answer: {type(error).__name__}"
    return told if code is None else f"{told} (code {code})"


def too_old(told: str) -> str | None:
    """What is wrong with a server that tells this version; None for one that will do or cannot be understood."""
    found = re.match(r"(\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) >= OLDEST:
        return None
    return f"ClickHouse {found[0]} is too old: {version(OLDEST)} or later is needed"


def version(number: tuple[int, int]) -> str:
    """``25.8``."""
    return f"{number[0]}.{number[1]}"
