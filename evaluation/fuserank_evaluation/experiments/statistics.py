"""Statistics of an experiment: means by person, a test that may be looked at any time, sample-ratio mismatch.

The sequential test is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
(Time-uniform central limit theory and asymptotic confidence sequences, Annals of Statistics 52(6), 2024, theorem 2.2):
its intervals hold the truth after every person at once with 95 %, so that an experiment may be stopped when it is seen
to be decided. Libraries that have it do not do here: confseq has no wheel and wants Boost, savvi wants numpy 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chisquare, norm

FloatArray = NDArray[np.float64]
ALPHA = 0.05
PLANNED_PEOPLE = 2_000  # for how many people the sequential interval is narrowest; it holds for any number
LEAST_PEOPLE = 30  # of an arm: below it a normal distribution says nothing of its mean
MISMATCH = 0.001  # a p below this is no chance (Fabijan et al., Diagnosing sample ratio mismatch, KDD 2019)


@dataclass(frozen=True, eq=False)
class Ratio:
    """A ratio of two sums over people, such as clicks by impressions.

    Attributes:
        value: The ratio, NaN where the lower sum is 0.
        influence: How much each person moves it, float64 `[people]`; their mean is 0.
    """

    value: float
    influence: FloatArray

    @classmethod
    def of(cls, above: FloatArray, below: FloatArray) -> Ratio:
        """Takes both sums' parts by person; the delta method of Deng, Knoblich and Lu, KDD 2018.

        Args:
            above: What each person adds to the upper sum, float64 `[people]`.
            below: What each adds to the lower one, float64 `[people]`.
        """
        total = float(below.sum())
        if not total:
            return cls(math.nan, np.zeros(len(above)))
        value = float(above.sum()) / total
        return cls(value, (above - value * below) / (total / len(above)))

    @property
    def error(self) -> float:
        """The standard error."""
        people = len(self.influence)
        if people < 2:
            return math.inf
        return float(np.sqrt((self.influence**2).sum() / (people - 1) / people))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, for one look at a number of people that was chosen beforehand."""
        half = float(norm.ppf(1 - ALPHA / 2)) * self.error
        return self.value - half, self.value + half


@dataclass(frozen=True)
class Difference:
    """How an arm differs from the control.

    Attributes:
        value: The arm less the control.
        low: Lower end of the 95 % interval for one look.
        high: Its upper end.
        sequential_low: Lower end of the interval that holds at all looks together.
        sequential_high: Its upper end.
        sequential_p: The p of no difference, whenever it is looked at.
    """

    value: float
    low: float
    high: float
    sequential_low: float
    sequential_high: float
    sequential_p: float

    @classmethod
    def of(cls, arm: Ratio, control: Ratio) -> Difference | None:
        """Compares two arms; None where one has too few people."""
        people = len(arm.influence) + len(control.influence)
        if min(len(arm.influence), len(control.influence)) < LEAST_PEOPLE or math.isnan(arm.value - control.value):
            return None
        value, error = arm.value - control.value, math.hypot(arm.error, control.error)
        half = float(norm.ppf(1 - ALPHA / 2)) * error
        wide = error * sequential_quantile(people, ALPHA)
        return cls(value, value - half, value + half, value - wide, value + wide, sequential_p(value, error, people))


def sequential_quantile(people: int, alpha: float) -> float:
    """How many standard errors the sequential interval reaches to either side after so many people."""
    scaled = people * _rho_squared()
    return math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / alpha))


def sequential_p(value: float, error: float, people: int) -> float:
    """The smallest alpha whose sequential interval leaves 0 out, at most 1."""
    if not error:
        return 1.0 if not value else 0.0
    scaled = people * _rho_squared()
    exponent = 0.5 * math.log(scaled + 1) - (value / error) ** 2 * scaled / (2 * (scaled + 1))
    return math.exp(min(exponent, 0.0))


def _rho_squared() -> float:
    """The square of the paper's rho that makes the interval narrowest at `PLANNED_PEOPLE`."""
    return (-2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA)) + 1) / PLANNED_PEOPLE


def mismatch_p(people: Sequence[int], shares: Sequence[float]) -> float:
    """The p of so many people in each arm, where each has a share of all; 1 where there is nobody."""
    total = sum(people)
    if not total:
        return 1.0
    expected = np.asarray(shares) / sum(shares) * total
    return float(chisquare(people, expected).pvalue)
