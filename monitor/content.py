"""What a call was asked and what it answered, for the workflows for which the application allowed it.

Nothing here runs by default. Fingerprints are made, and captured texts redacted, when the span leaves the process.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Literal

from driftbell.monitor import attributes as names
from driftbell.monitor import guard
from driftbell.monitor.privacy import Privacy
from driftbell.monitor.reading import field

MAX_CHARACTERS: Final = 20_000
_MAX_DEPTH: Final = 7
_MAX_ITEMS: Final = 50

Expects = Literal["json"] | Callable[[str], bool]
"""The form that an answer is to have: JSON, or whatever a function of the answer says."""

_FIRST_ONLY: Final = ("choices", "candidates")
_HOLDERS: Final = (
    "output_text",
    *_FIRST_ONLY,
    "message",
    "delta",
    "contentBlockDelta",
    "content",
    "parts",
    "text",
    "output",
    "data",
    "raw",
)
"""Where responses of all shapes keep their text, outermost first."""


def texts(thing: Any, depth: int = _MAX_DEPTH) -> Iterator[str]:
    """The answer's texts in a response, or in a chunk of one."""
    if isinstance(thing, str):
        yield thing
    elif type(thing) in (list, tuple):
        for item in islice(thing, _MAX_ITEMS):
            if depth:
                yield from texts(item, depth - 1)
    elif thing is not None and depth and not isinstance(thing, (int, float, bytes)):
        for name in _HOLDERS:
            held = field(thing, name)
            if held is not None and not callable(held):
                yield from texts(held[:1] if name in _FIRST_ONLY and type(held) is list else held, depth - 1)
                return


class Content:
    """The question and the answer of one call, bounded, until its span leaves the process."""

    __slots__ = ("_answer", "_capture", "_expects", "_fingerprint", "_privacy", "_question", "_size")

    def __init__(self, privacy: Privacy, capture: bool, fingerprint: bool, expects: Expects | None) -> None:
        self._privacy = privacy
        self._capture = capture
        self._fingerprint = fingerprint
        self._expects = expects
        self._question: Any = None
        self._answer: list[str] = []
        self._size = 0

    def asked(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Keep the arguments of a captured call: a ``messages`` or ``prompt`` argument, else all plain ones."""
        if self._capture:
            named = (kwargs.get(name) for name in ("messages", "prompt"))
            asked = next((given for given in named if given is not None), [*args, *kwargs.values()])
            self._question = _plain(asked, _Room(MAX_CHARACTERS))

    def answered(self, response: Any) -> None:
        """Keep the text of a response in place of what was kept before; a response without text changes nothing."""
        found = list(texts(response))
        if found:
            self._answer, self._size = [], 0
            for text in found:
                self._keep(text)

    def streamed(self, chunk: Any) -> None:
        """Keep the text of one more chunk."""
        if self._size < MAX_CHARACTERS:
            for text in texts(chunk):
                self._keep(text)

    def _keep(self, text: str) -> None:
        kept = text[: MAX_CHARACTERS - self._size]
        if kept:
            self._answer.append(kept)
            self._size += len(kept)

    def complete(self, attributes: dict[str, Any]) -> None:
        """Put on the span what may be said of the texts, and the redacted texts if they may be captured."""
        answer = "".join(self._answer)
        if answer and self._fingerprint:
            from driftbell.monitor.fingerprint import language, refuses, sketch  # compiles patterns

            attributes[names.OUTPUT_LENGTH] = len(answer)
            if (tongue := language(answer)) is not None:
                attributes[names.OUTPUT_LANGUAGE] = tongue
            attributes[names.OUTPUT_SKETCH] = sketch(answer)
            attributes.setdefault(names.REFUSED, refuses(answer))
        if answer and self._expects is not None:
            attributes.setdefault(names.FORMAT_OK, self._well_formed(answer))
        if self._capture:
            if self._question is not None:
                attributes[names.INPUT_MESSAGES] = _messages("user", self._question_redacted())
            if answer:
                attributes[names.OUTPUT_MESSAGES] = _messages("assistant", self._privacy.redacted(answer))

    def _question_redacted(self) -> str:
        """The question as JSON. Each text of it is redacted by itself, because JSON's escapes hide where a line or a
        quotation begins, and then the whole, because a secret's name and the secret may be two texts.
        """
        hide = self._privacy.redacted
        return hide(json.dumps(_each(self._question, hide), ensure_ascii=False))[:MAX_CHARACTERS]

    def _well_formed(self, answer: str) -> bool:
        if callable(self._expects):
            try:
                return bool(self._expects(answer))
            except Exception as error:  # the application's own check
                guard.voice.say("a driftbell format check raised %s: counted as not well-formed", type(error).__name__)
                return False
        try:
            json.loads(answer)
        except (ValueError, RecursionError):
            return False
        return True


def _messages(role: str, text: str) -> str:
    """A message list in the form of the OpenTelemetry GenAI conventions."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)


class _Room:
    """How many characters of a question may still be kept."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, text: str) -> str:
        """As much of ``text`` as there is room for."""
        kept = text[: self._left]
        self._left -= len(kept)
        return kept


def _plain(value: Any, room: _Room, depth: int = _MAX_DEPTH) -> Any:
    """``value`` as JSON has it; other objects are told by their class, never by their ``repr``."""
    if type(value) is str:
        return room.take(value)
    if type(value) in (int, float, bool, type(None)):
        return value
    if depth and type(value) in (list, tuple):
        return [_plain(item, room, depth - 1) for item in value[:_MAX_ITEMS]]
    if depth and type(value) is dict:
        some = islice(value.items(), _MAX_ITEMS)
        return {room.take(_name(key)[:200]): _plain(item, room, depth - 1) for key, item in some}
    return _name(value)


def _name(value: Any) -> str:
    return str(value) if type(value) in (str, int, float, bool) else f"<{type(value).__qualname__}>"


def _each(value: Any, change: Callable[[str], str]) -> Any:
    """``value``, as `_plain` makes it, with every text and key changed."""
    if type(value) is str:
        return change(value)
    if type(value) is list:
        return [_each(item, change) for item in value]
    if type(value) is dict:
        return {change(key): _each(item, change) for key, item in value.items()}
    return value
