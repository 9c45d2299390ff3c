"""Which language a person at the terminal reads."""

import pytest

from heygemd.errors import ADVICE
from heygemd.language import advice_of, said, speaks_chinese


@pytest.mark.parametrize(
    ("environment", "chinese"),
    [
        ({}, False),
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_TW"}, True),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, True),
    ],
)
def test_the_first_variable_of_the_locale_that_is_set_decides(environment, chinese):
    assert speaks_chinese(environment) is chinese


def test_texts_and_advice_follow_the_locale(monkeypatch):
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert said("yes", "是") == "是"
    assert advice_of("E131") == (ADVICE["E131"].title_zh, ADVICE["E131"].todo_zh)
    monkeypatch.setenv("LANG", "C.UTF-8")
    assert said("yes", "是") == "yes"
    assert advice_of("E131") == (ADVICE["E131"].title, ADVICE["E131"].todo)


def test_a_code_of_another_version_has_no_advice():
    assert advice_of("E999") == advice_of(None) == ("", "")
