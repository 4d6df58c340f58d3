"""The model `profile`: what is known of a user since the bundle, and what a user asks to be done with it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import Description, InvalidRequestError, nearest
from fuserank_ensemble.contract.identity import refuse_hashed_name
from fuserank_ensemble.contract.options import (
    MAX_OPTIONS_BYTES,
    MAX_SESSION_ID_BYTES,
    MAX_USER_ID_BYTES,
    decode_bounded,
)
from fuserank_ensemble.graph.live.bundle import LiveBundle
from fuserank_ensemble.graph.live.log_writer import StateHolder
from fuserank_ensemble.graph.live.state import NO_KIND, LiveState, open_live
from fuserank_ensemble.graph.step import Host, UnavailableError
from fuserank_ensemble.graph.tensors import Tensors, string_tensor
from fuserank_ensemble.interactions.live.overlay import LogStart, read_person
from fuserank_ensemble.interactions.live.person import LivePerson
from fuserank_ensemble.state.entries import EVENT_KINDS, Entry, Forget, Merge, Personalise
from fuserank_ensemble.state.identity import Subject, hashed_name
from fuserank_ensemble.state.log import StateUnavailableError
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_ensemble.state.spool import erase_waiting

_SOURCE = "from_session or from_user, of whoever was anonymous before"


class _Options(msgspec.Struct, forbid_unknown_fields=True):
    """What an action takes beyond the user."""

    from_session: Annotated[str, msgspec.Meta(max_length=MAX_SESSION_ID_BYTES)] = ""
    from_user: Annotated[str, msgspec.Meta(max_length=MAX_USER_ID_BYTES)] = ""


class Profile:
    """Reads and changes what the state holds of one user."""

    name = "profile"

    def __init__(self, bundle: Bundle, settings: StateSettings | None, live: LiveState | None = None) -> None:
        """Takes the bundle, where the log is, and what the shop changed; None for both where no state is kept."""
        self._bundle, self._now = bundle, LiveBundle(bundle, live)
        self._state = StateHolder(settings)
        self._spool = settings.spool if settings else None
        self._actions: Mapping[str, Callable[[State, str, _Options], dict[str, Any]]] = {
            "get": self._get,
            "forget": self._forget,
            "merge": self._merge,
            "opt_out": lambda state, user, _: self._personalise(state, user, allowed=False),
            "opt_in": lambda state, user, _: self._personalise(state, user, allowed=True),
        }

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Profile:
        """See `Model`. Maps the catalogue and the users' histories; always on the CPU."""
        del device
        parts = ("index/items/", "index/history/", "index/users/", "index/dislikes/", "index/hidden/")
        bundle = Bundle.open(bundle_root, verify=parts)
        step = cls(bundle, host.state(), open_live(bundle, host, kinds=NO_KIND))
        host.at_close(step.close)
        return step

    def close(self) -> None:
        """Lets go of the log."""
        self._state.close()

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `Step`.

        Raises:
            UnsupportedError: Where no state is kept.
            UnavailableError: Where the log does not answer.
        """
        state = self._state.get()
        try:
            return [self._answered(tensors, state) for tensors in requests]
        except StateUnavailableError as error:
            raise UnavailableError(str(error)) from None

    def _answered(self, tensors: Tensors, state: State) -> Tensors | InvalidRequestError:
        rows = zip(tensors["USER_ID"][:, 0], tensors["ACTION"][:, 0], tensors["OPTIONS"][:, 0], strict=True)
        try:
            return {"PROFILE": string_tensor([[msgspec.json.encode(self._row(state, *row))] for row in rows])}
        except InvalidRequestError as error:
            return error

    def _row(self, state: State, raw_user: bytes, raw_action: bytes, raw_options: bytes) -> dict[str, Any]:
        user = refuse_hashed_name("USER_ID", decode_bounded("USER_ID", raw_user, MAX_USER_ID_BYTES))
        if not user.strip():
            raise InvalidRequestError("USER_ID", user, "the user's id")
        action = decode_bounded("ACTION", raw_action, 64)
        if action not in self._actions:
            raise InvalidRequestError("ACTION", action, nearest(action, self._actions))
        try:
            options = msgspec.json.decode(decode_bounded("OPTIONS", raw_options, MAX_OPTIONS_BYTES), type=_Options)
        except msgspec.DecodeError as error:
            raise InvalidRequestError("OPTIONS", Description(str(error)), f"{{}}, or with merge {_SOURCE}") from None
        for name, identity in (("from_session", options.from_session), ("from_user", options.from_user)):
            refuse_hashed_name(f"OPTIONS.{name}", identity)
        if action != "merge" and options != _Options():
            raise InvalidRequestError("OPTIONS", msgspec.to_builtins(options), f"{{}}: {action} takes no options")
        return self._actions[action](state, user, options)

    def _get(self, state: State, user: str, options: _Options) -> dict[str, Any]:
        """Returns what the log and the bundle hold of the user."""
        del options
        subject = state.key.user(user)
        person = self._read(state, subject)
        items = self._now.catalog.items
        return {
            "events": [
                {
                    "item_id": items.id_of(int(event["row"])).decode(),
                    "event": EVENT_KINDS[event["kind"]],
                    "timestamp": int(event["time"]),
                    **({} if np.isnan(event["value"]) else {"value": float(event["value"])}),
                }
                for event in person.events
            ],
            "personalised": person.personalised,
            "forgotten": person.forgotten,
            "merged": len(person.sources),
            "position": person.upto,
            "bundles": self._bundles_with([subject, *person.sources]),
        }

    def _forget(self, state: State, user: str, options: _Options) -> dict[str, Any]:
        """Erases what the log holds of the user and of the sessions that were merged into this one."""
        del options
        subject, log = state.key.user(user), state.log
        everyone = self._with_sources(state, subject)
        erased = sum(log.erase(person, log.last_position() + 1) for person in everyone)
        # What waits on this machine for a log that was away; another machine's is delivered there.
        erased += sum(erase_waiting(self._spool, person) for person in everyone if self._spool)
        position = self._append(state, [Forget(event_id=_new_id(), user=person) for person in everyone])
        # What came in between the two.
        erased += sum(log.erase(person, position - len(everyone) + 1) for person in everyone)
        return {"position": position, "erased": erased, "bundles": self._bundles_with(everyone)}

    def _read(self, state: State, subject: Subject) -> LivePerson:
        """A user or a session as the log has it, what bundles hold of it included."""
        self._now.knows(state.log.last_position())  # the items of the latest events may be new
        return read_person(state.log, self._now, subject, LogStart.of(state.log))

    def _with_sources(self, state: State, subject: Subject) -> list[Subject]:
        """The subject, those that were merged into it, and those merged into these."""
        everyone = [subject]
        for person in everyone:
            sources = self._read(state, person).sources
            everyone += [source for source in sources if source not in everyone]
        return everyone

    def _merge(self, state: State, user: str, options: _Options) -> dict[str, Any]:
        """Makes the user's what a session or another user did so far."""
        if bool(options.from_session) == bool(options.from_user):
            raise InvalidRequestError("OPTIONS", msgspec.to_builtins(options), f"exactly one of {_SOURCE}")
        key = state.key
        source = key.session(options.from_session) if options.from_session else key.user(options.from_user)
        subject = key.user(user)
        if source == subject:
            raise InvalidRequestError("OPTIONS.from_user", options.from_user, "another user than USER_ID")
        merged = len(self._read(state, source).anonymous_events())
        position = self._append(state, [Merge(event_id=_new_id(), user=subject, source=source)])
        return {"position": position, "merged": merged}

    def _personalise(self, state: State, user: str, *, allowed: bool) -> dict[str, Any]:
        entry = Personalise(event_id=_new_id(), user=state.key.user(user), allowed=allowed)
        return {"position": self._append(state, [entry]), "personalised": allowed}

    @staticmethod
    def _append(state: State, entries: list[Entry]) -> int:
        return state.log.append(entries)[-1].position

    def _bundles_with(self, people: Sequence[Subject]) -> list[str]:
        """The served bundle, where it holds one of them: a forgotten one is in it until the next refresh or export."""
        bundle = self._bundle
        parts = (bundle.histories, bundle.dislikes, bundle.hidden, bundle.segments if bundle.segments.columns else None)
        names = [hashed_name(person) for person in people]
        held = any(part is not None and part.row(name) >= 0 for part in parts for name in names)
        return [bundle.id] if held else []


def _new_id() -> str:
    return uuid.uuid4().hex
