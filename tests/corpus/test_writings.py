"""Whoever reads what was written with suspicion must be able to find something."""

import json

import pytest

from tests.corpus import writings
from tests.corpus.specials import make_secrets
from tests.corpus.strangers import contents, copies_of

CLEAN = '"number","id"\r\n"1","\'=1+1"\r\n'


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd", "-1+1", "@x", " =1", "a;=HYPERLINK(1)", "＝1", "a\tb", "\x1b[2J", "a\u202eb"]
)
def test_cells_that_could_do_something_are_found(cell):
    assert writings.wrong_table(CLEAN.encode("utf-8-sig")) is None
    assert writings.wrong_table(CLEAN.replace("'=1+1", cell).encode("utf-8-sig"))


@pytest.mark.parametrize("data", [b"{", b'{"a": NaN}', b'{"a": "\xff"}', b'{"a": Infinity}'])
def test_json_that_others_cannot_read_is_found(data):
    assert writings.wrong_json(b'{"a": 1}') is None
    assert writings.wrong_json(data)


@pytest.mark.parametrize(
    "line", [b"no json", b'{"event": "a\x7f"}', '{"event": "a\u2028"}'.encode(), b'["list"]', b'"\xff"']
)
def test_lines_of_a_log_that_are_none_are_found(tmp_path, line):
    (tmp_path / "state").mkdir()
    for name in ("daemon.log", "debug.log", "state/events.jsonl"):
        (tmp_path / name).write_bytes(b'{"event": "good"}\n')
    assert writings.broken_logs(tmp_path) == []
    with (tmp_path / "daemon.log").open("ab") as file:
        file.write(line + b"\n")
    assert len(writings.broken_logs(tmp_path)) == 1


@pytest.mark.parametrize("data", ["</script>", "<!--<script>", "&lt;"])
def test_data_of_a_page_that_could_end_its_element_are_found(tmp_path, data):
    (tmp_path / "status").mkdir()
    page = f'<html><script type="application/json">{{"name": "{data}"}}</script><script>b</script></html>'
    (tmp_path / "status/index.html").write_text(page)
    assert writings.broken_page(tmp_path)


@pytest.mark.parametrize("name", ["<script>x</script>", "<img src=x>", "<b onclick=x>", "\x1b[2J", "<iframe>"])
def test_a_page_in_which_a_name_is_more_than_text_is_found(tmp_path, name):
    page = "<html><script>1</script><script>b</script><p>{}</p></html>"
    (tmp_path / "status").mkdir()
    (tmp_path / "status/index.html").write_text(page.format("anna"))
    assert writings.broken_page(tmp_path) == []
    (tmp_path / "status/index.html").write_text(page.format(name))
    assert writings.broken_page(tmp_path)


def test_texts_and_tables_are_looked_for_wherever_they_lie(tmp_path):
    for place in ("outbox/a", "failed/b", "status", "processing"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "outbox/a/m.report.json").write_text("{")
    (tmp_path / "failed/b/REASON.txt").write_bytes(b"why\x1b\r\n")
    (tmp_path / "status/status.json").write_text(json.dumps({"a": 1}))
    assert len(writings.broken_texts(tmp_path)) == 2


def test_a_secret_that_got_into_a_root_is_found(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    secrets = contents(make_secrets(root))
    assert copies_of(secrets, root) == []
    (root / "film.mp4").write_bytes(secrets["face.png"])
    assert len(copies_of(secrets, root)) == 1
