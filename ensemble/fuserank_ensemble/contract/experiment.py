"""An experiment on users: its arms, what each changes, and which user is in which."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

import msgspec

from fuserank_ensemble.contract.controls import Explore, Rule
from fuserank_ensemble.contract.options import Objective, Options

PLACE = "FUSERANK_EXPERIMENT"  # the environment variable that names the experiment's file
MAX_ARMS = 10
MAX_ARM_BYTES = 65
_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")
_ROUNDING = 1e-9  # of a sum of shares


class ExperimentError(ValueError):
    """An experiment that cannot be run; the message names the file, the part at fault and what is allowed."""


class Arm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One way to answer. What it sets holds for requests that do not set it themselves.

    Attributes:
        name: Letters, digits, `.`, `_` and `-`.
        share: Of all users.
        objective: Weights of the heads; None leaves the bundle's.
        diversity: See `Options.diversity`.
        rules: What the shop boosts, buries and pins; a pin beyond the request's `k` is left out.
        explore: How lists explore; a slot beyond the request's `k` is left out.
        bundle: Folder of the bundle that answers in place of the served one; a relative one lies beside the file.
            Empty leaves the served one.
    """

    name: str
    share: Annotated[float, msgspec.Meta(gt=0, le=1)]
    objective: Objective | None = None
    diversity: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    rules: list[Rule] = []
    explore: Explore | None = None
    bundle: str = ""

    def apply(self, options: Options) -> Options:
        """Returns a request's options with what the arm sets; another order than that of relevance stays as it is."""
        page = options.page
        if page is not None and page.sort != "relevance":
            return msgspec.structs.replace(options, objective=options.objective or self.objective)
        explore = options.explore or self.explore
        if explore is self.explore and explore and explore.slots:
            slots = [slot for slot in explore.slots if slot <= options.k]
            explore = msgspec.structs.replace(explore, slots=slots) if slots else None
        if (page is not None and page.offset) or options.exposure:
            explore = None  # its slots are places of the first page, and shares of a page leave it none
        return msgspec.structs.replace(
            options,
            objective=options.objective or self.objective,
            diversity=options.diversity or self.diversity,
            rules=options.rules or [rule for rule in self.rules if rule.pin is None or rule.pin <= options.k],
            explore=explore,
        )


class Experiment(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Arms that are compared. Users beyond their shares are in none.

    Attributes:
        name: Letters, digits, `.`, `_` and `-`. Another name deals users anew.
        arms: The first is the control.
        shadow: Share of the requests of users in an arm that the next arm answers as well: that list is logged, not
            shown.
    """

    name: str
    arms: Annotated[list[Arm], msgspec.Meta(min_length=2, max_length=MAX_ARMS)]
    shadow: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0

    def assign(self, subject: bytes) -> Arm | None:
        """Returns the arm of a user or a session, always the same one; None for one that is in none.

        Args:
            subject: The keyed hash of the user, else of the session.
        """
        drawn = blake2b(subject, key=self.name.encode(), digest_size=8).digest()
        point = int.from_bytes(drawn, "big") / 2**64
        for arm in self.arms:
            if point < arm.share:
                return arm
            point -= arm.share
        return None

    def shadow_of(self, arm: Arm) -> Arm:
        """Returns the arm that answers in the shadow of another."""
        return self.arms[(self.arms.index(arm) + 1) % len(self.arms)]

    @property
    def has_bundles(self) -> bool:
        """Whether an arm is answered by another bundle than the served one."""
        return any(arm.bundle for arm in self.arms)

    def label(self, arm: Arm) -> str:
        """Returns how replies and impressions name an arm."""
        return f"{self.name}/{arm.name}"

    def check(self) -> None:
        """Checks what types alone do not.

        Raises:
            ExperimentError: Naming the part at fault.
        """
        for field, name in (("name", self.name), *((f"arms[{i}].name", arm.name) for i, arm in enumerate(self.arms))):
            if not _NAME.fullmatch(name):
                raise ExperimentError(f"{field}: found {name!r}; allowed: 1 to 32 letters, digits, '.', '_' and '-'")
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ExperimentError(f"arms: found the names {', '.join(names)}; allowed: each name once")
        total = sum(arm.share for arm in self.arms)
        if not total <= 1 + _ROUNDING:
            raise ExperimentError(f"arms: found shares that sum up to {total:g}; allowed: 1 at most")
        for i, arm in enumerate(self.arms):
            weights = arm.objective.weights() if arm.objective else (1.0,)
            if not any(weights) or not all(map(math.isfinite, weights)):
                raise ExperimentError(f"arms[{i}].objective: found no finite weight above 0; allowed: one at least")
            if arm.explore and arm.explore.seed is not None:
                raise ExperimentError(f"arms[{i}].explore.seed: one seed draws the same for all; allowed: none")
        if self.arms[0].bundle:
            raise ExperimentError("arms[0].bundle: the served bundle answers the control; allowed: none")
        if self.shadow and self.has_bundles:
            raise ExperimentError(
                "shadow: found beside an arm with a bundle, which has other candidates; allowed: 0, or arms without"
            )


def read_experiment(path: Path) -> Experiment:
    """Reads an experiment from a TOML file; the bundles that it names need not be there.

    Raises:
        ExperimentError: Where it cannot be read or run.
    """
    try:
        experiment = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Experiment)
        experiment.check()
        arms = [
            msgspec.structs.replace(arm, bundle=str((path.parent / arm.bundle).resolve())) if arm.bundle else arm
            for arm in experiment.arms
        ]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, ExperimentError) as error:
        raise ExperimentError(f"experiment {path}: {error}") from None
    return msgspec.structs.replace(experiment, arms=arms)


def experiment_from_environment(environment: Mapping[str, str] | None = None) -> Experiment | None:
    """Returns the experiment of this process; None where none is run.

    Raises:
        ExperimentError: Where its file cannot be read or run.
    """
    place = (os.environ if environment is None else environment).get(PLACE)
    return read_experiment(Path(place)) if place else None
