"""Exploration: items that few users know yet get a chance, at a probability that is known exactly.

Some places of the list are *slots*. Each slot explores with probability `rate`, independently of the others. A slot
that explores shows an item from a pool of its own: the uncertain items that the ranking left out are dealt to the
slots in turn, best first. Every other place takes the next item of the ranking, so that exploring moves the ranking
down and never out of order.

For this policy (epsilon-greedy by slot, softmax within the pool: Sutton and Barto, Reinforcement Learning, 2018,
sections 2.2 and 2.8) the probability of an item at a place has a closed form. With `before` slots above the place:

    item e of slot's pool:   rate * q(e),  q = half softmax of the scores in standard deviations, half uniform
    item r of the ranking:   Binomial(place - r; before, rate) * (1 - rate where the place is a slot)

These are marginal probabilities, not conditional on what stands above: with them
mean(reward * [item e at place p] / propensity) is unbiased (Horvitz and Thompson, JASA 1952; Li et al., WSDM 2011).
The uniform half bounds the weights: no item of a pool of n is shown less often than rate / (2 n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.contract.controls import ALLOWED, Explore
from fuserank_ensemble.contract.errors import Description, InvalidRequestError, format_value

FloatArray = NDArray[np.float64]


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
            q = selection_probabilities(scores[group])
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


def _binomial(successes: int, trials: int, rate: float) -> float:
    return math.comb(trials, successes) * rate**successes * (1.0 - rate) ** (trials - successes)
