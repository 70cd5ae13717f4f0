"""Who may import whom: monitor <- collectors <- detectors <- alerts <- service."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = ("monitor", "collectors", "detectors", "alerts", "service")
OPTIONAL = {"grpc", "genai_prices"}
"""Extras of the application side: used when they are installed, and loaded only then."""
MONITOR_MAY_IMPORT = {*sys.stdlib_module_names, "opentelemetry", "driftbell"} | OPTIONAL
HEAVY = (
    *OPTIONAL,
    "pydantic",
    "numpy",
    "river",
    "scipy",
    "httpx",
    "httpx2",
    "starlette",
    "uvicorn",
    "sqlite_utils",
    "click",
    "rich",
)


def _files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def _imports(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            if node.module == "driftbell":
                found += [f"driftbell.{name.name}" for name in node.names]
            else:
                found.append(node.module)
    return found


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_what_comes_before_it(package):
    allowed = {f"driftbell.{name}" for name in ORDER[: ORDER.index(package) + 1]}
    for file in _files(package):
        for name in _imports(file):
            assert name.split(".")[0] not in ORDER, f"{file} imports {name}: write driftbell.{name}"
            if name.startswith("driftbell"):
                assert ".".join(name.split(".")[:2]) in allowed, f"{file} imports {name}"


def test_the_application_side_imports_only_the_standard_library_and_opentelemetry():
    for file in _files("monitor"):
        for name in _imports(file):
            assert name.split(".")[0] in MONITOR_MAY_IMPORT, f"{file} imports {name}"


def test_only_the_detectors_import_river():
    for package in ORDER:
        for file in _files(package):
            names = {name.split(".")[0] for name in _imports(file)}
            assert package == "detectors" or "river" not in names, f"{file} imports river"


def test_importing_the_application_side_loads_nothing_heavy():
    code = "import sys, driftbell.monitor; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert not loaded & set(HEAVY)


def test_no_package_of_ours_answers_to_a_bare_name():
    code = "import sys, driftbell.monitor, driftbell.service.cli; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not set(run.stdout.split()) & set(ORDER)


def test_every_package_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    installed = project["tool"]["setuptools"]["package-dir"]
    folders = {
        str(file.parent.relative_to(ROOT)) for package in ORDER for file in (ROOT / package).rglob("__init__.py")
    }
    assert folders <= set(installed.values())
    assert set(project["tool"]["setuptools"]["packages"]) == set(installed)
