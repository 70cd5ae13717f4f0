"""The providers' own client libraries, talking to a stand-in, inside observed functions.

The libraries are in the dependency group ``providers``; without them these tests are skipped.
"""

import asyncio

import pytest

from driftbell import monitor


def library(name):
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install -r requirements-providers.lock")


def check(span, provider, model, reasoning=None, finish="stop", cached=8, sent=19, received=10):
    told = span.attributes
    assert told.get("gen_ai.provider.name") == provider
    assert told.get("gen_ai.response.model") == model
    assert told.get("gen_ai.usage.input_tokens") == sent
    assert told.get("gen_ai.usage.cache_read.input_tokens") == cached
    assert told.get("gen_ai.usage.output_tokens") == received
    assert told.get("gen_ai.usage.reasoning.output_tokens") == reasoning
    assert [reason.lower() for reason in told.get("gen_ai.response.finish_reasons", [])] == [finish]


def called(work):
    """``work`` as an observed call; consumes what it returns if that is a stream."""
    result = monitor.observe("answers")(work)()
    return list(result) if hasattr(result, "__next__") else result


MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
def openai(standin):
    return library("openai").OpenAI(base_url=f"{standin}/v1", api_key="k")


def test_openai_chat(openai, recording):
    answer = called(lambda: openai.chat.completions.create(model="gpt-4o-2024-08-06", messages=MESSAGES))
    assert answer.choices[0].message.content == "Hello there"
    check(recording.span(), "openai", "gpt-4o-2024-08-06", reasoning=4)


def test_another_vendor_behind_openais_client_is_told_by_its_model(openai, recording):
    called(lambda: openai.chat.completions.create(model="deepseek-chat", messages=MESSAGES))
    check(recording.span(), "deepseek", "deepseek-chat", reasoning=4)


def test_openai_chat_stream_stays_the_clients_object_and_is_read(openai, recording):
    @monitor.observe("answers")
    def opened():
        return openai.chat.completions.create(
            model="gpt-4o-2024-08-06", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )

    stream = opened()
    assert type(stream) is library("openai").Stream
    assert len(list(stream)) == 4
    span = recording.span()
    check(span, "openai", "gpt-4o-2024-08-06", reasoning=4)
    assert "gen_ai.response.time_to_first_chunk" in span.attributes


def test_openai_async_chat_and_stream(standin, recording):
    client = library("openai").AsyncOpenAI(base_url=f"{standin}/v1", api_key="k")

    @monitor.observe("answers")
    async def ask(stream):
        return await client.chat.completions.create(model="gpt-4o-2024-08-06", messages=MESSAGES, stream=stream)

    async def both():
        await ask(False)
        return [chunk async for chunk in await ask(True)]

    assert len(asyncio.run(both())) == 4
    for span in recording.spans():
        check(span, "openai", "gpt-4o-2024-08-06", reasoning=4)


def test_openai_responses_and_their_stream(openai, recording):
    called(lambda: openai.responses.create(model="gpt-4.1", input="hi"))
    called(lambda: openai.responses.create(model="gpt-4.1", input="hi", stream=True))
    one, streamed = recording.spans()
    check(one, "openai", "gpt-4.1-2025-04-14", reasoning=4)
    check(streamed, "openai", "gpt-4.1-2025-04-14", reasoning=4)


def test_openai_embeddings(openai, recording):
    called(lambda: openai.embeddings.create(model="text-embedding-3-small", input="hi", encoding_format="float"))
    told = recording.span().attributes
    assert told["gen_ai.operation.name"] == "embeddings"
    assert told["gen_ai.usage.input_tokens"] == 19
    assert "gen_ai.usage.output_tokens" not in told


def test_azure(standin, recording):
    client = library("openai").AzureOpenAI(azure_endpoint=standin, api_key="k", api_version="2024-10-21")
    called(lambda: client.chat.completions.create(model="gpt-4o-2024-08-06", messages=MESSAGES))
    check(recording.span(), "openai", "gpt-4o-2024-08-06", reasoning=4)


@pytest.fixture
def anthropic(standin):
    return library("anthropic").Anthropic(base_url=standin, api_key="k")


ASKED = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": MESSAGES}


def test_anthropic(anthropic, recording):
    called(lambda: anthropic.messages.create(**ASKED))
    check(recording.span(), "anthropic", "claude-sonnet-4-5-20250929", finish="end_turn")


def test_anthropic_stream(anthropic, recording):
    called(lambda: anthropic.messages.create(**ASKED, stream=True))
    check(recording.span(), "anthropic", "claude-sonnet-4-5-20250929", finish="end_turn")


def test_anthropic_stream_helper_read_in_the_body(anthropic, recording):
    with monitor.observe("answers") as call, anthropic.messages.stream(**ASKED) as stream:
        for _ in call.stream(stream):
            pass
    check(recording.span(), "anthropic", "claude-sonnet-4-5-20250929", finish="end_turn")


def test_google(standin, recording):
    genai = library("google.genai")
    client = genai.Client(api_key="k", http_options={"base_url": standin})
    called(lambda: client.models.generate_content(model="gemini-2.5-flash", contents="hi"))
    called(lambda: client.models.generate_content_stream(model="gemini-2.5-flash", contents="hi"))
    for span in recording.spans():
        check(span, "gcp.gemini", "gemini-2.5-flash", reasoning=4)


@pytest.fixture
def bedrock(standin):
    boto3 = library("boto3")
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=standin,
        region_name="eu-central-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )


CONVERSE = {"modelId": "anthropic.claude-sonnet-4-5", "messages": [{"role": "user", "content": [{"text": "hi"}]}]}


def test_bedrock_converse(bedrock, recording):
    called(lambda: bedrock.converse(**CONVERSE))
    check(recording.span(), "aws.bedrock", None, finish="end_turn")


def test_bedrock_converse_stream_read_in_the_body(bedrock, recording):
    with monitor.observe("answers", model=CONVERSE["modelId"]) as call:
        for _ in call.stream(bedrock.converse_stream(**CONVERSE)["stream"]):
            pass
    check(recording.span(), "aws.bedrock", None, finish="end_turn")


def test_mistral(standin, recording):
    library("mistralai")
    from mistralai.client import Mistral

    client = Mistral(api_key="k", server_url=standin)
    called(lambda: client.chat.complete(model="mistral-large-latest", messages=MESSAGES))
    called(lambda: client.chat.stream(model="mistral-large-latest", messages=MESSAGES))
    one, streamed = recording.spans()
    assert one.attributes["gen_ai.provider.name"] == streamed.attributes["gen_ai.provider.name"] == "mistral_ai"
    for span in (one, streamed):
        assert span.attributes["gen_ai.response.model"] == "mistral-large-latest"
        assert span.attributes["gen_ai.usage.input_tokens"] == 19
        assert span.attributes["gen_ai.usage.output_tokens"] == 10


def test_cohere(standin, recording):
    client = library("cohere").ClientV2(api_key="k", base_url=standin)
    called(lambda: client.chat(model="command-a-03-2025", messages=MESSAGES))
    called(lambda: client.chat_stream(model="command-a-03-2025", messages=MESSAGES))
    for span in recording.spans():
        check(span, "cohere", None, finish="complete")


def test_litellm(standin, recording, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    litellm = library("litellm")
    asked = {"model": "openai/gpt-4o-2024-08-06", "messages": MESSAGES, "api_base": f"{standin}/v1", "api_key": "k"}
    called(lambda: litellm.completion(**asked))
    with monitor.observe("answers") as call:
        for _ in call.stream(litellm.completion(**asked, stream=True, stream_options={"include_usage": True})):
            pass
    one, streamed = recording.spans()
    check(one, "openai", "gpt-4o-2024-08-06", reasoning=4)
    assert streamed.attributes["gen_ai.usage.input_tokens"] == 19
    assert streamed.attributes["gen_ai.usage.output_tokens"] == 10


def test_langchain_messages(standin, recording):
    chat = library("langchain_openai").ChatOpenAI(
        model="gpt-4o-2024-08-06", base_url=f"{standin}/v1", api_key="k", stream_usage=True
    )
    called(lambda: chat.invoke("hi"))
    called(lambda: chat.stream("hi"))
    for span in recording.spans():
        check(span, "openai", "gpt-4o-2024-08-06", reasoning=4)


def test_langchain_anthropic_messages(standin, recording):
    chat = library("langchain_anthropic").ChatAnthropic(model="claude-sonnet-4-5", base_url=standin, api_key="k")
    called(lambda: chat.invoke("hi"))
    check(recording.span(), "anthropic", "claude-sonnet-4-5-20250929", finish="end_turn")


def test_pydantic_ai(standin, recording):
    library("pydantic_ai")
    library("openai")
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("gpt-4o-2024-08-06", provider=OpenAIProvider(base_url=f"{standin}/v1", api_key="k"))
    agent = Agent(model)
    assert called(lambda: agent.run_sync("hi")).output == "Hello there"
    check(recording.span(), "openai", "gpt-4o-2024-08-06", reasoning=4)


def test_the_clients_exceptions_tell_what_happened(openai, recording, monkeypatch):
    library("openai")
    import httpx
    from openai import RateLimitError

    @monitor.observe("answers")
    def limited():
        request = httpx.Request("POST", "http://x")
        raise RateLimitError("secret", response=httpx.Response(429, request=request), body=None)

    with pytest.raises(RateLimitError):
        limited()
    told = recording.span().attributes
    assert told["driftbell.status"] == "rate_limited"
    assert told["error.type"] == "openai.RateLimitError"
