"""The proof that a root is there is read as whatever else people can exchange: never followed, never waited for."""

import os

import pytest

from heygemd.errors import ResourceError
from heygemd.outbox.sentinel import MAX_BYTES, require_root


def refused(root):
    with pytest.raises(ResourceError) as caught:
        require_root(root)
    return caught.value.code


def test_the_right_root_is_believed(root):
    require_root(root)


def test_a_fifo_keeps_nobody_waiting(root):
    root.sentinel.unlink()
    os.mkfifo(root.sentinel)
    assert refused(root) == "E201"


def test_a_link_is_not_followed_even_to_the_right_words(root):
    words = root.sentinel.rename(root.path / "kept.json")
    root.sentinel.symlink_to(words)
    assert refused(root) == "E202"


def test_a_folder_proves_nothing(root):
    root.sentinel.unlink()
    root.sentinel.mkdir()
    assert refused(root) == "E201"


def test_a_sentinel_without_end_is_not_read_to_its_end(root):
    text = root.sentinel.read_bytes()
    root.sentinel.write_bytes(text[:-1] + b" " * MAX_BYTES + text[-1:])
    assert refused(root) == "E201"
