"""What a claim record may say, and what nobody but a forger would write."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.intake.submission import Member, Role
from heygemd.intake.trust import is_plain, refuse_unfit
from heygemd.jobs.job import BatchRow, Lane, RenderOptions
from tests.intake.claims_rig import PAIR, audio, submission, video

BATCH_ID = "20260304T120506789-bbbbbbbbbb"
WHOLE = submission(video(folder="s/x.job"), audio(folder="s/x.job"), whole="s/x.job")
ORPHAN = submission(audio(), error=("E102", "-"))


@pytest.mark.parametrize(
    "honest",
    [
        PAIR,
        WHOLE,
        ORPHAN,
        submission(error=("E112", "-")),
        submission(Member(role=Role.OTHER, folder="s", name="lines.heygem.csv"), error=("E121", "-")),
        replace(PAIR, options=RenderOptions(crf=40, audio_offset_ms=-60_000), priority=-1000, keep_days=0),
        replace(PAIR, base="talks__abcdefg2", row=BatchRow(batch=BATCH_ID, number=1, row_id="第一")),
        replace(PAIR, lane=Lane(folder="", most=1), markers=(("", "anna.wav.READY"),), film_folder="a/b"),
        replace(PAIR, film_name="x.tmp"),
    ],
)
def test_what_the_front_door_makes_is_believed(honest):
    refuse_unfit(honest)


@pytest.mark.parametrize(
    "forged",
    [
        submission(video(), audio("../../secret.wav")),
        submission(video(), audio("/etc/x.wav")),
        submission(video(), audio("a/b.wav")),
        submission(video(), audio(".hidden.wav")),
        submission(video("anna.txt"), audio()),
        submission(video("anna.wav"), audio("bert.wav")),
        submission(video(), audio("anna.mp4", folder="s")),
        submission(video("\x1b.mp4"), audio()),
        submission(video(folder="../.."), audio()),
        submission(video(folder="/etc"), audio()),
        submission(video(folder="a//b"), audio()),
        submission(video(folder=".heygemd"), audio()),
        submission(video(), video("bert.mp4"), error=("E103", "-")),
        submission(video(), audio(), audio()),
        submission(video()),
        submission(),
        submission(Member(role=Role.OTHER, folder="", name="l.heygem.csv")),
        submission(Member(role=Role.OTHER, folder="", name="l.heygem.csv", is_shared=True), error=("E121", "-")),
        submission(video(sha256="0" * 63), audio()),
        submission(video(sha256="../" + "0" * 61), audio()),
        submission(video(size_bytes=-1), audio()),
        submission(video(evidence=("quiet\n",)), audio()),
        replace(PAIR, film_name=""),
        replace(PAIR, film_name=".."),
        replace(PAIR, film_name="a/b"),
        replace(PAIR, film_name="a\nb"),
        replace(PAIR, film_folder="../x"),
        replace(PAIR, film_folder="/x"),
        replace(PAIR, base=".."),
        replace(PAIR, base="../x__abcdefgh"),
        replace(PAIR, base="talks"),
        replace(PAIR, base="talks__ABCDEFGH"),
        replace(PAIR, base="a/talks__abcdefgh"),
        replace(WHOLE, whole="s"),
        replace(WHOLE, whole=""),
        replace(WHOLE, whole="../x.job"),
        replace(WHOLE, base="talks__abcdefgh"),
        submission(video(folder="x.job", is_shared=True), audio(folder="x.job"), whole="x.job"),
        replace(PAIR, markers=(("", "anna.mp4"),)),
        replace(PAIR, markers=(("..", "anna.ready"),)),
        replace(PAIR, markers=(("", "../anna.ready"),)),
        replace(PAIR, options=RenderOptions(crf=41)),
        replace(PAIR, options=RenderOptions(face="../../x")),
        replace(PAIR, options=RenderOptions(crf=-1)),
        replace(PAIR, options=RenderOptions(audio_offset_ms=60_001)),
        replace(PAIR, priority=1001),
        replace(PAIR, keep_days=-1),
        replace(PAIR, lane=Lane(folder="", most=0)),
        replace(PAIR, lane=Lane(folder="../x", most=1)),
        replace(PAIR, retry_of="../x"),
        replace(PAIR, row=BatchRow(batch="../x", number=1)),
        replace(PAIR, row=BatchRow(batch=BATCH_ID, number=0)),
        replace(PAIR, row=BatchRow(batch=BATCH_ID, number=1, row_id="a\x00")),
        replace(ORPHAN, error=("E999", "-")),
        replace(ORPHAN, error=("E500", "-")),
    ],
)
def test_what_only_a_forger_would_write_is_refused(forged):
    with pytest.raises(ValueError, match=r"."):
        refuse_unfit(forged)


@given(st.text(max_size=8))
def test_plain_name_joined_to_a_folder_lies_directly_in_it(name):
    if is_plain(name):
        assert "/" not in name
        assert "\0" not in name
        assert name not in ("", ".", "..")
