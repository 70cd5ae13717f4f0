"""Retrieved documents and the call that they served."""

from emitter_spans import calls, chat, only, span


def test_nested_retrievals_and_their_embedding_are_told_once() -> None:
    root = span("query", took=9, a={"openinference.span.kind": "CHAIN"})
    flat = {
        f"retrieval.documents.{n}.document.{k}": v
        for n in range(3)
        for k, v in (("id", f"d{n}"), ("score", 0.9 - n / 10), ("content", "secret text"))
    }
    outer = span("retrieve", root, 0.1, 1.0, a={"openinference.span.kind": "RETRIEVER"} | flat)
    inner = span("_retrieve", outer, 0.2, 0.8, a={"openinference.span.kind": "RETRIEVER"} | flat)
    embed = span(
        "embed",
        inner,
        0.3,
        0.2,
        a={
            "openinference.span.kind": "EMBEDDING",
            "embedding.model_name": "text-embedding-3-small",
            "llm.token_count.prompt": 5,
        },
    )
    found = calls(root, outer, inner, embed, chat(root, 2))
    assert [(call.operation, len(call.sources or ())) for call in found] == [("embeddings", 0), ("chat", 3)]
    named = {"traceloop.workflow.name": "kb"}  # an ancestor that lends its labels does not lend its documents
    root = span("query", took=9)
    outer = span("retrieve", root, 0.1, 1.0, a={"openinference.span.kind": "RETRIEVER"} | flat | named)
    inside = {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e", "gen_ai.usage.input_tokens": 5}
    embed = span("embed", outer, 0.3, 0.2, a=inside)
    assert [len(call.sources or ()) for call in calls(root, outer, embed, chat(root, 2))] == [0, 3]
    assert "secret" not in repr(found)


def test_what_a_reranker_kept_is_what_the_call_got() -> None:
    root = span("query", took=9)
    flat = {f"retrieval.documents.{n}.document.id": f"d{n}" for n in range(5)}
    kept = {f"reranker.output_documents.{n}.document.id": f"d{n}" for n in range(2)}
    retriever = span("r", root, 0.1, 1.0, a={"openinference.span.kind": "RETRIEVER"} | flat)
    reranker = span("rr", root, 1.2, 0.3, a={"openinference.span.kind": "RERANKER"} | kept)
    assert [s.id for s in only(root, retriever, reranker, chat(root, 2)).sources] == ["d0", "d1"]


def test_an_empty_retrieval_is_not_an_unknown_one() -> None:
    root = span("query", took=9)
    empty = span("r", root, 0.1, 0.3, a={"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": "[]"})
    silent = span("r", root, 0.1, 0.3, a={"gen_ai.operation.name": "retrieval"})
    assert only(root, empty, chat(root, 2)).sources == ()
    assert only(root, silent, chat(root, 2)).sources is None


def test_a_retrieval_serves_the_next_call_of_its_own_branch() -> None:
    root = span("batch", took=20)
    a, b = span("a", root, 0, 9), span("b", root, 0.1, 9)
    found_a = span(
        "r", a, 0.2, 0.5, a={"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '[{"id": "a"}]'}
    )
    found_b = span(
        "r", b, 0.2, 2.5, a={"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '[{"id": "b"}]'}
    )
    found = calls(root, a, b, found_a, found_b, chat(a, 4, 1, tokens=(1, 1)), chat(b, 3, 1, tokens=(2, 2)))
    assert {call.input_tokens: call.sources[0].id for call in found} == {1: "a", 2: "b"}


def test_signed_urls_and_texts_are_no_document_ids() -> None:
    documents = [
        {"metadata": {"source": "https://x.test/doc.pdf?sig=abc"}},
        {"id": "a sentence of the document"},
        {"content": "text"},
    ]
    a = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": documents}
    root = span("query", took=9)
    assert [s.id for s in only(root, span("r", root, a=a), chat(root, 2)).sources] == [
        "https://x.test/doc.pdf",
        None,
        None,
    ]
