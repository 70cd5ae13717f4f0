"""Every example of docs/instrument.md runs, those of providers against the stand-in."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "instrument.md"
EXAMPLES = re.findall(r"```python run(?:=(\S+))?\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("library", "program"), EXAMPLES, ids=[f"{n}-{e[0] or 'plain'}" for n, e in enumerate(EXAMPLES)]
)
def test_the_example_runs_and_is_recorded(library, program, standin, recording, monkeypatch):
    if library:
        pytest.importorskip(library, reason=f"{library} is not installed: pip install -r requirements-providers.lock")
    for name, address in {
        "OTEL_EXPORTER_OTLP_ENDPOINT": recording.url,
        "OPENAI_BASE_URL": f"{standin}/v1",
        "OPENAI_API_BASE": f"{standin}/v1",
        "ANTHROPIC_BASE_URL": standin,
        "GOOGLE_GEMINI_BASE_URL": standin,
        "AZURE_OPENAI_ENDPOINT": standin,
        "AWS_ENDPOINT_URL": standin,
        "MISTRAL_SERVER": standin,
        "CO_API_URL": standin,
    }.items():
        monkeypatch.setenv(name, address)
    for name in ("OPENAI", "ANTHROPIC", "GOOGLE", "AZURE_OPENAI", "MISTRAL", "CO"):
        monkeypatch.setenv(f"{name}_API_KEY", "k")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    if "AzureOpenAI" in program:
        monkeypatch.delenv("OPENAI_BASE_URL")
    exec(compile(program, str(PAGE), "exec"), {"__name__": "example"})
    calls = [span for span in recording.spans() if "gen_ai.operation.name" in span.attributes]
    assert calls
    if library:
        assert all(call.attributes["gen_ai.usage.input_tokens"] == 19 for call in calls)
