"""The gate that shuts the mouth in pauses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.render.speech.activity import QUIET_FROM_S, clear_speech, pauses_in, voice_gate


def gate(*parts: tuple[float, float]) -> np.ndarray:
    """Gate at 50 Hz of (seconds, probability of speech) parts."""
    return voice_gate(np.concatenate([np.full(round(s * 50), p) for s, p in parts]), rate_hz=50)


def test_speech_is_open_and_silence_shut() -> None:
    result = gate((1, 0.1), (1, 0.9), (1, 0.1))
    assert result[60:90] == pytest.approx(1)
    assert result[:40] == pytest.approx(0)
    assert result[112:] == pytest.approx(0)


def test_gate_opens_before_and_closes_after_the_voice() -> None:
    result = gate((1, 0), (1, 1), (1, 0))
    assert 0 < result[47] < 1
    assert 0 < result[106] < 1
    assert (np.diff(result[:75]) >= -1e-6).all()


def test_short_gap_between_words_stays_open() -> None:
    assert gate((1, 1), (0.4, 0), (1, 1)) == pytest.approx(1)


def test_real_pause_shuts() -> None:
    assert gate((1, 1), (0.8, 0), (1, 1)).min() == pytest.approx(0)


def test_short_gap_at_the_end_is_no_gap_between_words() -> None:
    assert gate((1, 1), (0.4, 0))[-1] == pytest.approx(0, abs=1e-6)


def test_click_does_not_open() -> None:
    assert gate((1, 0), (0.06, 1), (1, 0)) == pytest.approx(0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_gate_has_the_length_of_its_input_and_stays_in_range(speech: list[float]) -> None:
    given_speech = np.array(speech)
    result = voice_gate(given_speech, rate_hz=50)
    assert result.shape == (len(speech),)
    assert result.dtype == np.float32
    assert (result >= -1e-6).all()
    assert (result <= 1 + 1e-6).all()
    assert given_speech.tolist() == speech


def pauses(*parts: tuple[float, float]) -> list[tuple[float, float]]:
    return pauses_in(np.concatenate([np.full(round(s * 50), p) for s, p in parts]), rate_hz=50)


def test_pauses_are_where_nobody_speaks_at_the_ends_too() -> None:
    assert pauses((1, 0.1), (1, 0.9), (0.4, 0.3), (1, 1), (0.5, 0)) == [(0, 1), (2, 2.4), (3.4, 3.9)]


def test_gap_between_words_is_no_pause() -> None:
    assert pauses((1, 1), (0.24, 0), (1, 1)) == []
    assert pauses((1, 1), (0.26, 0), (1, 1)) == [(1, 1.26)]


def test_click_does_not_end_a_pause() -> None:
    assert pauses((1, 0), (0.06, 1), (1, 0)) == [(0, 2.06)]
    assert len(pauses((1, 0), (0.1, 1), (1, 0))) == 2


def test_silence_is_one_pause_and_no_sound_none() -> None:
    assert pauses((3, 0)) == [(0, 3)]
    assert pauses_in(np.zeros(0), rate_hz=50) == []


@given(st.lists(st.floats(0, 1), max_size=300))
def test_pauses_rise_do_not_touch_and_lie_inside(speech: list[float]) -> None:
    given_speech = np.array(speech)
    found = pauses_in(given_speech, rate_hz=50)
    edges = [edge for pause in found for edge in pause]
    assert edges == sorted(set(edges))
    assert all(0 <= edge <= len(speech) / 50 for edge in edges)
    assert all(stop - start >= QUIET_FROM_S - 1e-9 for start, stop in found)
    assert given_speech.tolist() == speech


def cleared(*parts: tuple[float, float, float]) -> np.ndarray:
    """Speech left at 50 Hz of (seconds, probability of speech, doubt) parts."""
    speech, doubt = (
        np.concatenate([np.full(round(part[0] * 50), part[which], np.float32) for part in parts]) for which in (1, 2)
    )
    return clear_speech(speech, doubt, rate_hz=50)


def test_clear_speech_stays_and_what_nobody_understands_goes() -> None:
    assert cleared((3, 0.9, 1.2)) == pytest.approx(0.9)
    assert cleared((3, 0.9, 2.1)) == pytest.approx(0)


def test_music_after_speech_is_no_speech_and_speech_before_it_is() -> None:
    left = cleared((5, 1, 1.2), (5, 1, 2.2))
    assert left[:200] == pytest.approx(1)
    assert left[300:] == pytest.approx(0)


def test_one_unclear_word_is_still_speech() -> None:
    assert cleared((3, 1, 1.2), (0.4, 1, 2.2), (3, 1, 1.2)).min() > 0.9


def test_doubt_in_silence_says_nothing() -> None:
    left = cleared((3, 0, 2.6), (1, 1, 1.2), (3, 0, 2.6))
    assert left[150:200] == pytest.approx(1, abs=1e-3)
    assert left[:150] == pytest.approx(0)
