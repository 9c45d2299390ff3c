"""What may be ordered, and what is looked at before anything is written."""

import json
import os
import struct

import pytest

from heygemd.errors import InputError
from heygemd.jobs.choice import OptionChoice
from heygemd.jobs.job import EngineName, LengthPolicy
from heygemd.submitting.inputs import look_at_all
from heygemd.submitting.order import clean_name, film_name, of_folders, of_manifest, of_pairs
from tests.submitting.rig import JPEG, LIMITS, MANIFEST, MP4, PLAIN, WAV

# Orders -------------------------------------------------------------------------------------------------------------


def test_a_pair_is_named_after_its_sound_or_as_asked(put):
    pair = put("face.mp4", "talk.wav")
    (wish,) = of_pairs(pair, options=PLAIN).wishes
    assert wish.output == "talk.mp4"
    (wish,) = of_pairs(pair, name="The End", options=PLAIN).wishes
    assert wish.output == "The End.mp4"


def test_films_that_would_be_called_the_same_are_told_apart(put):
    anna, bob, talk = put("anna.mp4", "bob.mp4", "talk.wav")
    order = of_pairs([anna, talk, bob, talk, bob, talk], name="day", options=PLAIN)
    assert [wish.output for wish in order.wishes] == ["talk-anna.mp4", "talk-bob.mp4", "talk-bob-2.mp4"]
    assert order.name == "day"


@pytest.mark.parametrize("names", [["a.mp4"], ["a.mp4", "b.wav", "c.mp4"]])
def test_files_that_do_not_come_in_pairs_are_refused(put, names):
    with pytest.raises(InputError) as caught:
        of_pairs(put(*names), options=PLAIN)
    assert caught.value.code == "E103"


def test_a_sound_before_its_picture_is_explained(put):
    with pytest.raises(InputError, match="give the picture first"):
        of_pairs(put("a.wav", "a.mp4"), options=PLAIN)


def test_a_folder_is_paired_as_an_inbox_is(put, tmp_path):
    put("a.mp4", "A.WAV".lower(), "x/_default.jpg", "x/one.wav", "x/two.wav", "lone.wav", ".hidden.mp4", "x/.b/c.mp4")
    put("twice.mp4", "twice.mov", "twice.wav")
    order = of_folders([tmp_path / "in"], options=PLAIN)
    assert [wish.output for wish in order.wishes] == ["a.mp4", "x/one.mp4", "x/two.mp4"]
    assert {wish.video.name for wish in order.wishes} == {"a.mp4", "_default.jpg"}
    assert len(order.warnings) == 2
    assert any("lone.wav: waiting for partner" in warning for warning in order.warnings)
    assert any("twice.mov twice.mp4 twice.wav: ambiguous" in warning for warning in order.warnings)
    assert order.name == "in"


def test_a_folder_without_pairs_is_refused(put, tmp_path):
    put("lone.wav")
    with pytest.raises(InputError, match=r"lone\.wav") as caught:
        of_folders([tmp_path / "in"], options=PLAIN)
    assert caught.value.code == "E102"


def test_a_manifest_keeps_what_it_says_and_says_no_more(put, tmp_path):
    put("anna.mp4", "ep01.wav", "lines/b.wav", "lines/a.wav")
    file = tmp_path / "in" / "day.heygem.json"
    file.write_text(json.dumps(MANIFEST))
    order = of_manifest(file, LIMITS)
    assert (order.name, order.is_named, order.bundle, order.strict) == ("day", True, True, False)
    assert [(wish.output, wish.row_id, wish.priority) for wish in order.wishes] == [
        ("day/ep01.mp4", "ep01", 5), ("lines/a-2.mp4", "all-lines-a.wav", 0), ("lines/b-3.mp4", "all-lines-b.wav", 0),
    ]  # fmt: skip
    first, second, _ = order.wishes
    assert first.options == OptionChoice(engine=EngineName.PASSTHROUGH, length=LengthPolicy.LOOP)
    assert second.options == OptionChoice(length=LengthPolicy.LOOP)


def test_a_manifest_with_a_bad_row_is_refused_with_every_mistake(put, tmp_path):
    put("anna.mp4", "a.wav")
    file = tmp_path / "in" / "x.heygem.yaml"
    file.write_text("heygem: 1\njobs:\n  - {video: anna.mp4, audio: a.wav}\n  - {video: anna.mp4}\n  - {vidoe: x}\n")
    with pytest.raises(InputError) as caught:
        of_manifest(file, LIMITS)
    assert caught.value.code == "E124"
    assert "2 of 3 rows" in caught.value.message
    assert "line 4: E124" in caught.value.message
    assert "did you mean video?" in caught.value.message


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("talk", "talk"), ("你好 é", "你好 é"), (".hidden", "_hidden"), ("~x", "_x"), ("a/b\\c", "a_b_c"),
        ("ep[1]*?", "ep_1___"), ("new\nline\x1b[0m", "new%0Aline%1B_0m"), ("...", "film"), ("", "film"), ("C:x", "C_x"),
    ],
)  # fmt: skip
def test_names_that_a_manifest_could_not_name_are_cleaned(name, clean):
    assert clean_name(name) == clean


def test_film_names_keep_what_only_patterns_mind():
    assert film_name("ep[1]: why?") == "ep[1]: why?"
    assert film_name("../../x") == "_._.._x"
    assert len(film_name("é" * 300).encode()) < 245


# What is looked at before anything is written -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.txt", MP4, "E101"), ("a.mp4", b"", "E101"), ("a.mp4", b"#EXTM3U\n", "E101"), ("a.mp4", WAV, "E101"),
        ("a.jpg", WAV, "E101"), ("a.wav", WAV, "E103"),
    ],
)  # fmt: skip
def test_a_picture_that_is_none_is_refused(put, tmp_path, name, content, code):
    put("b.wav")
    (tmp_path / "in" / name).write_bytes(content)
    order = of_pairs([tmp_path / "in" / name, tmp_path / "in" / "b.wav"], options=PLAIN)
    with pytest.raises(InputError) as caught:
        look_at_all(order)
    assert caught.value.code == code
    assert name in caught.value.message


def test_a_sound_that_is_a_picture_or_cut_off_is_refused(put, tmp_path):
    (video,) = put("a.mp4")
    for content, code in ((JPEG, "E101"), (b"RIFF" + struct.pack("<I", 90_000) + b"WAVEfmt " + bytes(99), "E110")):
        (tmp_path / "in" / "b.wav").write_bytes(content)
        with pytest.raises(InputError) as caught:
            look_at_all(of_pairs([video, tmp_path / "in" / "b.wav"], options=PLAIN))
        assert caught.value.code == code


def test_a_fifo_is_not_waited_for_and_a_link_to_a_file_is_followed(put, tmp_path):
    video, audio = put("a.mp4", "a.wav")
    os.mkfifo(tmp_path / "in" / "pipe.mp4")
    with pytest.raises(InputError, match="not a file"):
        look_at_all(of_pairs([tmp_path / "in" / "pipe.mp4", audio], options=PLAIN))
    link = tmp_path / "in" / "link.mp4"
    link.symlink_to(video)
    assert look_at_all(of_pairs([link, audio], options=PLAIN))[link].path == video.resolve()
