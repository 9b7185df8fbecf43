"""What is handed on: the tree, the wheel built from it, and the program installed from the wheel, far from the tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from email import message_from_bytes
from fnmatch import fnmatch
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
AT_THE_TOP = {
    "pqr_mailbot", "templates", "config.example.toml", "tests", "pyproject.toml", "systemd", "README.md",
    "LICENSE", "CHANGELOG.md", "benchmarks",
}  # fmt: skip


def test_the_top_of_the_tree_holds_what_everybody_expects_and_no_more() -> None:
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()]
    names = {path.name for path in ROOT.iterdir() if not any(fnmatch(path.name, pattern) for pattern in ignored)}
    assert {name for name in names if not name.startswith(".")} <= AT_THE_TOP
    assert AT_THE_TOP - {"benchmarks"} <= names
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """Built as `pip install .` builds it."""
    target = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", target, ROOT)
    (built,) = target.iterdir()
    return ZipFile(built)


def pip(*arguments: str | Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr


@pytest.fixture(scope="module")
def installed(wheel: ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the installed program; what it needs is the tests' own."""
    target = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--target", target, str(wheel.filename))
    return target


def run(installed: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The installed command, in an empty directory of its own."""
    elsewhere = installed / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, *command], cwd=elsewhere, capture_output=True, text=True, timeout=60,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "LANG": "C.UTF-8"} | environ,
    )  # fmt: skip


# -- the wheel ---------------------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_package_its_data_and_nothing_else(wheel: ZipFile) -> None:
    package = {path for path in (ROOT / "pqr_mailbot").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    wanted = {str(path.relative_to(ROOT)) for path in package}
    wanted |= {f"pqr_mailbot/templates/{path.name}" for path in (ROOT / "templates").iterdir()}
    wanted |= {"pqr_mailbot/config.example.toml"}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == wanted
    assert {"pqr_mailbot/data/lexicon.tsv", "pqr_mailbot/templates/acknowledgement.j2"} <= held


@pytest.mark.parametrize("name", ["config.example.toml", "templates/acknowledgement.j2"])
def test_what_lies_beside_the_package_goes_into_it_unchanged(wheel: ZipFile, name: str) -> None:
    assert wheel.read(f"pqr_mailbot/{name}") == (ROOT / name).read_bytes()


def test_the_wheel_says_what_it_is(wheel: ZipFile) -> None:
    about = f"pqr_mailbot-{PROJECT['version']}.dist-info"
    metadata = message_from_bytes(wheel.read(f"{about}/METADATA"))
    assert (metadata["Name"], metadata["Version"]) == ("pqr-mailbot", PROJECT["version"])
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    assert set(metadata.get_all("Provides-Extra", [])) >= {"demo", "test", "dev"}
    assert wheel.read(f"{about}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert b"pqr-mailbot = pqr_mailbot.__main__:main" in wheel.read(f"{about}/entry_points.txt")


# -- the installed program ---------------------------------------------------------------------------------------------


def test_the_program_under_test_is_the_installed_one(installed: Path) -> None:
    where = run(installed, "-c", "import pqr_mailbot; print(pqr_mailbot.__file__)")
    assert where.stdout.strip() == str(installed / "pqr_mailbot" / "__init__.py")


@pytest.mark.parametrize("program", ["bin/pqr-mailbot", "-m pqr_mailbot"])
def test_it_has_a_version(installed: Path, program: str) -> None:
    started = [str(installed / program)] if program.startswith("bin/") else program.split()
    said = run(installed, *started, "--version")
    assert (said.returncode, said.stderr) == (0, "")
    assert PROJECT["version"] in said.stdout


def test_its_example_configuration_its_words_and_its_letters_are_found(installed: Path) -> None:
    """`init` writes the shipped example; with it and a store of its own `check` renders every shipped letter."""
    command = str(installed / "bin/pqr-mailbot")
    made = run(installed, command, "init", "--to", "etc")
    assert made.returncode == 0, made.stderr
    written = installed / "elsewhere" / "etc" / "config.toml"
    assert written.read_bytes() == (ROOT / "config.example.toml").read_bytes()
    written.write_text(written.read_text("utf-8").replace("/var/lib/pqr-mailbot/desk.db", "desk.db"), "utf-8")
    checked = run(installed, command, "check", "--offline", "--json", PQR_MAILBOT_CONFIG=str(written))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    fine = {finding["what"] for finding in json.loads(checked.stdout) if finding["level"] == "ok"}
    letters = {path.stem for path in (ROOT / "templates").iterdir() if not path.name.startswith("_")}
    assert fine >= {"lexicon", "store"} | {f"letter {letter}" for letter in letters}


def test_the_demo_runs_from_the_wheel(installed: Path) -> None:
    shown = run(installed, str(installed / "bin/pqr-mailbot"), "demo")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "PQR-2026-000001" in shown.stdout
