"""Off-policy estimates of what a target's lists would have earned, from lists that another policy showed.

The reward of a list is the sum over its places, and that of a place depends on its item alone (item-position model; Li
et al., Offline evaluation of ranking policies with click models, KDD 2018, section 4.2). With the weight
`w = [the target shows this item here] / propensity`:

    SNIPS          sum(w * reward) / sum(w), summed over places   (Swaminathan and Joachims, NIPS 2015)
    doubly robust  mean over lists of q(target's item), and  sum(w * (reward - q(logged item))) / sum(w),  summed over
                   places   (Dudík, Langford, Li, ICML 2011; with normalised weights: Thomas and Brunskill, ICML 2016)
    effective sample size of a place  sum(w)^2 / sum(w^2)                 (Kish, 1965; Owen, 2013, chapter 9)

Lists of one person are not independent: standard errors are of sums over people, of a ratio by linearisation (the delta
method; Owen, 2013, chapter 9.3). Open Bandit Pipeline does not do here: its releases for lists want Python below 3.10,
and its older one a probability for each of all items at each place of each list.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

FloatArray = NDArray[np.float64]
CONFIDENCE = 0.95
LEAST_SAMPLE = 100.0
LEAST_SUPPORT = 0.9
Z = float(norm.ppf((1 + CONFIDENCE) / 2))


@dataclass(frozen=True, eq=False)
class LoggedPlaces:
    """Places of logged lists, each with what the target shows there instead. All arrays are `[places]`.

    Attributes:
        subject: Who saw it, a number from 0, int64.
        list_of: Which list, a number from 0, int64.
        place: From 1, int64.
        reward: What came of the item that was shown, float64.
        propensity: With what probability it stood there, above 0, float64.
        agrees: Whether the target shows this item here, bool.
        logged_model: What the reward model expects of the item that was shown, float64.
        target_model: What it expects of the target's item, 0 where the target shows none, float64.
    """

    subject: NDArray[np.int64]
    list_of: NDArray[np.int64]
    place: NDArray[np.int64]
    reward: FloatArray
    propensity: FloatArray
    agrees: NDArray[np.bool_]
    logged_model: FloatArray
    target_model: FloatArray

    @property
    def weights(self) -> FloatArray:
        """The importance weight of each place, float64 `[places]`."""
        weights: FloatArray = self.agrees / self.propensity
        return weights


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class OffPolicyEstimate:
    """What the target's lists would have earned, in rewards a list.

    Attributes:
        lists: How many lists were logged.
        people: To how many users and sessions.
        effective_sample: Of the place where it is smallest.
        support: The mean weight of the place where the upper end of its interval is lowest. It is 1, but for chance,
            where the logged policy may show all that the target does, and the share that it may show elsewhere.
        weakest_place: The place of `support`.
        logged: What the logged lists earned.
        snips: Self-normalised inverse propensity score; None where refused.
        doubly_robust: None where refused.
        gain: What the target earns more than the logged lists, doubly robust; None where refused.
        refusal: Why there is no estimate; empty where there is.
    """

    lists: int
    people: int
    effective_sample: float
    support: float
    weakest_place: int
    logged: Estimate
    snips: Estimate | None = None
    doubly_robust: Estimate | None = None
    gain: Estimate | None = None
    refusal: str = ""


def estimate_target(
    logged: LoggedPlaces, least_sample: float = LEAST_SAMPLE, least_support: float = LEAST_SUPPORT
) -> OffPolicyEstimate:
    """Estimates what the target's lists would have earned, or says why the log cannot tell.

    Args:
        logged: The places, one at least.
        least_sample: The effective sample size that each place needs.
        least_support: The mean weight that each place needs; one that may be less by chance does.
    """
    weights = logged.weights
    place_of = np.unique(logged.place, return_inverse=True)[1]
    rows = np.bincount(place_of)
    sums, squares = np.bincount(place_of, weights), np.bincount(place_of, weights**2)
    sample = np.divide(sums**2, squares, out=np.zeros(len(sums)), where=squares > 0)
    support = sums / rows
    # What may be chance is no lack of support.
    spread = np.sqrt(np.maximum(squares / rows - support**2, 0.0) / rows)
    clear = bool((support + Z * spread < least_support).any())
    weakest = int((support + Z * spread).argmin())
    lists = len(np.unique(logged.list_of))
    earned = _mean_over_people(logged.reward, logged)
    outcome = OffPolicyEstimate(
        lists,
        len(np.unique(logged.subject)),
        float(sample.min()),
        float(support[weakest]),
        int(np.unique(logged.place)[weakest]),
        earned,
    )
    refusal = _refusal(outcome, least_sample, least_support if clear else 0.0)
    if refusal:
        return replace(outcome, refusal=refusal)
    normalised = (rows / sums)[place_of] * weights

    def self_normalised(values: FloatArray) -> FloatArray:
        """What each place adds to the weighted means of the values, and to their error, float64 `[places]`."""
        means = np.bincount(place_of, weights * values) / sums
        return means[place_of] + normalised * (values - means[place_of])

    robust = logged.target_model + self_normalised(logged.reward - logged.logged_model)
    return replace(
        outcome,
        snips=_mean_over_people(self_normalised(logged.reward), logged),
        doubly_robust=_mean_over_people(robust, logged),
        gain=_mean_over_people(robust - logged.reward, logged),
    )


def _refusal(outcome: OffPolicyEstimate, least_sample: float, least_support: float) -> str:
    if outcome.support < least_support:
        return (
            f"at place {outcome.weakest_place} the log may show {outcome.support:.0%} of what the target shows; "
            f"allowed: {least_support:.0%} or more. Explore at this place, or compare fewer places"
        )
    if outcome.effective_sample < least_sample:
        return (
            f"the effective sample size is {outcome.effective_sample:,.0f}; allowed: {least_sample:,.0f} or more. "
            "Log more lists, or explore more often"
        )
    if outcome.people < 2:
        return f"the log has lists of {outcome.people} user; allowed: 2 or more"
    return ""


def _mean_over_people(values: FloatArray, logged: LoggedPlaces) -> Estimate:
    """The sum of the values of a list, `[places]`, as a mean over lists; people are what is drawn at random."""
    list_of = np.unique(logged.list_of, return_inverse=True)[1]
    sizes = np.bincount(list_of)
    mean = float(values.sum() / len(sizes))
    # Who saw more lists counts more, which is a ratio of two sums: each list is compared with the mean list.
    return _interval(mean, (values - mean / sizes[list_of]) / len(sizes), logged.subject)


def _interval(value: float, influence: FloatArray, subject: NDArray[np.int64]) -> Estimate:
    """The interval of an estimate, by Student's t, from what each place contributes to its error."""
    by_person = np.bincount(np.unique(subject, return_inverse=True)[1], influence)
    people = len(by_person)
    if people < 2:
        return Estimate(value, -np.inf, np.inf)
    error = np.sqrt((by_person**2).sum() * people / (people - 1))
    half = float(error * t.ppf((1 + CONFIDENCE) / 2, people - 1))
    return Estimate(value, value - half, value + half)
