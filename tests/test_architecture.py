"""The house stands as drawn: layers, links, names, packaging."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("domain", "application", "infrastructure", "config", "interfaces")


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


def test_imports_run_one_way() -> None:
    result = run(Path(sys.executable).parent / "lint-imports", "--no-cache")

    assert result.returncode == 0, result.stdout


def test_an_import_against_the_direction_is_found(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("deltamark", "pyproject.toml"):
        subprocess.run(["cp", "-r", ROOT / name, copy / name], check=True)
    with (copy / "deltamark" / "domain" / "resources" / "link.py").open("a") as module:
        module.write("\nimport deltamark.engine\n")

    result = run(Path(sys.executable).parent / "lint-imports", "--no-cache", cwd=copy)

    assert result.returncode != 0


@pytest.mark.parametrize("layer", LAYERS)
def test_the_root_shows_the_layers_as_links(layer: str) -> None:
    link = ROOT / layer

    assert link.is_symlink()
    assert link.readlink() == Path("deltamark") / layer


@pytest.mark.parametrize("layer", ["domain", "application"])
def test_no_message_of_the_inner_layers_speaks_of_commands(layer: str) -> None:
    """An interface adds its own words for what to do next (`domain/next_steps.py`)."""
    command = re.compile(r"`deltamark |deltamark (?:runs?|resume|cancel|changes|schedule|replay)\b|(?<!\S)--[a-z]")

    spoken = [
        f"{module.relative_to(ROOT)}:{node.lineno}: {node.value[:60]}"
        for module in (ROOT / "deltamark" / layer).rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and command.search(node.value)
    ]

    assert spoken == []


EXTRAS = ("ldap", "jinja2", "litestar", "prometheus_client", "uvicorn")
"""Modules that come with an extra and need not be installed."""


def test_no_module_is_loaded_under_two_names() -> None:
    code = (
        "import sys, pkgutil, importlib, deltamark\n"
        "for m in pkgutil.walk_packages(deltamark.__path__, 'deltamark.'):\n"
        "    if m.name.endswith('__main__'): continue\n"
        "    try: importlib.import_module(m.name)\n"
        f"    except ModuleNotFoundError as e: assert e.name in {EXTRAS}, e\n"
        "files = [m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)\n"
        "         and m.__file__.startswith(tuple(deltamark.__path__))]\n"
        "assert len(files) == len(set(files)), sorted(f for f in files if files.count(f) > 1)\n"
        "print(len(files))\n"
    )

    result = run(sys.executable, "-c", code)

    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 40


def test_no_code_imports_a_layer_by_its_link() -> None:
    for path in [*ROOT.glob("deltamark/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not {name.split(".")[0] for name in names} & set(LAYERS), path


def test_no_group_is_repeated_possessively() -> None:
    """Python 3.11.0 to 3.11.4, which distributions still bring, match that wrongly (cpython issue 106052)."""
    possessive = re.compile(r"\)[*+?]\+")
    assert possessive.search('rb"(?:ab)*+"')
    for path in ROOT.glob("deltamark/**/*.py"):
        assert not possessive.search(path.read_text()), path


@pytest.mark.slow  # builds, installs and runs the package
def test_the_wheel_built_from_the_source_distribution_installs_and_runs(tmp_path: Path) -> None:
    built = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "deltamark/py.typed" in names
    console = ROOT / "deltamark" / "interfaces" / "http" / "console"
    assets = {str(file.relative_to(ROOT)) for part in ("static", "templates") for file in (console / part).rglob("*.*")}
    assert assets
    assert assets <= set(names)
    assert not [name for name in names if name.split("/")[0] in LAYERS]

    place = tmp_path / "venv"
    venv.create(place, system_site_packages=False, with_pip=True)
    installed = run(place / "bin" / "pip", "install", "--quiet", "--no-deps", wheel)
    assert installed.returncode == 0, installed.stderr
    site = next((place / "lib").glob("python*/site-packages"))
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(ours + "\n")
    shown = run(place / "bin" / "python", "-I", "-c", "import deltamark; print(deltamark.__file__)", cwd=tmp_path)

    assert shown.returncode == 0, shown.stderr
    assert Path(shown.stdout.strip()).is_relative_to(site)


def test_a_method_has_a_docstring_unless_its_port_documents_it() -> None:
    methods = [
        (path, method)
        for path in ROOT.glob("deltamark/**/*.py")
        for owner in ast.walk(ast.parse(path.read_text()))
        if isinstance(owner, ast.ClassDef) and not owner.name.startswith("_")
        for method in owner.body
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_")
    ]
    documented = {method.name for _, method in methods if ast.get_docstring(method)}

    assert not {f"{path}:{method.lineno}" for path, method in methods if method.name not in documented}
    assert not [path for path in ROOT.glob("deltamark/**/*.py") if re.search(r'"""See `[\w.]*`\."""', path.read_text())]
