"""Which arm of an experiment who asks is in, and which bundle answers there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.experiment import Arm, Experiment
from fuserank_ensemble.contract.options import MAX_USER_ID_BYTES, decode_bounded
from fuserank_ensemble.graph.tensors import Tensors
from fuserank_ensemble.interactions.live.overlay import LiveOverlay
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.log import StateUnavailableError


class _SessionOption(msgspec.Struct):
    """The one option by which people are dealt; the others are not read."""

    session_id: str = ""


_SESSION = msgspec.json.Decoder(_SessionOption)


class ArmDealer:
    """Deals people to the arms of an experiment by a keyed hash: without a key nobody is in one."""

    def __init__(self, experiment: Experiment | None, overlay: LiveOverlay | None, bundle: str) -> None:
        """Takes the experiment, the log's key and wishes by way of the overlay, and the id of the bundle at hand."""
        self.experiment, self._overlay, self._bundle = experiment, overlay, bundle
        self._bundles = {
            arm.name: Bundle.open(Path(arm.bundle), verify=()).id
            for arm in (experiment.arms if experiment else ())
            if arm.bundle
        }

    @property
    def key(self) -> IdentityKey | None:
        """The key of the log's users; None where there is none, or the state has never answered."""
        return self._overlay.key if self._overlay else None

    def answers(self, arm: Arm) -> bool:
        """Whether the bundle at hand may answer in an arm: where it has no other of its own."""
        return self._bundles.get(arm.name, self._bundle) == self._bundle

    def find(self, user: str, session: str) -> Arm | None:
        """Returns the arm of a user, else of a session, that the bundle at hand answers; None where that is none."""
        arm = self._assign(user, session)
        return arm if arm and self.answers(arm) else None

    def deal(self, tensors: Tensors) -> list[str]:
        """See `Dealing`: who opted out is in no arm, and what is no request is refused by the served bundle."""
        rows = zip(tensors["USER_ID"][:, 0], tensors["OPTIONS"][:, 0], strict=True)
        return [self._bundle_of(*row) if self._bundles else "" for row in rows]

    def _bundle_of(self, raw_user: bytes, raw_options: bytes) -> str:
        with suppress(InvalidRequestError, msgspec.DecodeError, StateUnavailableError):
            user = decode_bounded("USER_ID", raw_user, MAX_USER_ID_BYTES)
            session = "" if user else _SESSION.decode(raw_options).session_id
            arm = self._assign(user, session)
            if arm and arm.name in self._bundles and self._is_personalised(user):
                return self._bundles[arm.name]
        return ""

    def _assign(self, user: str, session: str) -> Arm | None:
        key = self.key
        if self.experiment is None or key is None or not (user or session):
            return None
        return self.experiment.assign(key.user(user) if user else key.session(session))

    def _is_personalised(self, user: str) -> bool:
        if not user or self._overlay is None or self._overlay.key is None:
            return True
        return self._overlay.person(self._overlay.key.user(user)).personalised
