"""The repository as a newcomer meets it: what the README promises exists, and nothing lies about that should not."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from heygemd import __version__
from heygemd.cli import app

MAX_PYTHON_LINES = 400
MAX_FILE_BYTES = 4_000_000
OTHER_FOLDERS = {".git", ".venv", "build", "dist", "__pycache__", "node_modules"}
MACHINE_PATH = re.compile(r"(?<![\w.~<>{}$-])/(work|root|home|Users|scratch)/\w")
TEXT = {".py", ".md", ".toml", ".sh", ".sql", ".html", ".yaml", ".yml", ".json", ".csv", ""}


def files(repository: Path) -> Iterator[Path]:
    """Yield the files of the project, without what the make targets leave behind."""
    for folder in sorted(repository.iterdir()):
        if folder.name in OTHER_FOLDERS | {"demo"} or folder.name.endswith((".egg-info", "_cache")):
            continue
        if folder.name == ".hypothesis":
            continue
        inside = folder.rglob("*") if folder.is_dir() else [folder]
        yield from (file for file in inside if file.is_file() and not OTHER_FOLDERS & set(file.parts))


@pytest.fixture(scope="module")
def project(repository: Path) -> list[Path]:
    return list(files(repository))


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def commands(readme: str) -> list[list[str]]:
    """Every command line of the README's shell blocks, without assignments before it."""
    blocks = re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_readme_names_make_targets_that_exist(commands: list[list[str]], repository: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (repository / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {word for line in commands if line[0] == "make" for word in line[1:]}
    assert {"setup", "check", "test", "bench", "demo"} <= named
    assert named <= targets


def test_readme_names_commands_and_options_that_exist(commands: list[list[str]], readme: str) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a click group
    used = [line[1:] for line in commands if Path(line[0]).name == "heygemd"]
    assert {name for name, *_ in used} >= {"render", "init-root", "run", "status"}
    for name, *words in used:
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, f"heygemd {name}"
    every = {option for command in known.values() for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"`(--[a-z-]+)", readme)) <= every


def test_every_make_target_is_explained(repository: Path) -> None:
    text = (repository / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(re.findall(r"^([a-z]+):.* ## \w", text, re.MULTILINE))


def test_links_between_pages_lead_somewhere(project: list[Path]) -> None:
    broken = [
        f"{page}: {link}"
        for page in project
        if page.suffix == ".md"
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []


def test_decisions_are_numbered_without_gaps(repository: Path) -> None:
    numbers = sorted(int(page.name[:4]) for page in (repository / "docs" / "adr").glob("*.md"))
    assert numbers[0] == 1
    assert all(after == before + 1 for before, after in pairwise(numbers))


def test_changelog_knows_this_version(repository: Path) -> None:
    assert f"## [{__version__}]" in (repository / "CHANGELOG.md").read_text(encoding="utf-8")


def test_no_path_of_a_developers_machine(project: list[Path]) -> None:
    found = [
        f"{file}:{number}: {line.strip()}"
        for file in project
        if file.suffix in TEXT
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_no_python_file_is_long(project: list[Path]) -> None:
    lengths = {str(file): len(file.read_bytes().splitlines()) for file in project if file.suffix == ".py"}
    assert {name: length for name, length in lengths.items() if length >= MAX_PYTHON_LINES} == {}


def test_no_file_is_large(project: list[Path]) -> None:
    assert {str(file) for file in project if file.stat().st_size > MAX_FILE_BYTES} == set()


def test_package_inits_are_empty(repository: Path) -> None:
    inits = set((repository / "heygemd").rglob("__init__.py")) - {repository / "heygemd" / "__init__.py"}
    assert {str(file) for file in inits if file.read_bytes().strip()} == set()


@pytest.mark.parametrize("name", ["voice_en.flac", "voice_zh.flac"])
def test_demo_voice_is_small(repository: Path, name: str) -> None:
    assert 50_000 < (repository / "scripts" / "demo" / name).stat().st_size < 300_000
