"""When the mouth may move: the probability of speech turned into a gate without flutter.

Music and gusts of noise look like speech to a net that has to call everything either speech or silence. But then it
does not know which sounds it hears: its uncertainty among the mouth classes tells speech from the rest.
"""

import numpy as np
from numpy.typing import NDArray

from heygemd.render.filters import gauss_blurred

SPEECH_FROM = 0.5
"""Probability from which a moment is speech."""
SHORTEST_PAUSE_S = 0.45
"""Shorter gaps between words do not close the gate."""
SHORTEST_SPEECH_S = 0.08
"""Shorter bursts are clicks."""
HANG_S = 0.10
"""The gate closes so much after the last speech."""
RAMP_S = 0.08
"""It begins to open so much before the first speech."""
QUIET_FROM_S = 0.25
"""Shorter gaps between words are no place to cut a film."""

CLEAR_BELOW, UNCLEAR_FROM = 1.80, 1.95
"""Entropy in nats among the 14 sounding mouth classes (2.64 is none the wiser), mean over the speech around a moment:
speech counts fully up to the first and not at all from the second. The GRID sentences have 1.1, under white noise of
half their amplitude 1.7, as loud as they are 1.8 (95th percentile 1.9); music that the net still calls speech has 1.3
to 2.1."""
UNCLEAR_S = 0.75
"""Standard deviation of the Gaussian that says how near "around a moment" is."""

_NO_SPEECH = 1e-3


def voice_gate(speech: NDArray[np.floating], *, rate_hz: int) -> NDArray[np.float32]:
    """Turn the probability of speech, float[n], into an envelope in 0..1, float32[n]; 0 shuts the mouth."""
    is_speech = speech > SPEECH_FROM
    for start, stop in _runs(~is_speech):
        inside = start > 0 and stop < len(is_speech)
        if inside and (stop - start) / rate_hz < SHORTEST_PAUSE_S:
            is_speech[start:stop] = True
    for start, stop in _runs(is_speech):
        if (stop - start) / rate_hz < SHORTEST_SPEECH_S:
            is_speech[start:stop] = False

    ramp, hang = round(RAMP_S * rate_hz), round(HANG_S * rate_hz)
    gate = np.zeros(len(is_speech))
    for start, stop in _runs(is_speech):
        gate[max(0, start - ramp) : stop + hang] = 1.0
    slope = np.hanning(2 * ramp + 1)
    smooth = np.convolve(np.pad(gate, ramp, mode="edge"), slope / slope.sum(), "valid")
    return smooth.astype(np.float32)


def clear_speech(speech: NDArray[np.float32], doubt: NDArray[np.float32], *, rate_hz: int) -> NDArray[np.float32]:
    """Take out of the probability of speech, float32[n], what is heard but not understood.

    `doubt` is the entropy among the sounding mouth classes at each moment, float32[n], in nats.
    """
    reach = UNCLEAR_S * rate_hz
    near = gauss_blurred(speech, reach)
    around = gauss_blurred(speech * doubt, reach) / np.maximum(near, _NO_SPEECH)
    clear = np.clip((UNCLEAR_FROM - around) / (UNCLEAR_FROM - CLEAR_BELOW), 0, 1)
    return np.asarray(speech * clear, np.float32)


def pauses_in(speech: NDArray[np.floating], *, rate_hz: int) -> list[tuple[float, float]]:
    """Find where nobody speaks for a while, by the probability of speech, float[n]: start and stop in seconds, rising.

    The silence before the first word and after the last counts, too; a click does not end a pause.
    """
    is_speech = speech > SPEECH_FROM
    for start, stop in _runs(is_speech):
        if (stop - start) / rate_hz < SHORTEST_SPEECH_S:
            is_speech[start:stop] = False
    return [
        (start / rate_hz, stop / rate_hz)
        for start, stop in _runs(~is_speech)
        if (stop - start) / rate_hz >= QUIET_FROM_S
    ]


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open ranges in which the mask is true."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return list(zip(starts.tolist(), stops.tolist(), strict=True))
