"""The encoder of a graphics card: told about only where the settings ask for it."""

import shutil
from pathlib import Path

import pytest

from heygemd.media.abilities import ON_CARDS, abilities_of, card_refusal

FAILING = """#!/bin/sh
case "$*" in
  *h264_nvenc*) echo "[h264_nvenc @ 0x5] No capable devices found" >&2; exit 1 ;;
  *-encoders*) echo " V....D h264_nvenc x" ;;
esac
exec {ffmpeg} "$@"
"""


def about_encoder(studio):
    return [finding for finding in studio.examine() if finding.subject == "encoder"]


def with_nvenc(studio):
    listing = studio.folder / "listing"
    listing.write_text(listing.read_text() + " .. h264_nvenc x\n")


@pytest.mark.parametrize("encoder", ["x264", "auto"])
def test_nobody_is_told_of_a_card_s_encoder_that_was_not_asked_for(studio, encoder):
    studio.extra_toml = f'[render]\nencoder = "{encoder}"\n'
    assert about_encoder(studio) == []


def test_an_ffmpeg_without_nvenc_is_a_warning(studio):
    studio.extra_toml = '[render]\nencoder = "nvenc"\n'
    (finding,) = about_encoder(studio)
    assert (finding.code, finding.level.value, finding.group) == ("E304", "warning", "tools")
    assert "was built without encoder h264_nvenc" in finding.message
    assert 'encoder = "x264"' in finding.fix
    assert finding.message_zh


def test_a_card_whose_encoder_works_is_good(studio):
    studio.extra_toml = '[render]\nencoder = "nvenc"\n'
    with_nvenc(studio)
    (finding,) = about_encoder(studio)
    assert finding.level.value == "ok"


@pytest.mark.ffmpeg
def test_a_card_without_an_encoder_is_a_warning_with_its_reason(studio):
    studio.extra_toml = '[render]\nencoder = "nvenc"\n'
    studio.forget_stand_ins()
    studio.program("ffmpeg", FAILING.format(ffmpeg=shutil.which("ffmpeg")))
    (finding,) = about_encoder(studio)
    assert (finding.code, finding.level.value) == ("E304", "warning")
    assert finding.message.endswith("made with x264: No capable devices found")


@pytest.mark.ffmpeg
@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a card")
def test_this_machine_s_ffmpeg_says_why_it_cannot():
    program = shutil.which("ffmpeg")
    found = abilities_of(program)
    is_built_so = not found.wanting_on_cards
    assert found.wanting_on_cards in ((), ("encoder h264_nvenc",))
    assert ("libcuda" if is_built_so else "h264_nvenc") in card_refusal(program)
    assert card_refusal("/nowhere/ffmpeg")
    assert ON_CARDS["encoders"] == {"h264_nvenc"}
