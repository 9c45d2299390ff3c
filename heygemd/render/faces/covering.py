"""Which lips are covered: the nets' belief and the colours around the mouth, judged against the person's own usual.

A beard or stubble lowers the belief of the nets through the whole clip; a hand or a microphone comes and goes, and
brings other colours. So what counts is how far a frame falls from the usual of that person in that scene:

    doubt     usual logit of "the lips are visible" - that of the frame
    otherness how far the fourth most changed of the sixteen patches of skin is from its usual colour
    turn      how far the face is turned away, for lips seen from the side are half hidden
    evidence  doubt + OTHERNESS_COUNTS * otherness, or the turn, against two thresholds, so that it does not flicker

Set on clips with drawn hands, microphones and paper, and on one with real hands, against their clean frames.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.arrays import blocks, let_go
from heygemd.render.faces.crowd import Crowd
from heygemd.render.faces.topology import nose_offset
from heygemd.render.filters import numbered_runs

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

TURNED = 0.36
"""Offset of the nose (see `topology.nose_offset`) at which half of the lips is hidden: about 37 degrees.

The nets have learned few faces from the side, and read a full profile as .34 to .46."""
TURN_POWER = 4
"""The evidence of a turn grows so steeply that .28 is none."""
VISIBLE = 0.9
"""What is written at least for lips that are seen after all; whoever asks takes .85 for the border."""
COVERED = 0.5
"""What is written at most for lips that are covered after all."""
USUAL_PERCENTILE = 60
"""More than the median, for hands at the mouth are seen for half of many clips."""
USUAL_LOGITS = (1.4, 3.0)
"""The usual logit is taken no lower, for a mouth may be covered all the time, and no higher: certainty jitters."""
COVERED_FROM = 2.0
"""Evidence that lips are covered: a seventh of the usual odds. Drawn things over a fifth of the lips gave 1.5 to 7."""
COVERED_ALONG = 0.7
"""Evidence down to which neighbouring frames belong to it; 95 of 100 clean frames give less."""
COVERED_AT_ONCE = 2.4
"""A single frame counts only from here."""
OTHERNESS_COUNTS = 0.5
CHANGED_PATCHES = 4
"""So many of the sixteen patches must have changed."""
USUAL_CHANGE = 1.5
"""Multiple of the person's median change that is still usual."""
LEAST_CHANGE = 2.5
"""CIE Lab units; less is noise of the camera."""
MOST_OTHERNESS = 4.0
STRANGE_LAB = 18.0
"""Lab units (a and b count 1.5-fold) from which a patch shows something else than skin in other light."""
STRANGE_SHARE = 0.25
"""Share of such patches beyond which lips are covered, if the nets doubt too; .235 was seen with nothing there."""
STRANGE_DOUBT = 0.5
CHROMA_COUNTS = 1.5
BRIDGED_S = 0.3
"""Shorter gaps between covered frames are covered: a hand does not leave so briefly."""
WINDOW_S = 30.0
"""The usual colours are the median over so long, for light changes in the course of a day."""
HOP_S = 5.0


def judged_lips(crowd: Crowd) -> NDArray[np.float32]:
    """Correct `lips_visible` of every sighting, float32[m]: below .85 where something covers the lips."""
    corrected, turn = np.array(crowd.lips_visible), _turns(crowd)
    order = np.argsort(crowd.person, kind="stable")
    persons = np.split(order, np.flatnonzero(np.diff(crowd.person[order])) + 1) if len(order) else []
    for rows in persons:
        belief = crowd.lips_visible[rows]
        pts_s = crowd.pts_s[crowd.frame[rows]]
        evidence = _evidence(belief.astype(np.float64), _changes(crowd, rows, pts_s))
        is_covered = _bridged(_lasting(np.maximum(evidence, COVERED_FROM * turn[rows] ** TURN_POWER)), pts_s)
        corrected[rows] = np.where(is_covered, np.minimum(belief, COVERED), np.maximum(belief, VISIBLE))
    return corrected


def _turns(crowd: Crowd) -> Vector:
    """Offset of the nose in every sighting, in units of TURNED: float64[m]."""
    turns = np.empty(len(crowd.frame))
    for part in blocks(len(turns), crowd.points[:1].nbytes):
        turns[part] = np.abs(nose_offset(crowd.points[part])) / TURNED
        let_go(crowd.points)
    return turns


def _evidence(belief: Vector, changes: Vector) -> Vector:
    """Judge the sightings of one person: belief[k] of the nets, change[k, 16] of each patch in Lab units."""
    logit = np.log(np.clip(belief, 1e-6, 1 - 1e-6)) - np.log1p(-np.clip(belief, 1e-6, 1 - 1e-6))
    doubt = np.clip(np.percentile(logit, USUAL_PERCENTILE), *USUAL_LOGITS) - logit
    change = np.sort(changes, axis=1)[:, -CHANGED_PATCHES]
    usual = USUAL_CHANGE * max(float(np.median(change)), LEAST_CHANGE)
    otherness = np.clip(USUAL_CHANGE * (change / usual - 1), 0, MOST_OTHERNESS)
    evidence = doubt + OTHERNESS_COUNTS * otherness
    is_strange = ((changes > STRANGE_LAB).mean(axis=1) > STRANGE_SHARE) & (doubt > STRANGE_DOUBT)
    return np.asarray(np.where(is_strange, np.maximum(evidence, COVERED_AT_ONCE), evidence))


def _lasting(evidence: Vector) -> Flags:
    """Runs above COVERED_ALONG in which COVERED_FROM is passed twice, or COVERED_AT_ONCE once."""
    runs, count = numbered_runs(evidence > COVERED_ALONG)
    passed = np.bincount(runs, weights=evidence > COVERED_FROM, minlength=count + 1)[1:]
    highest = np.zeros(count + 1)
    np.maximum.at(highest, runs, evidence)
    counts = np.concatenate([[False], (passed > 1) | (highest[1:] >= COVERED_AT_ONCE)])
    return np.asarray(counts[runs], np.bool_)


def _bridged(is_covered: Flags, pts_s: Vector) -> Flags:
    """Fill the short gaps."""
    bridged = is_covered.copy()
    covered = np.flatnonzero(is_covered)
    for before, after in zip(covered[:-1].tolist(), covered[1:].tolist(), strict=True):
        if after - before > 1 and pts_s[after] - pts_s[before] <= BRIDGED_S:
            bridged[before:after] = True
    return bridged


def _changes(crowd: Crowd, rows: NDArray[np.intp], pts_s: Vector) -> Vector:
    """How far each patch is from its usual colour, the light set aside: float64[k, 16] in Lab units."""
    changes = np.empty((len(rows), crowd.skin.shape[1]))
    hop = np.floor((pts_s - pts_s[0]) / HOP_S).astype(np.intp)
    for number in np.unique(hop).tolist():
        here = slice(*np.searchsorted(hop, (number, number + 1)).tolist())
        middle_s = pts_s[0] + (number + 0.5) * HOP_S
        near = slice(*np.searchsorted(pts_s, (middle_s - WINDOW_S / 2, middle_s + WINDOW_S / 2)).tolist())
        usual = np.median(_lab(crowd.skin[rows[near]]), axis=0)
        difference = _lab(crowd.skin[rows[here]]) - usual
        # What all patches share is light, or the camera's exposure.
        difference -= np.median(difference, axis=1, keepdims=True)
        changes[here] = np.linalg.norm(difference * (1, CHROMA_COUNTS, CHROMA_COUNTS), axis=2)
        let_go(crowd.skin)
    return changes


def _lab(skin: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8[k, 16, 3] BGR to float32[k, 16, 3] CIE Lab."""
    return np.asarray(cv2.cvtColor(skin.astype(np.float32) / 255, cv2.COLOR_BGR2LAB), np.float32)
