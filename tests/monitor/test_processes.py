"""Forks, threads, event loops, notebooks and the end of the interpreter."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from driftbell import monitor


def run(program, **variables):
    """Run a program to its end; its output."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_workers_send_their_own_calls_once_and_none_of_their_parent(collector):
    run(f"""
        import os
        from driftbell import monitor
        monitor.configure(endpoint={collector.url!r})
        for n in range(3):
            monitor.marker("parent", str(n))
        children = []
        for child in range(4):
            pid = os.fork()
            if not pid:
                for n in range(5):
                    with monitor.observe("child"):
                        pass
                monitor.shutdown()
                os._exit(0)
            children.append(pid)
        for pid in children:
            assert os.waitpid(pid, 0)[1] == 0
        """)
    spans = collector.received()
    assert sum(span.name == "child" for span in spans) == 20
    assert sum(span.name == "driftbell.marker" for span in spans) == 3
    assert len({(span.trace_id, span.span_id) for span in spans}) == 23
    assert len({span.resource["service.instance.id"] for span in spans}) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_workers_that_run_no_exit_handlers_send_their_last_calls(collector):
    run(f"""
        import multiprocessing
        from driftbell import monitor
        monitor.configure(endpoint={collector.url!r})
        def work(n):
            with monitor.observe("child"):
                pass
        workers = [multiprocessing.get_context("fork").Process(target=work, args=(n,)) for n in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(10)
            assert worker.exitcode == 0
        """)
    assert [span.name for span in collector.received()] == ["child"] * 3


def test_finalizers_may_make_calls_wherever_they_run(collector):
    """A finalizer runs at any allocation, also in the middle of our own work, and must not wait for itself."""
    out = run(
        f"""
        import gc
        from driftbell import monitor
        monitor.configure(endpoint={collector.url!r})
        class Dropped:
            def __init__(self):
                self.itself = self
            def __del__(self):
                monitor.marker("release")
        gc.set_threshold(5, 2, 2)
        for _ in range(3000):
            Dropped()
            with monitor.observe("answers"):
                pass
        gc.set_threshold(700)
        monitor.flush()
        print("alive")
        """,
        OTEL_BSP_MAX_QUEUE_SIZE="4",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2",
    )
    assert out == "alive\n"


def test_every_thread_records_its_calls(recording):
    @monitor.observe("answers", segment=str)
    def answer(n):
        return monitor.current_call().ref

    with ThreadPoolExecutor(8) as pool:
        refs = list(pool.map(answer, range(400)))
    spans = recording.spans()
    assert {f"{span.trace_id}-{span.span_id}" for span in spans} == set(refs)
    assert {span.attributes["driftbell.segment"] for span in spans} == {str(n) for n in range(400)}


def test_tasks_of_one_loop_keep_their_calls_apart(recording):
    @monitor.observe("answers")
    async def answer(n):
        ref = monitor.current_call().ref
        await asyncio.sleep(0.001)
        assert monitor.current_call().ref == ref
        monitor.current_call().citations = n
        return ref

    async def everyone():
        return await asyncio.gather(*(answer(n) for n in range(100)))

    refs = asyncio.run(everyone())
    told = {f"{s.trace_id}-{s.span_id}": s.attributes["driftbell.citations.count"] for s in recording.spans()}
    assert told == {ref: n for n, ref in enumerate(refs)}


def test_configuring_twice_alike_changes_nothing(recording):
    before = threading.active_count()
    for _ in range(5):
        assert monitor.configure(endpoint=recording.url, service="tests")
        monitor.marker("release")
    assert len(recording.spans()) == 5
    assert threading.active_count() <= before + 2


def test_configuring_anew_sends_the_old_calls_to_the_old_place(recording, collector):
    monitor.marker("release", "before")
    assert monitor.configure(endpoint=recording.url, service="another")
    monitor.marker("release", "after")
    services = {s.attributes["driftbell.marker.value"]: s.resource["service.name"] for s in recording.spans()}
    assert services == {"before": "tests", "after": "another"}


def test_a_call_that_runs_while_it_is_configured_anew_is_not_lost(recording):
    with monitor.observe("answers"):
        assert monitor.configure(endpoint=recording.url, service="another")
    assert recording.span().resource["service.name"] == "another"
    assert monitor.dropped() == {}


def test_losses_are_still_told_after_configuring_anew_and_after_the_end(recording):
    recording.status = 400
    monitor.marker("release", "one")
    assert monitor.flush()
    recording.status = 200
    assert monitor.configure(endpoint=recording.url, service="another")
    assert monitor.dropped() == {"refused": 1}
    monitor.marker("release", "two")
    assert [span.attributes.get("driftbell.sdk.dropped_spans") for span in recording.spans()] == [None, 1]
    monitor.shutdown()
    assert monitor.dropped() == {"refused": 1}


def test_calls_in_exit_handlers_do_not_raise(collector):
    out = run(f"""
        import atexit
        from driftbell import monitor
        @monitor.observe("late")
        def late():
            return "late"
        atexit.register(lambda: print(late()))
        monitor.configure(endpoint={collector.url!r})
        class Dying:
            def __del__(self):
                print(late())
        keep = Dying()
        """)
    assert out == "late\nlate\n"


def test_otel_sdk_disabled_switches_everything_off(collector):
    out = run(
        f"""
        from driftbell import monitor
        print(monitor.configure(endpoint={collector.url!r}))
        with monitor.observe("answers") as call:
            call.citations = 3
        print(repr(call.ref))
        """,
        OTEL_SDK_DISABLED="true",
    )
    assert out == "False\n''\n"
    assert collector.bodies == []


def test_the_standard_variables_are_honoured(collector):
    run(
        """
        from driftbell import monitor
        monitor.configure()
        monitor.marker("release")
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20abc",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_SERVICE_NAME="billing",
        OTEL_RESOURCE_ATTRIBUTES="team=a,service.version=9",
    )
    [span] = collector.received()
    assert span.resource["service.name"] == "billing"
    assert span.resource["service.version"] == "9"
    assert collector.last_headers["Authorization"] == "Bearer abc"
    assert collector.last_headers["Content-Encoding"] == "gzip"


def test_a_sampler_from_the_environment_decides(collector):
    run(
        """
        from driftbell import monitor
        monitor.configure()
        with monitor.observe("answers") as call:
            assert len(call.ref) == 49
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_TRACES_SAMPLER="always_off",
    )
    assert collector.bodies == []


def test_importing_brings_no_heavy_library_along():
    out = run("""
        import sys
        from driftbell import monitor
        heavy = {"pydantic", "httpx", "numpy", "river", "requests", "grpc", "google.protobuf", "genai_prices"}
        monitor.configure()
        print(sorted(heavy & set(sys.modules)))
        print(sorted(name for name in sys.modules if name.startswith("driftbell.") and "monitor" not in name))
        """)
    assert out == "[]\n[]\n"


def test_a_wrong_setting_is_told_and_does_not_raise(collector):
    out = run("""
        import logging, sys
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        from driftbell import monitor
        print(monitor.configure(endpoint="ftp://somewhere"))
        print(monitor.configure(redact=["("]))
        print(monitor.configure(prices={"gpt": {"inptu": 3}}))
        print(monitor.configure(tracer_provider=object()))
        """)
    assert out.count("False") == 4
    assert "must be an http:// or https:// address" in out
    assert "is no regular expression" in out
    assert "unknown inptu; known are input, output, cached_input, cache_write" in out
    assert "must be an opentelemetry.sdk.trace.TracerProvider" in out


def test_what_is_reported_of_a_sampled_call_is_sampled_with_it(collector):
    out = run(
        """
        from driftbell import monitor
        monitor.configure()
        for _ in range(200):
            with monitor.observe("answers") as call:
                pass
            monitor.override(call.ref, "rejected")
        for number in range(5):
            monitor.marker("release", str(number))
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.3",
    )
    assert out == ""
    spans = collector.received()
    calls = {span.trace_id for span in spans if span.name == "answers"}
    judged = {span.attributes["driftbell.call.trace_id"] for span in spans if span.name == "driftbell.override"}
    assert 0 < len(calls) < 200
    assert judged == calls
    assert sum(span.name == "driftbell.marker" for span in spans) == 5


def test_a_variable_that_is_no_number_is_named(collector):
    out = run(
        """
        import logging, sys
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        from driftbell import monitor
        print(monitor.configure())
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_ATTRIBUTE_COUNT_LIMIT="many",
    )
    assert "_LIMIT must hold whole numbers" in out
    assert out.endswith("False\n")
