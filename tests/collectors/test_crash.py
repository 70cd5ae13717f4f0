import importlib.util
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"


def load(name: str):
    """A program of ``bench/`` as a module."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_nothing_acknowledged_is_lost_or_doubled_when_the_process_is_killed(tmp_path):
    crash = load("crash")
    clients = crash.kill_repeatedly(tmp_path, kills=4, seed=1, enough=100)
    assert len(clients.acknowledged) >= 100
    assert crash.check(tmp_path, clients.acknowledged) == (0, 0, "ok", True)


def test_a_stopped_server_has_finished_what_it_accepted(tmp_path):
    crash = load("crash")
    process, port = crash.start(tmp_path)
    clients = crash.Clients(seed=3, url=f"http://127.0.0.1:{port}/v1/traces")
    threads = clients.start()
    while len(clients.acknowledged) < 100:
        assert process.poll() is None
    process.terminate()
    process.wait(10)
    clients.stop.set()
    for thread in threads:
        thread.join(20)
    assert process.returncode in (0, -15)
    assert crash.check(tmp_path, clients.acknowledged) == (0, 0, "ok", True)
