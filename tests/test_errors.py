"""Errors are sorted by what the scheduler must do; each carries a stable code and advice in two languages."""

import ast
import pickle
import re
from pathlib import Path

import pytest

from heygemd.errors import (
    ADVICE,
    FaultError,
    HeygemdError,
    InputError,
    ResourceError,
    SetupError,
    error_for,
)

FAMILIES: list[type[HeygemdError]] = [InputError, ResourceError, SetupError, FaultError]
FAMILY = {code: next(family for family in FAMILIES if code.startswith(family.families)) for code in ADVICE}


@pytest.mark.parametrize("code", ADVICE)
def test_advice_is_complete_sentences_in_both_languages(code: str) -> None:
    advice = ADVICE[code]
    assert re.fullmatch(r"E\d{3}", code)
    assert advice.title.endswith(".")
    assert advice.title_zh.endswith("。")
    assert advice.todo
    assert all(re.search(r"[\u4e00-\u9fff]", text) for text in (advice.title_zh, advice.todo_zh))


@pytest.mark.parametrize("code", ADVICE)
def test_each_code_belongs_to_exactly_one_family(code: str) -> None:
    accepting = []
    for family in FAMILIES:
        try:
            accepting.append(type(family(code, "why")))
        except ValueError:
            continue
    assert accepting == [FAMILY[code]]


def test_code_without_advice_is_refused() -> None:
    with pytest.raises(ValueError, match="E199"):
        InputError("E199", "nobody wrote advice for it")


@pytest.mark.parametrize("code", ADVICE)
def test_error_survives_the_way_between_processes(code: str) -> None:
    sent = FAMILY[code](code, "naïve 文件.mp4")
    for received in (pickle.loads(pickle.dumps(sent)), error_for(sent.code, sent.message)):
        assert type(received) is FAMILY[code]
        assert (received.code, received.message, str(received)) == (code, "naïve 文件.mp4", "naïve 文件.mp4")


@pytest.mark.parametrize("code", ["E999", "", "ValueError", "E1"])
def test_unknown_code_becomes_a_fault_that_keeps_its_words(code: str) -> None:
    error = error_for(code, "strange")
    assert (type(error), error.code) == (FaultError, "E500")
    assert error.message == f"{code}: strange"


def test_every_code_that_is_raised_has_advice_and_the_right_family(repository: Path) -> None:
    by_name = {family.__name__: family for family in FAMILIES}
    raised = [
        (file.name, node.lineno, node.func.id, node.args[0].value)
        for file in (repository / "heygemd").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in by_name
        and node.args and isinstance(node.args[0], ast.Constant)
    ]  # fmt: skip
    assert raised
    assert [call for call in raised if FAMILY.get(str(call[3])) is not by_name[call[2]]] == []
