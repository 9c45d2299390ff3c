"""The page that people rely on names a test for each of its lines; here they are looked up."""

import ast
import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "drop-protocol.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?P<line>.+) \| `(?P<test>tests/[^`]+)` \|$", PAGE, re.MULTILINE)


def names_in(file):
    """Names of the tests of one file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_the_page_has_a_table_for_each_part():
    titles = re.findall(r"^### (.+)$", PAGE.partition("## What proves it")[2], re.MULTILINE)
    assert titles == ["The ladder", "Three ways to submit", "Acts with files", "Results and promises"]
    assert len(ROWS) > 70


@pytest.mark.parametrize(("line", "test"), ROWS, ids=[line for line, _ in ROWS])
def test_every_line_is_proven_by_a_test_that_is_there(line, test):
    file, _, name = test.partition("::")
    assert (ROOT / file).is_file(), file
    assert names_in(file), f"{file} has no test"
    assert not name or name in names_in(file), name
