"""YAML manifests: words stay texts, and what is dangerous or broken is refused with its place."""

import pytest

from tests.intake.manifest_texts import JSON, YAML, contents, read, refusal, yaml_row


@pytest.mark.parametrize("word", ["no", "off", "yes", "12:30", "2024-05-01", "007", "1e3", "0x1F", ".nan", "1_000"])
def test_a_yaml_word_without_quotes_stays_the_text_it_is(word):
    row = yaml_row(f"id: {word}\nvideo: v.mp4\naudio: a.wav\noutput: {word.strip('.')}")
    assert row.output == word.strip(".")
    assert row.row_id == (None if word.startswith(".") else word)


@pytest.mark.parametrize("word", ["true", "False", "null", "~", ""])
def test_a_yaml_word_that_is_certainly_no_text_asks_for_quotes(word):
    error = yaml_row(f"video: v.mp4\naudio: a.wav\noutput: {word}").error
    assert error is not None
    assert error.code == "E124"
    assert (error.line, error.message.startswith("output has no text")) == (5, True)
    assert yaml_row(f'video: v.mp4\naudio: a.wav\noutput: "{word.strip("~") or "x"}"').error is None


@pytest.mark.parametrize("word", ["yes", "on", "y", "1", "'true'", "True story"])
def test_strict_is_true_or_false_and_nothing_else(word):
    error = refusal(f"heygem: 1\nstrict: {word}\njobs:\n  - {{video: a.mp4, audio: b.wav}}\n", "yaml")
    assert error.code == "E124"
    assert error.message.startswith("line 2, column 9: strict is true or false")


@pytest.mark.parametrize("number", ["010", "0x10", "1_000", "5.0", "1e1", "12:30", "'5'", "five"])
def test_a_yaml_number_is_plain_decimal(number):
    error = yaml_row(f"video: v.mp4\naudio: a.wav\npriority: {number}").error
    assert error is not None
    assert (error.code, error.line, error.column) == ("E124", 5, 15)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("heygem: 1\njobs: &all\n  - {video: a.mp4, audio: b.wav}\n", "line 2, column 7"),
        ("heygem: 1\njobs: *all\n", "line 2, column 7"),
        ("heygem: 1\ndefaults: {<<: {priority: 5}}\njobs: []\n", "line 2, column 12"),
        ("heygem: 1\njobs: !!python/object:os.system []\n", "line 2, column 7"),
        ("heygem: !!int 1\njobs: []\n", "line 1, column 9"),
        ("heygem: 1\njobs: []\n---\nheygem: 1\n", "line 3, column 1"),
        ("%YAML 1.1\n---\nheygem: 1\n", "line 1, column 1"),
    ],
)
def test_yaml_aliases_anchors_tags_merges_and_further_documents_are_refused(text, at):
    error = refusal(text, "yaml")
    assert error.code == "E125"
    assert error.message.startswith(at)


def test_one_document_mark_in_front_is_fine():
    assert len(read("---\n" + YAML, "yaml").rows) == 3


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("heygem: 1\njobs:\n\t- a\n", "line 3, column 1: YAML is indented with blanks"),
        ("heygem: 1\njobs: [\n", "line 3, column 1"),
        ('heygem: 1\nstrict: "true\n', "line 3, column 1"),
        ("heygem: 1\n? [a, b]\n: c\n", "line 2, column 3: a key must be a single word"),
        ("heygem: 1\nbundle: a\x07b\n", "line 2"),
    ],
)
def test_broken_yaml_is_refused_with_its_place(text, at):
    error = refusal(text, "yaml")
    assert error.code == "E121"
    assert error.message.startswith(at)


# Without libyaml ----------------------------------------------------------------------------------------------------


def test_yaml_without_the_c_library_reads_the_same_and_bounds_the_size(monkeypatch):
    import yaml

    from heygemd.intake.manifests import yaml_tree

    monkeypatch.setattr(yaml_tree, "_Loader", yaml.SafeLoader)
    assert contents(read(YAML, "yaml")) == contents(read(JSON))
    assert refusal('heygem: 1\nbundle: "\\ud800"\n', "yaml").code == "E121"
    assert refusal('heygem: 1\nbundle: "\\UFFFFFFFF"\n', "yaml").code == "E121"
    assert refusal("heygem: 1\nbundle: a\x07b\n", "yaml").code == "E121"
    assert refusal("#\n" * (yaml_tree.MAX_CHARS_WITHOUT_LIBYAML // 2 + 1), "yaml").code == "E125"
