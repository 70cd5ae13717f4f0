import json
import logging

import pytest

from driftbell import monitor
from driftbell.monitor.fingerprint import language, refuses, sketch
from driftbell.monitor.redact import redacted

CANARY = "kanarienvogel"
SECRETS = {name: f"{CANARY}-{name}@example.com" for name in ("argument", "result", "document", "error", "user", "key")}


def everything_that_could_leak():
    """Calls with a canary in every place that content or an identity can come from."""

    @monitor.observe("answers", segment="de", expects="json")
    def answer(question, *, messages):
        call = monitor.current_call()
        call.sources = [{"id": "doc-1", "score": 0.5, "text": SECRETS["document"], "page_content": SECRETS["document"]}]
        call.citations = [SECRETS["document"]]
        call.user = SECRETS["user"]
        call.session = SECRETS["user"]
        text = f"The answer is {SECRETS['result']}."
        message = {"content": text, "refusal": SECRETS["result"], "tool_calls": [{"arguments": SECRETS["result"]}]}
        return {"choices": [{"message": message, "finish_reason": "stop"}], "model": "gpt-4o", "id": "chatcmpl-1"}

    @monitor.observe("answers")
    def stream(question):
        for _ in range(3):
            yield {"choices": [{"delta": {"content": SECRETS["result"]}}]}

    @monitor.observe("answers")
    def fail(question):
        raise ValueError(SECRETS["error"]) from KeyError(SECRETS["error"])

    answer(SECRETS["argument"], messages=[{"role": "user", "content": SECRETS["argument"]}])
    list(stream(SECRETS["argument"]))
    with pytest.raises(ValueError, match=CANARY):
        fail(SECRETS["argument"])
    ref = "0" * 31 + "1-" + "0" * 15 + "1"
    monitor.override(ref, "edited", before=SECRETS["result"], after=SECRETS["argument"])
    monitor.manual_task("answers", user=SECRETS["user"])


@pytest.mark.parametrize(
    "text",
    [
        f"{CANARY} lives at 12 Elm Street and has asked twice for a refund since May",
        f"{CANARY}\nsecond line",
        CANARY * 20,
    ],
)
def test_a_text_given_in_the_place_of_a_documents_id_is_told_by_its_hash(recording, text):
    for _ in range(2):
        with monitor.observe("answers") as call:
            call.sources = [text, {"id": text, "score": 0.5}, "Travel policy 2026 (final).pdf"]
    one, other = (json.loads(span.attributes["gen_ai.retrieval.documents"]) for span in recording.spans())
    assert one == other
    assert one[0]["id"] == one[1]["id"] != text
    assert one[2]["id"] == "Travel policy 2026 (final).pdf"
    assert CANARY.encode() not in b"".join(recording.bodies)


def exported(collector):
    assert monitor.flush(10)
    return b"".join(collector.bodies)


@pytest.mark.parametrize("fingerprint", [False, True])
def test_no_content_leaves_the_process(collector, caplog, fingerprint):
    caplog.set_level(logging.DEBUG)
    monitor.shutdown()
    monitor.configure(endpoint=collector.url, hash_key=SECRETS["key"], fingerprint=fingerprint)
    everything_that_could_leak()
    sent = exported(collector)
    monitor.shutdown()
    assert len(collector.received()) == 5
    assert CANARY.encode() not in sent
    assert CANARY not in caplog.text


def test_captured_content_is_redacted(collector):
    monitor.shutdown()
    monitor.configure(endpoint=collector.url, capture=["answers"], redact=[r"ticket \d+"])

    @monitor.observe("answers")
    def answer(question):
        return "Write to bob@example.com about ticket 4711."

    @monitor.observe("others")
    def other(question):
        return "unseen"

    answer("I am alice@example.com, card 4111 1111 1111 1111")
    other("unseen")
    captured, uncaptured = collector.spans()
    monitor.shutdown()
    asked = json.loads(captured.attributes["gen_ai.input.messages"])
    answered = json.loads(captured.attributes["gen_ai.output.messages"])
    assert json.loads(asked[0]["parts"][0]["content"]) == ["I am [email], card [card]"]
    assert answered[0]["parts"][0]["content"] == "Write to [email] about [redacted]."
    assert "gen_ai.output.messages" not in uncaptured.attributes


@pytest.mark.parametrize(
    "question",
    [
        "Call me:\n+49 170 1234567",
        "My account:\nDE89370400440532013000",
        "The key:\nsk-abcdefghijk12345678",
        "Ours:\nK-4711",
        '{"password": "hunter22!"}',
        {"password": "hunter22!"},
        {"+49 170 1234567": 1},
        [{"role": "user", "content": '{"tool": "{\\"api_key\\": \\"hunter22!\\"}"}'}],
    ],
)
def test_no_escape_of_json_hides_what_is_to_be_redacted(collector, question):
    monitor.shutdown()
    monitor.configure(endpoint=collector.url, capture=["answers"], redact=[r"\bK-\d+"])
    monitor.observe("answers")(lambda _question: None)(question)
    captured = collector.span().attributes["gen_ai.input.messages"]
    monitor.shutdown()
    assert "[" in captured
    assert not any(secret in captured for secret in ("1234567", "DE89", "sk-abc", "4711", "hunter22"))


class Bomb:
    def __bool__(self):
        raise ZeroDivisionError

    __str__ = __repr__ = __bool__


@pytest.mark.parametrize("messages", [Bomb(), {Bomb(): 1}, [Bomb()]])
def test_a_captured_call_is_recorded_whatever_it_was_asked(collector, messages):
    monitor.shutdown()
    monitor.configure(endpoint=collector.url, capture=["answers"])
    monitor.observe("answers")(lambda **_: None)(messages=messages)
    captured = collector.span().attributes["gen_ai.input.messages"]
    monitor.shutdown()
    assert "<Bomb>" in captured


def test_a_captured_question_is_bounded(collector):
    monitor.shutdown()
    monitor.configure(endpoint=collector.url, capture=["answers"])
    monitor.observe("answers")(lambda _questions: None)([{"content": "ab " * 9_000} for _ in range(40)])
    captured = collector.span().attributes["gen_ai.input.messages"]
    monitor.shutdown()
    assert 10_000 < len(captured) < 30_000


def test_a_fingerprint_tells_of_the_answer_without_it(collector):
    monitor.shutdown()
    monitor.configure(endpoint=collector.url, fingerprint=["answers"])
    text = "Ihre Bestellung ist auf dem Weg und kommt mit der Post, wenn Sie nicht zu Hause sind."

    @monitor.observe("answers", expects=lambda answer: answer.endswith("."))
    def answer():
        return {"choices": [{"message": {"content": text}}]}

    answer()
    told = collector.span().attributes
    monitor.shutdown()
    assert told["driftbell.output.length"] == len(text)
    assert told["driftbell.output.language"] == "de"
    assert len(told["driftbell.output.sketch"]) == 16
    assert told["driftbell.refused"] is False
    assert told["driftbell.format_ok"] is True


@pytest.mark.parametrize(("answer", "well_formed"), [('{"a": 1}', True), ("Sure! {", False), ("[" * 99_999, False)])
def test_an_expected_form_is_checked(recording, answer, well_formed):
    monitor.observe("answers", expects="json")(lambda: answer)()
    assert recording.span().attributes["driftbell.format_ok"] is well_formed


def test_the_same_user_has_the_same_hash_under_one_key_and_another_under_another(collector):
    seen = []
    for key in ("one", "one", "two"):
        monitor.shutdown()
        monitor.configure(endpoint=collector.url, hash_key=key)
        with monitor.observe("answers") as call:
            call.user = "alice"
        seen.append(collector.spans()[-1].attributes["user.id"])
    monitor.shutdown()
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail me at jane.doe+x@mail.example.co.uk now", "mail me at [email] now"),
        ("call +49 (0)30 1234-5678 today", "call [phone] today"),
        ("card 4111-1111-1111-1111.", "card [card]."),
        ("order 4111-1111-1111-1112.", "order 4111-1111-1111-1112."),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [iban] please"),
        ("key sk-proj-abcdefghijklmnop1234567890", "key [key]"),
        ("aws AKIAIOSFODNN7EXAMPLE", "aws [key]"),
        ("Authorization: Bearer abcdef0123456789abcdef", "Authorization: [token]"),
        ("password=hunter2secret", "[secret]"),
        ("export DB_PASSWORD=hunter22", "export DB_[secret]"),
        ("client_secret: hunter22", "client_[secret]"),
        ("access_key=hunter22", "[secret]"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N", "jwt [token]"),
        ("see https://bucket.example.com/a?sig=abcdef1234567890", "see https://bucket.example.com/a?[secret]"),
        (
            "In 2024 we sold 1,234 units at 19.99 to 3 customers.",
            "In 2024 we sold 1,234 units at 19.99 to 3 customers.",
        ),
    ],
)
def test_personal_data_and_secrets_are_found(text, clean):
    assert redacted(text) == clean


def test_redaction_of_a_long_text_ends():
    for unit in ("a@", "1 ", "eyJ.", "password ", "-----BEGIN ", "Aa1", "DE89 "):
        redacted(unit * 5000)


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("The order is on its way and you will have it with the next delivery.", "en"),
        ("Votre commande est dans le camion et nous vous écrivons une fois que la livraison est faite.", "fr"),
        ("ご注文の商品は発送されました。", "ja"),
        ("Ваш заказ уже в пути", "ru"),
        ("您的订单已发货", "zh"),
        ("42", None),
        ("", None),
    ],
)
def test_the_language_is_guessed_or_left_open(text, guess):
    assert language(text) == guess


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I cannot assist with this request.", True),
        ("Es tut mir leid, dabei kann ich Ihnen nicht helfen.", True),
        ("You can't return it after 30 days, sorry.", False),
        ("Here is the summary.", False),
    ],
)
def test_refusals_are_told_from_answers(text, refused):
    assert refuses(text) is refused


def test_sketches_of_like_texts_are_alike_and_of_unlike_texts_are_not():
    def apart(one, two):
        return sum(abs(int(a, 16) - int(b, 16)) for a, b in zip(sketch(one), sketch(two), strict=True))

    billing = "Your invoice for this month is due. Please pay the invoice by bank transfer to our account. " * 4
    reworded = "The invoice of this month is due. Please pay it by bank transfer to our account soon. " * 4
    weather = "Tomorrow brings rain in the north, sun in the south and strong wind over the coast. " * 4
    assert apart(billing, reworded) < apart(billing, weather)
