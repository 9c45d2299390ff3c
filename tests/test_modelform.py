"""Pages, pointers and messages are told from models by their first bytes."""

import pickle
import struct
import zipfile

import pytest

from heygemd.modelform import HEAD_BYTES, form_of, impostor

MODELS = [
    b"PK\x03\x04" + bytes(100),
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
    struct.pack("<Q", 2) + b"{}",
    struct.pack("<Q", 30_000) + b'{"a":{"dtype":"F32"}}' * 500,
    b"model/" + bytes(94),  # tar
    pickle.dumps({"text": "<html>"}),
]


@pytest.mark.parametrize("head", MODELS)
def test_containers_of_models_are_let_through(head):
    assert impostor(head[:HEAD_BYTES]) == ""


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>Sign in</title>", "web page came instead of the file (Sign in)"),
        (b"\n\n  <HTML>", "web page"),
        (b"\xef\xbb\xbf<html>", "web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b'{"error":"Invalid username or password."}', "Invalid username"),
        ("请先登录。".encode(), "请先登录。"),
        ("请先登录。".encode()[:-1], "text"),
        (b"Not found\r\n", "Not found"),
    ],
)
def test_what_is_no_model_is_named(head, words):
    assert words in impostor(head)


def test_a_title_cannot_break_the_line():
    told = impostor(b"<html><title>a\nb\x1b]0;c\x07</title>")
    assert "\n" not in told
    assert "\x1b" not in told


def test_forms_are_told_by_both_ends(tmp_path):
    def form(content: bytes):
        (tmp_path / "f").write_bytes(content)
        with (tmp_path / "f").open("rb") as file:
            return form_of(file)

    torch_zip = tmp_path / "z"
    with zipfile.ZipFile(torch_zip, "w") as archive:
        archive.writestr("a/data.pkl", bytes(100))
    assert (form(torch_zip.read_bytes()).kind, form(torch_zip.read_bytes()).flaw) == ("zip", "")
    assert form(torch_zip.read_bytes()[:-30]).is_cut
    assert form(b"\x80\x02" + bytes(50)).kind == "pickle"
    assert form(bytes(50)).kind == "other"
    assert "web page" in form(b"<html>").flaw
