"""Bayesian linear regression with few numbers, none of them negative, in pure Python.

    value = features · numbers + scatter;   numbers ~ Gaussian(belief)

Bishop, *Pattern Recognition and Machine Learning*, 3.3. The control plane has no numpy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One measured value."""

    features: Vector
    value: float
    deviation: float
    """Standard deviation of its scatter; positive."""
    weight: float = 1.0
    """How many such measurements it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is known of the numbers: a Gaussian."""

    numbers: Vector
    covariance: Matrix

    def mean(self, features: Vector) -> float:
        """Expected value."""
        return _dot(features, self.numbers)

    def deviation(self, features: Vector) -> float:
        """Standard deviation of the expected value; scatter is not in it. Convex in the features."""
        return math.sqrt(max(0.0, _dot(features, _times(self.covariance, features))))


def first_belief(numbers: Vector, deviations: Vector, *, common: float) -> Belief:
    """Begin with a table: each number has a deviation of its own, and all are wrong by a common factor 1 ± `common`."""
    size = range(len(numbers))
    return Belief(
        numbers=numbers,
        covariance=tuple(
            tuple(common**2 * numbers[i] * numbers[j] + (deviations[i] ** 2 if i == j else 0.0) for j in size)
            for i in size
        ),
    )


def learn(belief: Belief, observations: Sequence[Observation]) -> Belief:
    """Return what is known after the observations.

    Where they do not lie on any plane, the covariance is widened: the form itself is wrong then.
    """
    if not observations:
        return belief
    # In units of the prior deviations all numbers are of one size, and the sums are well conditioned.
    scale = tuple(math.sqrt(belief.covariance[i][i]) for i in range(len(belief.numbers)))
    precision = [list(row) for row in _inverse(_scaled(belief.covariance, tuple(1 / s for s in scale)))]
    pull = list(_times(precision, tuple(n / s for n, s in zip(belief.numbers, scale, strict=True))))
    for seen in observations:
        features = tuple(f * s for f, s in zip(seen.features, scale, strict=True))
        strength = seen.weight / seen.deviation**2
        for i, feature in enumerate(features):
            pull[i] += strength * feature * seen.value
            for j, other in enumerate(features):
                precision[i][j] += strength * feature * other
    units = _least_not_negative(precision, pull)
    numbers = tuple(u * s for u, s in zip(units, scale, strict=True))
    errors = (
        seen.weight * ((seen.value - _dot(seen.features, numbers)) / seen.deviation) ** 2 for seen in observations
    )
    misfit = max(1.0, math.fsum(errors) / len(observations))
    left = _scaled(_inverse(precision), tuple(s * math.sqrt(misfit) for s in scale))
    return Belief(numbers=numbers, covariance=left)


def _least_not_negative(matrix: Sequence[Sequence[float]], pull: Sequence[float]) -> Vector:
    """Minimise ½ x·Mx - pull·x over x ≥ 0 for a positive definite M.

    The minimum has some numbers at zero and the others where the slope is zero; of four numbers there are 16 choices.
    """
    size = len(pull)
    best, least = (0.0,) * size, 0.0
    for count in range(size, 0, -1):
        for free in combinations(range(size), count):
            part = _times(_inverse([[matrix[i][j] for j in free] for i in free]), tuple(pull[i] for i in free))
            if min(part) < 0:
                continue
            cost = -0.5 * _dot(part, tuple(pull[i] for i in free))
            if cost < least:
                least = cost
                best = tuple(part[free.index(i)] if i in free else 0.0 for i in range(size))
        if count == size and least < 0:
            break  # nothing had to be held at zero
    return best


def _inverse(matrix: Sequence[Sequence[float]]) -> Matrix:
    """Invert a positive definite matrix (Gauss-Jordan, pivots in order, which such a matrix allows)."""
    size = len(matrix)
    rows = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = rows[i][i]
        rows[i] = [value / pivot for value in rows[i]]
        for j in range(size):
            if j != i:
                factor = rows[j][i]
                rows[j] = [value - factor * own for value, own in zip(rows[j], rows[i], strict=True)]
    return tuple(tuple(row[size:]) for row in rows)


def _scaled(matrix: Matrix, scale: Vector) -> Matrix:
    return tuple(tuple(value * scale[i] * scale[j] for j, value in enumerate(row)) for i, row in enumerate(matrix))


def _times(matrix: Sequence[Sequence[float]], vector: Vector) -> Vector:
    return tuple(_dot(row, vector) for row in matrix)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
