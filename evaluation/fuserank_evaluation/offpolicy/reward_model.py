"""What a place of a list is expected to earn: the model that doubly robust estimates rest on.

It needs not be right for the estimate to be unbiased where the log may show all that the target shows (Dudík, Langford,
Li, ICML 2011); the better it is, the narrower the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

FOLDS = 3
PRIOR_IMPRESSIONS = 20.0  # how many impressions of the mean item count as much as an item's own


@dataclass(frozen=True, eq=False)
class Shown:
    """Items at places, `[rows]` each.

    Attributes:
        items: Item ids; empty where a place has none.
        places: From 1, int64.
        searched: Whether there was a query, bool.
    """

    items: Sequence[str]
    places: NDArray[np.int64]
    searched: NDArray[np.bool_]


def predict_rewards(
    logged: Shown, rewards: NDArray[np.bool_], subjects: NDArray[np.int64], others: Sequence[Shown]
) -> list[NDArray[np.float64]]:
    """Returns the expected rewards of each of `others`, whose rows are those of `logged` with other items.

    A logistic regression on the place, on whether there was a query, and on how often the item was rewarded in the log.
    A row is predicted by a model that saw nothing of its user (cross-fitting; Chernozhukov et al., 2018).

    Args:
        logged: What was shown.
        rewards: What came of it, bool `[rows]`.
        subjects: Who saw each row, numbers from 0, int64 `[rows]`.
        others: What to predict.
    """
    predicted = [np.zeros(len(rewards)) for _ in others]
    for fold in range(FOLDS):
        inside = subjects % FOLDS == fold
        if not inside.any():
            continue
        learned = _Model.fitted(logged, rewards, ~inside)
        for shown, values in zip(others, predicted, strict=True):
            values[inside] = learned.predict(shown, np.flatnonzero(inside))
    return predicted


@dataclass(frozen=True)
class _Model:
    """A regression, None where all rows that it would learn from have one reward; then `mean` is that."""

    regression: LogisticRegression | None
    mean: float
    log_odds: dict[str, float]  # of an item's reward, shrunk to the mean

    @classmethod
    def fitted(cls, logged: Shown, rewards: NDArray[np.bool_], rows: NDArray[np.bool_]) -> _Model:
        """Learns from some rows."""
        at = np.flatnonzero(rows)
        mean = float(rewards[at].mean()) if len(at) else 0.0
        if mean in (0.0, 1.0):
            return cls(None, mean, {})
        numbers: dict[str, int] = {}
        codes = np.asarray([numbers.setdefault(logged.items[i], len(numbers)) for i in at], np.int64)
        own = rewards[at].astype(np.float64)
        earned: NDArray[np.float64] = np.bincount(codes, weights=own).astype(np.float64)
        shown = np.bincount(codes).astype(np.float64)

        def odds(total: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
            chances = (total + PRIOR_IMPRESSIONS * mean) / (count + PRIOR_IMPRESSIONS)
            values: NDArray[np.float64] = np.log(chances / (1 - chances))
            return values

        log_odds = dict(zip(numbers, odds(earned, shown).tolist(), strict=True))
        model = cls(LogisticRegression(), mean, log_odds)
        assert model.regression is not None
        features = model.features(logged, at)
        # Of an item's rate without the row itself: with it the regression would trust the rate too much.
        features[:, 0] = odds(earned[codes] - own, shown[codes] - 1.0)
        model.regression.fit(features, rewards[at])
        return model

    def predict(self, shown: Shown, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Expected rewards of some rows, 0 where there is no item, float64 `[rows]`."""
        there = np.asarray([bool(shown.items[i]) for i in rows])
        if self.regression is None:
            return there * self.mean
        chances: NDArray[np.float64] = self.regression.predict_proba(self.features(shown, rows))[:, 1] * there
        return chances

    def features(self, shown: Shown, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log odds of the item's reward, log of the place, whether there was a query; float64 `[rows, 3]`."""
        unknown = float(np.log(self.mean / (1 - self.mean)))
        return np.column_stack(
            [
                [self.log_odds.get(shown.items[i], unknown) for i in rows],
                np.log(shown.places[rows]),
                shown.searched[rows],
            ]
        )
