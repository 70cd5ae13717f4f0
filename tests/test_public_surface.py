"""What users may import: `__all__` says it, and everything in it is explained."""

import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = ("driftbell.monitor",)
PACKAGES = ("monitor", "collectors", "detectors", "alerts", "service")


def _modules() -> list[str]:
    files = [file.relative_to(ROOT).with_suffix("") for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return sorted("driftbell." + ".".join(file.parts).removesuffix(".__init__") for file in files)


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_sorted_and_names_what_exists(name):
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(module.__all__)
    assert all(hasattr(module, each) for each in module.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_in_all(name):
    module = importlib.import_module(name)
    public = {each for each in vars(module) if not each.startswith("_") and not inspect.ismodule(getattr(module, each))}
    assert public == set(module.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring(name):
    module = importlib.import_module(name)
    assert not [each for each in module.__all__ if not inspect.getdoc(getattr(module, each))]


@pytest.mark.parametrize("name", _modules())
def test_every_module_and_public_definition_has_a_docstring(name):
    module = importlib.import_module(name)
    assert module.__doc__, name
    own = [
        (key, value)
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == name and callable(value)
    ]
    assert not [key for key, value in own if inspect.isroutine(value) or inspect.isclass(value) if not value.__doc__]
