"""What the application side costs, beside the bare OpenTelemetry SDK in the same run.

    python bench/sdk.py [--peers] [hot|cpu|import|overflow|exit|peers ...]

``--peers`` adds other instrumentations, each in an environment of its own that the first run installs from PyPI, and
measured beside the floor in that environment (seven minutes, most of them spent waiting for their exits).

Every figure is a median; ratios are driftbell's over the floor's. Hot-path figures are CPU time of the calling thread,
in rounds that alternate between the contenders. The collector is a process of its own and is not counted.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from sdk_contenders import CHUNKS, CONTENDERS, Contender, run_async
from sdk_peer_contenders import IMPORTS as PEER_IMPORTS
from sdk_peer_contenders import PEERS
from sdk_peers import NotInstalledError, python_of
from sdk_sink import hanging, refusing, sink

ROUNDS = 25
PEER_ROUNDS = 7
CALLS = 400
PACED_CALLS = 10_000
PACED_RATE = 2500
FLOOD = 48_000


def cpu_of(work: Callable[[], object]) -> float:
    """CPU microseconds of this thread that ``work`` took."""
    before = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - before) / 1000


def drain(stream: Callable[[], Any], times: int) -> None:
    """Read ``times`` streams to their end."""
    for _ in range(times):
        for _ in stream():
            pass


def repeat(call: Callable[[], Any], times: int) -> None:
    """``times`` calls."""
    for _ in range(times):
        call()


def interleaved(works: dict[str, Callable[[], object]], units: int, rounds: int) -> dict[str, float]:
    """Median microseconds per unit of each work, in alternating rounds after one warm-up round."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            cost = cpu_of(work) / units
            if number:
                taken[name].append(cost)
            time.sleep(0.02)  # lets the exporting threads empty their queues, whose cost is `cpu`'s matter
    return {name: statistics.median(costs) for name, costs in taken.items()}


def hot() -> None:
    """CPU of the calling thread for each call and each chunk."""
    print(f"hot path, µs CPU of the calling thread, median of {ROUNDS} alternating rounds")
    with sink() as target:
        for kind, found in hot_path("driftbell", target.url, ROUNDS).items():
            _line(kind, found)


def hot_path(name: str, url: str, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds of a contender and of the floor beside it, by kind of call."""
    contenders = {one: (CONTENDERS | PEERS)[one]() for one in ("floor", name)}
    for contender in contenders.values():
        contender.start(url)
    kinds: dict[str, tuple[Callable[[Contender], Callable[[], object]], int]] = {
        "sync call": (lambda c: _bound(repeat, c.call(), CALLS), CALLS),
        "async call": (lambda c: _bound(run_async, c.async_call(), CALLS), CALLS),
        f"chunk of {CHUNKS}, call included": (lambda c: _bound(drain, c.stream(), CALLS), CALLS * CHUNKS),
    }
    found = {
        kind: interleaved({one: work_of(contender) for one, contender in contenders.items()}, units, rounds)
        for kind, (work_of, units) in kinds.items()
    }
    for contender in contenders.values():
        contender.stop()
    return found


def _bound(function: Callable[..., object], *args: Any) -> Callable[[], object]:
    return lambda: function(*args)


def _line(what: str, found: dict[str, float], unit: str = "µs", digits: int = 2) -> None:
    floor = found["floor"]
    figures = "  ".join(f"{name} {value:.{digits}f} {unit}" for name, value in found.items())
    ratios = "  ".join(f"{name} {value / floor:.2f}x" for name, value in found.items() if name != "floor")
    print(f"  {what:28} {figures}   | {ratios}", flush=True)


def child(task: str, name: str, url: str, python: str | Path = sys.executable) -> Any:
    """Run a task for one contender in a fresh process; what it printed last, read as JSON."""
    command = [str(python), __file__, "--child", task, name, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def medians(task: str, names: list[str], url: str, times: int) -> dict[str, dict[str, float]]:
    """The median of every figure of a task, contenders taking turns."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(times):
        for name in names:
            found[name].append(child(task, name, url))
    return {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()}


def cpu() -> None:
    """All CPU of the process, export included, at a rate that loses nothing."""
    print(f"total CPU with export, {PACED_CALLS} calls at {PACED_RATE}/s, median of 5 processes")
    with sink() as target:
        found = medians("cpu", ["floor", "driftbell", "driftbell+prices", "driftbell+fingerprint"], target.url, 5)
    _line("µs CPU for each call", {name: run["us"] for name, run in found.items()}, digits=0)


def imports() -> None:
    """CPU and memory of importing, and of being ready with one span sent."""
    print("import and ready, median of 15 processes each, taking turns")
    taken: dict[str, list[float]] = {name: [] for name in IMPORTS}
    states: dict[str, list[tuple[float, float]]] = {name: [] for name in READY}
    with sink() as target:
        for _ in range(15):
            for name, statement in IMPORTS.items():
                taken[name].append(import_ms(statement))
            for name, runs in states.items():
                runs.append(ready(name, target.url))
    _line("import (floor: SDK alone)", {name: statistics.median(runs) for name, runs in taken.items()}, "ms", 0)
    for index, what, unit in ((0, "ready, CPU", "ms"), (1, "ready, over bare Python", "MB")):
        _line(what, {n: statistics.median(run[index] for run in runs) for n, runs in states.items()}, unit, 1)


def overflow() -> None:
    """What is lost at full speed, and whether it is told."""
    print(f"overflow: {FLOOD} calls at full speed")
    with sink() as target:
        for name in ("floor", "driftbell"):
            target.taken()
            run = child("flood", name, target.url)
            time.sleep(0.5)
            arrived = target.taken()
            told = "not told" if run["lost"] < 0 else f"{run['lost']:.0f} told"
            print(f"  {name:12} {arrived} arrived, {FLOOD - arrived} lost ({told}), {run['seconds']:.1f} s")


def exits() -> None:
    """Seconds from the last call to the end of the process when the collector is ill."""
    print("exit, seconds from the last of 1500 calls to the end of the process")
    for fault, address in (("refused", refusing), ("hanging", hanging)):
        with address() as url:
            for name in ("floor", "driftbell"):
                print(f"  {fault:10} {name:12} {_exit_seconds(name, url):.1f} s", flush=True)


def _exit_seconds(name: str, url: str, python: str | Path = sys.executable) -> float:
    command = [str(python), __file__, "--child", "exit", name, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() not in ("done\n", ""):
            pass  # some contenders greet
        done = time.monotonic()
        process.wait(120)
        return time.monotonic() - done


def peers() -> None:
    """Every peer that installs here, as ratios to the floor in its own environment."""
    print("peers, x the floor measured beside each; 'failed' says what did not work")
    print(f"  {'':14} {'sync':>6} {'async':>6} {'chunk':>6} {'all CPU':>8} {'import':>7} {'exit when refused':>18}")
    with sink() as target, refusing() as nowhere:
        for name in PEERS:
            try:
                row = _peer_row(name, target.url, nowhere)
            except NotInstalledError as error:
                row = f"not installed: {error}"
            except (subprocess.SubprocessError, ValueError, IndexError) as error:
                row = f"failed: {_reason(error)}"
            print(f"  {name:14} {row}", flush=True)


def _peer_row(name: str, url: str, nowhere: str) -> str:
    python = python_of(name)
    hot = [found[name] / found["floor"] for found in child("hot", name, url, python).values()]
    cpu = child("cpu", name, url, python)["us"] / child("cpu", "floor", url, python)["us"]
    ratios = f"{hot[0]:6.2f} {hot[1]:6.2f} {hot[2]:6.2f} {cpu:8.2f}"
    loading = statistics.median(import_ms(PEER_IMPORTS[name], python) for _ in range(3))
    return (
        f"{ratios} {loading / import_ms(IMPORTS['floor'], python):7.1f} {_exit_seconds(name, nowhere, python):16.1f} s"
    )


def _reason(error: Exception) -> str:
    """The last line that a failed process wrote."""
    told = getattr(error, "stderr", None) or str(error)
    return (told.decode() if isinstance(told, bytes) else told).strip().splitlines()[-1][:120]


IMPORTS = {"floor": "import opentelemetry.sdk.trace", "driftbell": "from driftbell import monitor"}


def import_ms(statement: str, python: str | Path = sys.executable) -> float:
    """CPU milliseconds of an import in a process that has imported nothing else, from compiled files."""
    program = f"import time; before = time.process_time(); {statement}; print(time.process_time() - before)"
    return float(_fresh(program, python).splitlines()[-1]) * 1000


def _fresh(program: str, python: str | Path = sys.executable) -> str:
    """The output of a program in a fresh process that keeps compiled files, as an installed one does."""
    environment = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir(), "driftbell-bench-compiled"))
    command = [str(python), "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment).stdout


READY = {
    "floor": """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter("{url}/v1/traces")))
with provider.get_tracer("floor").start_as_current_span("answers"):
    pass
provider.force_flush()
""",
    "driftbell": """
from driftbell import monitor
monitor.configure(endpoint="{url}")
with monitor.observe("answers"):
    pass
monitor.flush()
""",
}
MEASURED = """
import time
def memory():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
bare, before = memory(), time.process_time()
{program}
print((time.process_time() - before) * 1000, memory() - bare)
"""


def ready(name: str, url: str) -> tuple[float, float]:
    """CPU milliseconds and megabytes from nothing to one span sent."""
    program = MEASURED.format(program=READY[name].format(url=url))
    milliseconds, megabytes = _fresh(program).split()
    return float(milliseconds), float(megabytes)


def in_child(task: str, name: str, url: str) -> None:
    """One task of a fresh process; prints its figures as JSON."""
    if task == "hot":
        print(json.dumps(hot_path(name, url, PEER_ROUNDS)))
        return
    contender = (CONTENDERS | PEERS)[name]()
    contender.start(url)
    call = contender.call()
    call()
    began, cpu_before = time.monotonic(), time.process_time()
    if task == "cpu":
        for done in range(0, PACED_CALLS, 50):
            repeat(call, 50)
            time.sleep(max(0.0, began + (done + 50) / PACED_RATE - time.monotonic()))
        contender.stop()
        print(json.dumps({"us": (time.process_time() - cpu_before) / PACED_CALLS * 1e6}))
    elif task == "flood":
        repeat(call, FLOOD - 1)
        lost = contender.lost()
        contender.stop()
        print(json.dumps({"lost": -1 if lost is None else lost, "seconds": time.monotonic() - began}))
    elif task == "exit":
        repeat(call, 1500)
        print("done", flush=True)


PARTS = {"hot": hot, "cpu": cpu, "import": imports, "overflow": overflow, "exit": exits, "peers": peers}


def main() -> None:
    """Run the parts named on the command line, by default all."""
    if sys.argv[1:2] == ["--child"]:
        in_child(*sys.argv[2:5])
        return
    named = [part for part in sys.argv[1:] if part != "--peers"]
    wanted = named or [part for part in PARTS if part != "peers"]
    if "--peers" in sys.argv and "peers" not in wanted:
        wanted.append("peers")
    unknown = set(wanted) - set(PARTS)
    if unknown:
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for part in wanted:
        PARTS[part]()


if __name__ == "__main__":
    main()
