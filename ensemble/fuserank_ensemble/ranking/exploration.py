"""Exploration: items that few users know yet get a chance, at a probability that is known exactly.

Some places of the list are *slots*. Each slot explores with probability `rate`, independently of the others. A slot
that explores shows an item from a pool of its own: the uncertain items that the ranking left out are dealt to the
slots in turn, best first. Every other place takes the next item of the ranking, so that exploring moves the ranking
down and never out of order.

For this policy (epsilon-greedy by slot: Sutton and Barto, Reinforcement Learning, 2018, section 2.2) the probability of
an item at a place has a closed form. With `before` slots above the place:

    item e of slot's pool:   rate * q(e)
    item r of the ranking:   Binomial(place - r; before, rate) * (1 - rate where the place is a slot)

`q` is the method's. `softmax`: half softmax of the scores in standard deviations, half uniform (the same, section 2.8).
`thompson`: but for a uniform fiftieth, the probability that the item is clicked more often than all others of the pool,
given how often each was shown and clicked (Thompson, Biometrika 1933; Chapelle and Li, NIPS 2011). It is computed, and
the item drawn by it, where usually one sample of each posterior is compared: so the propensity is known.

These are marginal probabilities, not conditional on what stands above: with them
mean(reward * [item e at place p] / propensity) is unbiased (Horvitz and Thompson, JASA 1952; Li et al., WSDM 2011).
The uniform part bounds the weights: no item of a pool of n is shown less often than rate / (2 n), or rate / (50 n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, expit, logit

from fuserank_ensemble.contract.controls import ALLOWED, Explore
from fuserank_ensemble.contract.errors import Description, InvalidRequestError, format_value

FloatArray = NDArray[np.float64]
THOMPSON_UNIFORM = 0.02  # of Thompson sampling's choice
PRIOR_IMPRESSIONS = 20.0  # how many impressions what is expected of an item counts as much as
PRIOR_RATE = 0.05  # share of impressions that is clicked, where the log has none
MOST_LOGITS = 2.0  # by which the ranker may say that an item is clicked more or less often than the median one
_GRID = expit(np.linspace(-12.0, 9.0, 169))  # rates from 6 in a million to 0.9999, an eighth of a logit apart


@dataclass(frozen=True)
class Exploration:
    """One list as the policy drew it.

    Attributes:
        order: Positions of the items shown, int64 `[places]`.
        propensities: The probability of each item at its place, float64 `[places]`.
        explored: Whether the place was explored, bool `[places]`.
        slots: The places from 0 that could explore.
        pool: How many items could have come in.
    """

    order: NDArray[np.int64]
    propensities: FloatArray
    explored: NDArray[np.bool_]
    slots: tuple[int, ...]
    pool: int


def check(explore: Explore, k: int) -> None:
    """Checks what types alone do not.

    Raises:
        InvalidRequestError: Naming the part of `OPTIONS.explore` that cannot be followed.
    """
    if not math.isfinite(explore.rate):
        raise InvalidRequestError("OPTIONS.explore.rate", explore.rate, ALLOWED["explore.rate"])
    seen: set[int] = set()
    for i, slot in enumerate(explore.slots or ()):
        if not 1 <= slot <= k or slot in seen:
            found = Description(f"{slot} twice") if slot in seen else slot
            raise InvalidRequestError(
                f"OPTIONS.explore.slots[{i}]", found, f"different places from 1 to k ({format_value(k)})"
            )
        seen.add(slot)


def draw_exploration(
    ranked: NDArray[np.int64],
    places: int,
    scores: NDArray[np.float32],
    uncertain: NDArray[np.bool_],
    slots: Sequence[int],
    rate: float,
    seed: int,
    clicks: Clicks | None = None,
) -> Exploration:
    """Draws one list, and the probability of every place.

    Args:
        ranked: Positions of all candidates, best first, int64 `[candidates]`.
        places: How many items the list has, at most `candidates`.
        scores: By position, float32 `[candidates]`.
        uncertain: Which candidates are uncertain, by position, bool `[candidates]`.
        slots: The places from 0 that may explore, increasing; those beyond the list are passed over.
        rate: Probability that a slot explores.
        seed: The same seed draws the same list.
        clicks: What is known of each candidate's clicks, for Thompson sampling; None chooses by softmax.
    """
    outside = ranked[places:]
    pool = outside[uncertain[outside]]
    # A slot without a pool cannot explore.
    used = [slot for slot in slots if slot < places][: len(pool)]
    groups = [pool[i :: len(used)] for i in range(len(used))]
    # Two numbers a slot, whatever comes out: what one slot draws does not depend on the others.
    numbers = np.random.Generator(np.random.PCG64(seed)).random((len(used), 2))
    order = np.empty(places, np.int64)
    propensities = np.ones(places)
    explored = np.zeros(places, np.bool_)
    shift = before = 0
    for place in range(places):
        slot = before < len(used) and used[before] == place
        if slot and numbers[before, 0] < rate:
            group = groups[before]
            q = selection_probabilities(scores[group]) if clicks is None else thompson_probabilities(clicks.of(group))
            # The last step of the sum may round to just below 1.
            at = min(int(np.searchsorted(np.cumsum(q), numbers[before, 1], side="right")), len(group) - 1)
            order[place], propensities[place], explored[place] = group[at], rate * q[at], True
            shift += 1
        else:
            order[place] = ranked[place - shift]
            propensities[place] = _binomial(shift, before, rate) * (1.0 - rate if slot else 1.0)
        before += slot
    return Exploration(order, propensities, explored, tuple(used), len(pool))


def selection_probabilities(scores: NDArray[np.float32]) -> FloatArray:
    """How a slot that explores chooses within its pool, float64 `[pool]`, sum 1."""
    exact = scores.astype(np.float64)
    spread = float(exact.std()) or 1.0
    weights = np.exp((exact - exact.max(initial=-np.inf)) / spread)
    mixed: FloatArray = (weights / weights.sum() + 1.0 / len(exact)) / 2.0
    return mixed


@dataclass(frozen=True, eq=False)
class Clicks:
    """What is known of how often some candidates are clicked, `[candidates]` each.

    Attributes:
        impressions: How often each was shown.
        clicks: How many of these were clicked.
        expected: What share of its impressions is expected to be clicked before any is known, above 0 and below 1.
    """

    impressions: NDArray[np.float32]
    clicks: NDArray[np.float32]
    expected: FloatArray

    def of(self, positions: NDArray[np.int64]) -> Clicks:
        """Returns what is known of some of them."""
        return Clicks(self.impressions[positions], self.clicks[positions], self.expected[positions])


def expected_clicks(logits: NDArray[np.float32], impressions: float, clicks: float) -> FloatArray:
    """What share of its impressions each candidate is expected to have clicked, float64 `[candidates]`.

    How often anything is clicked the log says, of which more and of which less the ranker.

    Args:
        logits: Of the click head, float32 `[candidates]`; all alike where the ranker does not order.
        impressions: Of all items.
        clicks: How many of these were clicked.
    """
    overall = (clicks + PRIOR_RATE * PRIOR_IMPRESSIONS) / (impressions + PRIOR_IMPRESSIONS)
    if not len(logits):
        return np.empty(0)
    relative = np.clip(logits.astype(np.float64) - np.median(logits), -MOST_LOGITS, MOST_LOGITS)
    expected: FloatArray = expit(logit(overall) + relative)
    return expected


def thompson_probabilities(clicks: Clicks) -> FloatArray:
    """How a slot that explores by Thompson sampling chooses within its pool, float64 `[pool]`, sum 1.

    Each item's rate has a beta posterior, whose prior counts as `PRIOR_IMPRESSIONS`. The probability that a rate is the
    largest is the integral of its density times the others' distribution functions, over a grid of logits.
    """
    missed = np.maximum(clicks.impressions - clicks.clicks, 0.0).astype(np.float64)
    alpha = PRIOR_IMPRESSIONS * clicks.expected + clicks.clicks
    beta = PRIOR_IMPRESSIONS * (1.0 - clicks.expected) + missed
    below = betainc(alpha[:, None], beta[:, None], _GRID)  # [pool, grid]
    middles = np.log(np.maximum((below[:, 1:] + below[:, :-1]) / 2, 1e-300))
    largest = (np.diff(below) * np.exp(middles.sum(0) - middles)).sum(1)
    total = largest.sum()
    uniform = 1.0 / len(largest)
    matched: FloatArray = largest / total if total > 0 else np.full(len(largest), uniform)
    return (1.0 - THOMPSON_UNIFORM) * matched + THOMPSON_UNIFORM * uniform


def _binomial(successes: int, trials: int, rate: float) -> float:
    return math.comb(trials, successes) * rate**successes * (1.0 - rate) ** (trials - successes)
