"""The call object: what the body of an observed function can say of its call, and the reference it can keep."""

import itertools
import json
import math
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from driftbell.monitor import attributes as names
from driftbell.monitor import guard
from driftbell.monitor.privacy import Privacy
from driftbell.monitor.running import CallSpan
from driftbell.monitor.span import plain
from driftbell.monitor.stream import Tail, follow

MAX_SOURCES: Final = 100
MAX_TEXT: Final = 200
_WORDS_OF_A_TEXT: Final = 10
"""More words than the names of files and titles of articles have, which serve as ids, too."""

T = TypeVar("T")
S = TypeVar("S", bound=Iterable[Any] | AsyncIterable[Any])


class Source(NamedTuple):
    """One retrieved document: its id, the retriever's score and its age in days. Never its text."""

    id: str | None = None
    score: float | None = None
    age_days: float | None = None


SourceLike = Source | Mapping[str, Any] | tuple[Any, ...] | str
"""A `Source`, a mapping or tuple of the same fields, or only an id."""


class Field(Generic[T]):
    """A field of `Call`: assigning cleans the value and puts it on the span, reading gives what is on the span."""

    def __init__(self, attribute: str, clean: Callable[[T, Privacy], Any]) -> None:
        self._attribute = attribute
        self._clean = clean

    def __get__(self, call: "Call | None", owner: type["Call"]) -> Any:
        """The recorded value, None when there is none."""
        return None if call is None or call._span is None else call._span.attributes.get(self._attribute)

    def __set__(self, call: "Call", value: T) -> None:
        span = call._span
        if span is None or value is None:
            return
        try:
            cleaned = self._clean(value, span.sink.privacy)
        except Exception as error:  # values come from the application and may do anything when they are read
            guard.voice.say("driftbell left out %s: reading it raised %s", self._attribute, type(error).__qualname__)
            return
        if cleaned is None:
            guard.voice.say("driftbell left out %s: a %s does not fit", self._attribute, type(value).__qualname__)
            return
        span.set_attribute(self._attribute, cleaned)


def _text(value: str, _: Privacy) -> str | None:
    cleaned = plain(value)
    return cleaned[:MAX_TEXT] if isinstance(cleaned, str) else None if cleaned is None else str(cleaned)


def _flag(value: bool, _: Privacy) -> bool | None:
    return value if type(value) is bool else None


def _amount(value: float, _: Privacy) -> float | None:
    number = plain(value)
    return float(number) if isinstance(number, (int, float)) and math.isfinite(number) and number >= 0 else None


def _how_many(value: int | Iterable[Any], _: Privacy) -> int | None:
    if isinstance(value, int):
        return int(value) if 0 <= value < 1 << 31 else None
    return sum(1 for _ in itertools.islice(value, 10_000))


def _hashed(value: str | int, privacy: Privacy) -> str:
    return privacy.hashed(value)


def _documents(value: Iterable[SourceLike], privacy: Privacy) -> str:
    return json.dumps(
        [_document(item, privacy) for item in itertools.islice(value, MAX_SOURCES)], separators=(",", ":")
    )


def _document(item: SourceLike, privacy: Privacy) -> dict[str, str | float]:
    if isinstance(item, str):
        source = Source(item)
    elif isinstance(item, Mapping):
        source = Source(item.get("id"), item.get("score"), item.get("age_days"))
    else:
        source = Source(*item[:3])
    identity = plain(source.id)
    numbers = {"score": plain(source.score), "age_days": plain(source.age_days)}
    known = {k: float(v) for k, v in numbers.items() if isinstance(v, (int, float)) and math.isfinite(v)}
    return ({} if identity is None else {"id": _identity(str(identity), privacy)}) | known


def _identity(given: str, privacy: Privacy) -> str:
    """An id as it is. What reads like a document's text is one given by mistake: its hash stands for it."""
    reads_like_text = len(given) > MAX_TEXT or "\n" in given or given.count(" ") >= _WORDS_OF_A_TEXT
    return f"text-{privacy.hashed(given)}" if reads_like_text else given


class Call:
    """One observed call. Assign what is known; nothing here raises, and nothing holds content.

    Assigning None, or a value that does not fit, changes nothing.
    """

    __slots__ = ("_span",)

    def __init__(self, span: CallSpan | None = None) -> None:
        self._span = span

    citations = Field[int | Iterable[Any]](names.CITATIONS, _how_many)
    """Cited sources: how many, or the citations themselves, of which only the number is kept."""
    retrieval_ms = Field[float](names.RETRIEVAL_MS, _amount)
    """Time that retrieval took, milliseconds."""
    format_ok = Field[bool](names.FORMAT_OK, _flag)
    """Whether the answer had the form that was asked for."""
    refused = Field[bool](names.REFUSED, _flag)
    """Whether the model declined to answer."""
    fallback = Field[bool](names.FALLBACK, _flag)
    """Whether a fallback (another model, a rule, a canned text) answered instead."""
    attempts = Field[int](names.ATTEMPTS, _how_many)
    """Tries that were made, 1 for a call that was not retried."""
    prompt_name = Field[str](names.PROMPT_NAME, _text)
    prompt_version = Field[str](names.PROMPT_VERSION, _text)
    segment = Field[str](names.SEGMENT, _text)
    """The slice of traffic that the call belongs to, such as a country or a plan."""
    risk_tier = Field[str](names.RISK_TIER, _text)
    owner = Field[str](names.OWNER, _text)
    operation = Field[str](names.OPERATION, _text)
    provider = Field[str](names.PROVIDER, _text)
    model = Field[str](names.REQUEST_MODEL, _text)
    """The model that was asked for; the one that answered is read from the response."""
    user = Field[str | int](names.USER_ID, _hashed)
    """Who is served. Only a keyed hash leaves the process."""
    session = Field[str | int](names.CONVERSATION_ID, _hashed)
    """The conversation. Only a keyed hash leaves the process."""
    _sources = Field[Iterable[SourceLike]](names.RETRIEVAL_DOCUMENTS, _documents)

    @property
    def sources(self) -> Any:
        """Retrieved documents in rank order, as `Source`, mappings, tuples or ids; the first 100 are kept.

        An empty list says that retrieval found nothing. Reading gives the recorded JSON.
        """
        return self._sources

    @sources.setter
    def sources(self, documents: Iterable[SourceLike]) -> None:
        self._sources = documents
        if type(documents) in (list, tuple) and self._span is not None:
            self._span.set_attribute(names.RETRIEVAL_COUNT, len(documents))  # type: ignore[arg-type]  # just checked

    @property
    def ref(self) -> str:
        """The reference by which `override`, `feedback`, `evaluation` and `outcome` find this call.

        49 characters, fit for a ticket or a database column; ``""`` when nothing is recorded.
        """
        span = self._span
        return "" if span is None else f"{span.trace_id:032x}-{span.span_id:016x}"

    def attempt(self) -> None:
        """Count one more try of the same call. The first try needs no counting."""
        self.attempts = (self.attempts or 1) + 1

    def record(self, response: Any) -> None:
        """Read usage, model and finish reason from a provider's response. Tokens of several responses add up."""
        if self._span is not None:
            self._span.read(response)

    def stream(self, chunks: S) -> S:
        """Read a provider's stream through here, inside the body: ``for chunk in call.stream(chunks): ...``.

        Gives the same chunks, measures the time to the first and reads the usage after the last. Async streams too.
        """
        if self._span is None:
            return chunks
        try:
            return follow(chunks, Tail(self._span, ends=False))  # type: ignore[no-any-return]
        except Exception as error:  # not iterable: the application's own loop is to say so
            guard.voice.say("driftbell cannot follow a %s: %s", type(chunks).__qualname__, type(error).__qualname__)
            return chunks

    def set_attribute(self, key: str, value: str | bool | int | float) -> None:
        """A custom attribute, under a name of your own."""
        if self._span is not None:
            self._span.set_attribute(key, value)

    if not TYPE_CHECKING:  # type checkers are to see a mistyped field as an error; at run time it must not be one

        def __setattr__(self, name: str, value: object) -> None:
            """Assign a field; a name that is none is told in the log instead of raised into the application."""
            if name in _SETTABLE:
                object.__setattr__(self, name, value)
            else:
                guard.voice.say("a driftbell call has no field %.40s: the assignment was ignored", name)


_SETTABLE: Final = frozenset(
    {"_span", "sources"} | {name for name, found in vars(Call).items() if isinstance(found, Field)}
)

NOT_RECORDED: Final = Call()
"""What a body gets when nothing is recorded: takes everything, keeps nothing."""
