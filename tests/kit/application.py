"""A user's application: `python application.py CALLS [ENDPOINT]`; prints the reference of each call to triage."""

import sys
from types import SimpleNamespace

from driftbell import monitor


def response(name: str, number: int) -> SimpleNamespace:
    """What an OpenAI-style client returns."""
    usage = SimpleNamespace(prompt_tokens=100 + number, completion_tokens=20, total_tokens=120 + number)
    choice = SimpleNamespace(
        finish_reason="stop", index=0, message=SimpleNamespace(content="secret answer", role="assistant")
    )
    return SimpleNamespace(
        id=f"{name}-{number}", model="atlas-2026", object="chat.completion", choices=[choice], usage=usage
    )


@monitor.observe(
    workflow="ticket-triage", segment=lambda number: "even" if number % 2 == 0 else "odd", risk_tier="high"
)
def triage(number: int) -> SimpleNamespace:
    """One call."""
    call = monitor.current_call()
    call.sources = [("doc-1", 0.9), ("doc-2", 0.7)]
    call.citations = 1
    call.user = f"user-{number % 3}@example.com"
    print(call.ref)
    return response("triage", number)


def main(calls: int, endpoint: str | None = None) -> None:
    """Serve so many tickets, and tell what became of the first."""
    monitor.configure(endpoint=endpoint, service="helpdesk", release="1.2.3")
    refs = []
    for number in range(calls):
        with monitor.observe(workflow="chat") as call:
            call.record(response("chat", number))
            refs.append(call.ref)
        triage(number)
    monitor.override(refs[0], "edited", edit_distance=0.25)
    monitor.evaluation(refs[0], "groundedness", 0.8)
    monitor.manual_task("ticket-triage", segment="odd", user="user-1@example.com")
    monitor.marker("prompt", "v14", workflow="ticket-triage")
    monitor.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
