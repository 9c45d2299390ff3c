"""SECURITY.md names a test for each of its lines: they are looked up here, and so are the ways that lead to it."""

import ast
import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?P<danger>[^|]+) \| [^|]+ \| `(?P<test>tests/[^`]+)` \|$", PAGE, re.MULTILINE)


def names_in(file):
    """Names of the tests of one file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_row_of_a_table_of_dangers_is_understood():
    tables = re.findall(r"^\| danger .*\n\|---.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert len(tables) == 5
    assert sum(len(table.splitlines()) for table in tables) == len(ROWS) > 30


@pytest.mark.parametrize(("danger", "test"), ROWS, ids=[danger for danger, _ in ROWS])
def test_every_danger_is_met_by_a_test_that_is_there(danger, test):
    file, _, name = test.partition("::")
    assert (ROOT / file).is_file(), file
    assert names_in(file), f"{file} has no test"
    assert not name or name in names_in(file), name


@pytest.mark.parametrize(("page", "link"), [("README.md", "SECURITY.md"), ("README.zh.md", "SECURITY.md"),
                                            ("docs/operations.md", "../SECURITY.md")])  # fmt: skip
def test_the_page_is_found(page, link):
    assert f"]({link})" in (ROOT / page).read_text(encoding="utf-8")


def test_links_of_the_page_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / target).exists(), target
