"""Retrieved documents, however a span holds them -> ids, scores and ages, never their text."""

import re
from collections.abc import Iterable, Mapping

from driftbell.collectors.call import Source
from driftbell.collectors.dialects import values
from driftbell.collectors.span import AttributeValue, Span

MAX_SOURCES = 64
_LISTS = (
    "documents",
    "docs",
    "source_documents",
    "retrieved_documents",
    "results",
    "matches",
    "hits",
    "nodes",
    "contexts",
    "chunks",
    "output",
    "outputs",
    "result",
    "response",
    "data",
)
"""Members in which a retriever's output may keep its list."""
_IDS = ("id", "doc_id", "document_id", "node_id", "id_", "_id", "chunk_id", "key")
_NESTED_IDS = ("metadata.id", "metadata.doc_id", "metadata.document_id", "node.id_", "node.node_id")
_ORIGINS = ("metadata.source", "source", "metadata.url", "metadata.file_name")
_SCORES = ("score", "relevance_score", "similarity", "similarity_score", "_score", "rank_score")
_NESTED_SCORES = ("metadata.score", "metadata.relevance_score", "metadata._score")
_DATES = ("updated_at", "last_modified", "modified_at", "lastModified", "date", "created_at")
_AGES = ("age_days", "metadata.age_days")
_INDEXED = re.compile(r"^(retrieval\.documents|reranker\.output_documents)\.(\d{1,4})\.document\.(.+)$")
_WHOLE = ("gen_ai.retrieval.documents", "retrieval.documents", "reranker.output_documents", "ai.documents")
_OUTPUT = re.compile(r"(output|response|result|completion|documents)[\w.]*$", re.IGNORECASE)
RESULT_EVENT = "db.query.result"
_DAY = 86400.0


def stated_sources(span: Span) -> tuple[Source, ...] | None:
    """Documents that a span of any kind states under a name that means nothing else."""
    attributes = span.attributes
    found = _indexed(attributes, span.end)
    for name in _WHOLE:
        if name in attributes:
            listed = _listed(values.structure(attributes[name]), span.end, 0)
            found = _richer(found, listed)
    return found


def retrieved_sources(span: Span) -> tuple[Source, ...] | None:
    """Documents of a span that is known to be a retrieval: also from its output, whatever that is called."""
    found = stated_sources(span)
    events = [event.attributes for event in span.events if event.name.startswith(RESULT_EVENT)]
    if found is None and events:
        found = tuple(_query_result(event) for event in events[:MAX_SOURCES])
    for name, value in span.attributes.items():
        if _OUTPUT.search(name) and name not in _WHOLE and not _INDEXED.match(name):
            found = _richer(found, _listed(values.structure(value), span.end, 0))
    return found


def passed_sources(span: Span) -> tuple[Source, ...] | None:
    """Documents that a step was handed: the only trace of a retrieval that no span tells of.

    Only lists in which every member is a document by its own statement count, so that no other input is mistaken.
    """
    for name, value in span.attributes.items():
        if name.endswith(("input", "input.value", "inputs")):
            items: object = values.structure(value)
            if isinstance(items, dict):
                items = next((items[key] for key in ("inputs", "input", "documents") if key in items), None)
            if isinstance(items, list) and items and all(_is_document(item) for item in items[:MAX_SOURCES]):
                return _members(items[:MAX_SOURCES], span.end)
    return None


def _is_document(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    made = item.get("id")
    return "page_content" in item or (isinstance(made, list) and "Document" in made)


def _richer(one: tuple[Source, ...] | None, other: tuple[Source, ...] | None) -> tuple[Source, ...] | None:
    """Two lists of the same documents as one: the first, with what it lacks filled from the other."""
    if one is None or (not one and other):
        return other
    if other is None or len(one) != len(other):
        return one
    return tuple(
        Source(
            a.id if a.id is not None else b.id,
            a.score if a.score is not None else b.score,
            a.age_days if a.age_days is not None else b.age_days,
        )
        for a, b in zip(one, other, strict=True)
    )


def _indexed(attributes: Mapping[str, AttributeValue], now: float) -> tuple[Source, ...] | None:
    """Documents flattened into ``<prefix>.<n>.document.<member>``; those of a reranker win."""
    documents: dict[str, dict[int, dict[str, object]]] = {}
    for name, value in attributes.items():
        match = _INDEXED.match(name) if name[:2] == "re" else None
        if match:
            documents.setdefault(match[1], {}).setdefault(int(match[2]), {})[match[3]] = value
    if not documents:
        return None
    chosen = documents[min(documents, key=lambda prefix: prefix != "reranker.output_documents")]
    return tuple(_document(chosen[n], now) for n in sorted(chosen)[:MAX_SOURCES])


def _listed(found: object, now: float, depth: int) -> tuple[Source, ...] | None:
    """The first list of documents in a structure; ``()`` for an empty list, ``None`` if there is no list."""
    if isinstance(found, list):
        if len(found) == 1 and isinstance(found[0], list):
            return _listed(found[0], now, depth)
        return _members(found[:MAX_SOURCES], now)
    if isinstance(found, dict) and depth < 3:
        for name in _LISTS:
            if name in found:
                inner = found[name]
                if isinstance(inner, str):
                    inner = values.structure(inner)
                listed = _listed(inner, now, depth + 1)
                if listed is not None:
                    return listed
    return None


def _members(items: Iterable[object], now: float) -> tuple[Source, ...] | None:
    documents: list[Source] = []
    for item in items:
        parsed = values.structure(item) if isinstance(item, str) else item
        if isinstance(parsed, list) and len(parsed) == 2 and isinstance(parsed[0], dict):
            documents.append(_scored(_document(parsed[0], now), values.number(parsed[1])))
        elif isinstance(parsed, dict) and "role" not in parsed:
            documents.append(_document(parsed, now))
        elif isinstance(item, str):
            documents.append(Source(id=item if _is_id(item) else None))
        else:
            return None
    return tuple(documents)


def _scored(source: Source, score: float | None) -> Source:
    return Source(source.id, source.score if source.score is not None else score, source.age_days)


def _document(item: Mapping[str, object], now: float) -> Source:
    constructed = item.get("kwargs")
    members = dict(constructed) if isinstance(constructed, dict) else dict(item)
    if isinstance(metadata := members.get("metadata"), str):
        members["metadata"] = values.structure(metadata)
    inner = members.get("document")
    if isinstance(inner, dict) and not any(name in members for name in _IDS):
        members = {**inner, **{name: value for name, value in members.items() if name != "document"}}
    return Source(
        _first_id(members, (*_IDS, *_NESTED_IDS, *_ORIGINS)),
        _first_number(members, (*_SCORES, *_NESTED_SCORES)),
        _age(members, now),
    )


def _query_result(attributes: Mapping[str, AttributeValue]) -> Source:
    identity = values.text(attributes.get("db.query.result.id"))
    return Source(identity, values.number(attributes.get("db.query.result.score")), None)


def _first_id(members: dict[str, object], names: Iterable[str]) -> str | None:
    """An identifier; the query of a URL is left out, for it may hold a signature."""
    for name in names:
        found = values.path(members, name)
        if isinstance(found, (str, int)) and not isinstance(found, bool):
            short = values.text(str(found)[:1000])
            if short is not None and _is_id(short):
                return short.partition("?")[0] if "://" in short else short
    return None


def _first_number(members: dict[str, object], names: Iterable[str]) -> float | None:
    for name in names:
        found = values.number(values.path(members, name))
        if found is not None:
            return found
    return None


def _age(members: dict[str, object], now: float) -> float | None:
    """Age in days: as given, or from a date in the metadata, at the time ``now`` of the retrieval."""
    given = _first_number(members, _AGES)
    if given is not None:
        return given
    for name in _DATES:
        for path in (name, f"metadata.{name}"):
            written = values.timestamp(values.path(members, path))
            if written is not None:
                return max(0.0, (now - written) / _DAY)
    return None


def _is_id(found: str) -> bool:
    """Whether a string can be an identifier: short and without blanks, so that no text is taken for one."""
    return len(found) <= 120 and not any(character.isspace() for character in found)
