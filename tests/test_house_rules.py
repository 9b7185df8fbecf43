"""What holds the house up: floors, pure rules, short functions, and documents that tell the truth."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from pqr_mailbot import cli, plain
from pqr_mailbot.adapters import letters, migrations
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.domain import model

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pqr_mailbot"
MODULES = sorted(PACKAGE.rglob("*.py"))
README = (ROOT / "README.md").read_text("utf-8")

# Each floor imports only floors below it; files directly in the package and the demo are the shell on top.
FLOORS = ("domain", "adapters", "flows", "shell")
TYPES_OF_FLOWS_STORE = "pqr_mailbot.flows"


def floor_of(dotted: str) -> int:
    part = dotted.split(".")[1] if "." in dotted else ""
    return FLOORS.index(part) if part in FLOORS else FLOORS.index("shell")


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {
                f"{node.module}.{alias.name}" if node.module == "pqr_mailbot" else str(node.module)
                for alias in node.names
            }
    return found


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_floors(path: Path) -> None:
    ours = {name for name in imports(path) if name.startswith("pqr_mailbot.")}
    above = {name for name in ours if floor_of(name) > floor_of(dotted(path))}
    assert not above, f"{dotted(path)} looks up at {above}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "domain").glob("*.py")), ids=dotted)
def test_the_domain_is_pure(path: Path) -> None:
    """Standard library only, and of that nothing that touches the world; no clock."""
    outside = {
        name
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("pqr_mailbot")
    }
    worldly = {"os", "io", "socket", "sqlite3", "pathlib", "subprocess", "random", "secrets", "time", "logging"}
    assert not outside and not worldly & {name.split(".")[0] for name in imports(path)}
    assert not re.search(r"\b(now|today|utcnow|open|print|input)\(", path.read_text("utf-8").replace("def ", "def_"))


def test_only_one_place_asks_for_the_time() -> None:
    asking = {dotted(path) for path in MODULES if re.search(r"\.now\(|\.today\(|utcnow\(", path.read_text("utf-8"))}
    assert asking == {"pqr_mailbot.daemon", "pqr_mailbot.demo.story"}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_opens_with_its_purpose_and_functions_fit_a_screen(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert (ast.get_docstring(tree) or "").split("\n")[0].strip(), "the first line is its sole purpose"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 50, f"{node.name} does not fit a screen"


def test_states_are_said_once() -> None:
    """The CHECK constraints and the table of moves speak of the same states."""
    schema = "\n".join(migrations._THE_DESK)
    checked = re.search(r"state IN \(([^)]*'waiting'[^)]*)\)", schema)
    assert checked and set(re.findall(r"'(\w+)'", checked[1])) == {state.value for state in model.State}
    assert set(model.TRANSITIONS) == set(model.State)
    assert {state.value for state in cli.State} == {state.value for state in model.State}
    for states in (cli.INBOUND_STATES, cli.OUTBOX_STATES):
        assert "state IN ({})".format(", ".join(f"'{state}'" for state in states)) in schema


def test_every_template_is_a_letter_its_layout_or_a_part_of_letters() -> None:
    shipped = {path.name: path.read_text("utf-8") for path in (ROOT / "templates").iterdir()}
    included = set(re.findall(r'{% include "(.+?)"', "".join(shipped.values())))
    assert shipped.keys() == {f"{letter}.j2" for letter in letters.SAMPLE_FACTS} | {"_text.j2", "_html.j2"} | included


def test_both_layouts_define_the_same_macros() -> None:
    def macros(layout: str) -> list[str]:
        found = re.findall(r"{% macro (\w+\(.*?\)) %}", (ROOT / "templates" / layout).read_text("utf-8"))
        return sorted(one for one in found if one != "head(title)")  # HTML alone has a head

    assert macros("_text.j2") == macros("_html.j2")


def test_the_readme_names_every_command_and_every_module() -> None:
    for command in cli.pqr_mailbot.commands:
        assert f"`{command}" in README, f"the README does not name `{command}`"
    for path in MODULES:
        if path.stem not in ("__init__", "__main__"):
            assert f"`{path.stem}`" in README, f"the README's picture misses {dotted(path)}"


def test_the_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert __import__("pqr_mailbot").__version__ == project["version"]


def test_nothing_is_printed_but_by_the_command_line() -> None:
    assert plain.harmless("\x1b[2J\x07evil\u202e") == "[2J evil"
    assert Store.__doc__
