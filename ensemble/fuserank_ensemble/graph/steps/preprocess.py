"""The first stage: request strings become tokens and a resolved request."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates import request
from fuserank_ensemble.candidates.pages.check import check_exposure, check_page
from fuserank_ensemble.candidates.request import ResolvedRequest, Sampled, Shadow, head_weights
from fuserank_ensemble.catalog import filters
from fuserank_ensemble.catalog.filters import Kind
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.text import normalise, query_text
from fuserank_ensemble.catalog.tokens import EncoderTokenizer
from fuserank_ensemble.contract.errors import Description, InvalidRequestError
from fuserank_ensemble.contract.experiment import Arm, Experiment, ExperimentError
from fuserank_ensemble.contract.identity import refuse_hashed_name
from fuserank_ensemble.contract.options import (
    HEADS,
    MAX_K,
    MAX_QUERY_BYTES,
    MAX_USER_ID_BYTES,
    Options,
    check_fields,
    decode_bounded,
    epoch_seconds,
    parse_options,
)
from fuserank_ensemble.graph.arms import ArmDealer
from fuserank_ensemble.graph.live.bundle import LiveBundle
from fuserank_ensemble.graph.live.sampling import is_drawn, sample_request
from fuserank_ensemble.graph.live.state import (
    MAX_WAIT_SECONDS,
    STALE,
    LiveState,
    open_key,
    open_live,
)
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.graph.tensors import Tensors, string_tensor
from fuserank_ensemble.graph.warmups import read_warmups
from fuserank_ensemble.interactions.dislikes import still_disliked
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.live.users import KnownUser, Users
from fuserank_ensemble.interactions.popularity import DEVICE
from fuserank_ensemble.ranking import exploration, rules
from fuserank_ensemble.state.identity import IdentityKey, Subject
from fuserank_ensemble.understanding.query import QueryParser, UnderstoodQuery

INCOMPLETE = "events_missing"  # events between the bundle and the log are lost
_VERIFIED = (
    *("index/tokenizer", "index/items/", "index/history/", "index/dislikes/", "index/hidden/", "index/users/"),
    *("index/synonyms", "index/lexical/"),
)


@dataclass(frozen=True)
class _Row:
    """One row of a request, parsed."""

    text: str
    resolved: ResolvedRequest


class Preprocess:
    """Validates, tokenises and resolves requests."""

    name = "preprocess"

    def __init__(
        self,
        bundle: Bundle,
        live: LiveState | None = None,
        experiment: Experiment | None = None,
        key: IdentityKey | None = None,
        *,
        takes_names: bool = False,
    ) -> None:
        """Opens the step.

        Args:
            bundle: The bundle.
            live: What happened since it was made; None where no state is kept.
            experiment: The experiment whose arms users are in; None where none is run.
            key: The key under which the bundle names users, see `open_key`.
            takes_names: Whether users and sessions may be given by the bundle's names for them; never over the network.

        Raises:
            ExperimentError: Where the bundle's catalogue has not what the rules of an arm name that it answers.
        """
        self._bundle, self._live, self._now = bundle, live, LiveBundle(bundle, live)
        self._takes_names = takes_names
        # Triton itself asks as somebody whom the bundle names, once each, before anybody else can ask.
        self._warmups = set() if takes_names else read_warmups(bundle)
        overlay = live.overlay if live else None
        self._arms = ArmDealer(experiment, overlay, bundle.id)
        self.deal = self._arms.deal
        self._users = Users(bundle.histories, bundle.dislikes, bundle.hidden, bundle.event_table, overlay, key)
        self._spec = bundle.spec
        self._kinds = bundle.items.columns.kinds
        for arm in experiment.arms if experiment else ():
            if self._arms.answers(arm):
                _check_arm(arm, self._kinds)
        self._fields = set(bundle.manifest["fields"])
        self._default_fields = [name for name in bundle.spec.default_fields if name in self._fields]
        self._default_weights = tuple(bundle.spec.objective.get(h, 0.0) for h in HEADS)
        counts = bundle.manifest["counts"]
        self._only_purchases = counts["purchases"] == counts["events"]
        self._tokens = EncoderTokenizer(bundle.tokenizer, bundle.spec.length_buckets, bundle.spec.pad_token_id)

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Preprocess:
        """See `Model`. Loads the tokenizer, the catalogue's schema and the users' histories; always on the CPU."""
        del device
        bundle = Bundle.open(bundle_root, verify=_VERIFIED)
        live = open_live(bundle, host, has_words=True)
        return cls(bundle, live, host.experiment(), open_key(bundle, host))

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `Step`."""
        started = time.monotonic_ns()
        parsed = [self._parsed(tensors, started) for tensors in requests]
        texts = [row.text for rows in parsed if not isinstance(rows, InvalidRequestError) for row in rows]
        encodings = iter(self._tokens.encode(texts))
        out: list[Tensors | InvalidRequestError] = []
        for rows in parsed:
            if isinstance(rows, InvalidRequestError):
                out.append(rows)
                continue
            encoded = [next(encodings) for _ in rows]
            ids, mask = self._tokens.pad(encoded)
            for row, encoding in zip(rows, encoded, strict=True):
                if encoding.overflowing:
                    row.resolved.degraded.append("query_truncated")
                row.resolved.finished_ns = time.monotonic_ns()
            resolved = string_tensor([[request.encode(row.resolved)] for row in rows])
            out.append({"INPUT_IDS": ids, "ATTENTION_MASK": mask, "REQUEST": resolved})
        return out

    def _parsed(self, tensors: Tensors, started: int) -> list[_Row] | InvalidRequestError:
        rows = zip(tensors["QUERY"][:, 0], tensors["USER_ID"][:, 0], tensors["OPTIONS"][:, 0], strict=True)
        try:
            return [self._row(*row, started) for row in rows]
        except InvalidRequestError as error:
            return error

    def _row(self, raw_query: bytes, raw_user: bytes, raw_options: bytes, started: int) -> _Row:
        query = decode_bounded("QUERY", raw_query, MAX_QUERY_BYTES)
        user = decode_bounded("USER_ID", raw_user, MAX_USER_ID_BYTES)
        options = parse_options(raw_options)
        is_warmup = self._is_warmup(raw_query, raw_user, raw_options)
        if not self._takes_names and not is_warmup:
            refuse_hashed_name("USER_ID", user)
            refuse_hashed_name("OPTIONS.session_id", options.session_id)
        parsed_at = self._now.catalog.position
        understood, did_you_mean = None, ""
        if query.strip():
            parser = self._now.parser
            understood = parser.parse(query, options.understood_parts)
            did_you_mean = _did_you_mean(parser, query, understood, options)
        text = query_text(self._spec.query_template, understood.text if understood else "")
        if not text and not user and not options.history and not options.session_id:
            raise InvalidRequestError(
                "QUERY, USER_ID",
                Description("both empty, and no OPTIONS.history"),
                "a query, a user or a history; for an anonymous visitor send any USER_ID, who is answered as new",
            )
        if options.filter:
            filters.parse(options.filter, self._kinds)
        check_fields(options.fields or (), self._fields)
        page = options.page
        most_ranked = self._spec.candidate_buckets[-1]
        rules.check(options.rules, most_ranked if page else options.k, self._kinds)
        if options.explore:
            exploration.check(options.explore, options.k)
        check_exposure(options, self._kinds)
        if page:
            check_page(page, options, self._kinds, self._spec.candidates, most_ranked)
        timestamp = options.context.timestamp
        now = self._default_time() if timestamp is None else epoch_seconds(timestamp)
        degraded = self._wait_for_log(self._live, options, started) if self._live else []
        if options.min_position and not self._live:
            degraded = [STALE]  # there is no log here that could be known so far
        # Taken before: what is known of who asks then counts up to there at least.
        reached = self._live.tail.position if self._live else 0
        known = self._users.find(user, options.session_id)
        arm = self._arms.find(user, options.session_id) if known.personalised else None
        shadow = self._shadow(arm, user, options, bool(text)) if arm else None
        if arm:
            options = arm.apply(options)
        catalog = self._now.catalog
        sampled = None
        if catalog.position == parsed_at and not degraded and known.complete and not is_warmup:
            raw = (raw_query, raw_user, raw_options)
            sampled = self._sample(known, self._users.subjects(user, options.session_id), options, now, reached, raw)
        history, unknown = self._history(known, options, now, catalog.items)
        disliked = self._disliked(known, options, history)
        return _Row(
            text,
            ResolvedRequest(
                has_query=bool(text),
                user_known=known.row >= 0 or known.live or disliked is not None or len(known.hidden) > 0,
                k=options.k,
                now=now,
                seen=history.pack(),
                filter=options.filter,
                weights=head_weights(self._weights(options), bool(text)),
                diversity=options.diversity,
                exclude_seen=options.exclude_seen,
                explain=options.explain,
                fields=self._default_fields if options.fields is None else options.fields,
                query=query,
                context=self._places(known, options),
                history_unknown=unknown,
                degraded=list(dict.fromkeys(degraded if known.complete else [*degraded, STALE])),
                started_ns=started,
                finished_ns=0,
                deadline_ns=started + int(options.deadline_ms * 1e6) if options.deadline_ms else 0,
                rules=options.rules,
                explore=options.explore,
                language=options.language,
                bought=self._only_purchases and options.history is None,
                understood=understood if text else None,
                disliked=b"" if disliked is None else disliked.pack(),
                segments=self._bundle.segments.values(known.name, now) if known.name else {},
                hidden=known.hidden.tobytes(),
                position=reached if self._live else None,
                opted_out=not known.personalised,
                catalog=catalog.position,
                arm=self._arms.experiment.label(arm) if self._arms.experiment and arm else "",
                shadow=shadow,
                bundle=self._bundle.id,
                page=page,
                highlight=options.highlight,
                probability=options.probability,
                shares=options.shares,
                did_you_mean=did_you_mean,
                sampled=sampled,
            ),
        )

    def _is_warmup(self, *raw: bytes) -> bool:
        """Whether Triton asks, and not somebody over the network."""
        if raw not in self._warmups:
            return False
        self._warmups.remove(raw)
        return True

    def _sample(
        self,
        known: KnownUser,
        who: tuple[Subject, Subject],
        options: Options,
        now: float,
        reached: int,
        raw: tuple[bytes, bytes, bytes],
    ) -> Sampled | None:
        """What the log keeps of a request beside what the ranker reads; None of most.

        Nothing is kept of who opted out, nor of a request that entries reached while it was looked up.
        """
        if not self._live or not self._live.feature_share or not known.personalised or known.upto > reached:
            return None
        if not is_drawn(self._live.feature_share, *raw, str(reached).encode()):
            return None
        return sample_request(options, now, *who, reached)

    def _shadow(self, arm: Arm, user: str, options: Options, has_query: bool) -> Shadow | None:
        """How the next arm answers as well, for the share of requests that the experiment names."""
        experiment, key = self._arms.experiment, self._arms.key
        if experiment is None or key is None or random.random() >= experiment.shadow:  # noqa: S311  no secret
            return None
        other = experiment.shadow_of(arm)
        applied = other.apply(options)
        return Shadow(
            experiment.label(other),
            head_weights(self._weights(applied), has_query),
            applied.diversity,
            applied.rules,
            key.user(user) if user else b"",
            key.session(options.session_id) if options.session_id else b"",
        )

    @staticmethod
    def _wait_for_log(live: LiveState, options: Options, started: int) -> list[str]:
        """Waits until the log is known as far as a request asks, in half of its deadline at most.

        Returns:
            What of the log does not count yet, as `STATUS.degraded` names it.
        """
        seconds = MAX_WAIT_SECONDS if options.deadline_ms is None else min(MAX_WAIT_SECONDS, options.deadline_ms / 2e3)
        # The requests of a batch wait together.
        left = max(seconds - (time.monotonic_ns() - started) / 1e9, 0.0)
        there = live.tail.wait_for(options.min_position, left)
        stale = [STALE] if not there or live.tail.failing else []
        return [*stale, *([INCOMPLETE] if live.tail.incomplete else [])]

    def _history(self, user: KnownUser, options: Options, now: float, items: Items) -> tuple[History, int]:
        """The history to answer with, and how many given item ids are not known."""
        if options.history is None or not user.personalised:
            return user.seen, 0
        rows = [items.row(item_id) for item_id in options.history]
        known = [row for row in rows if row >= 0]
        return History.from_rows(known, now), len(rows) - len(known)

    def _disliked(self, user: KnownUser, options: Options, history: History) -> History | None:
        """What the user returned, disliked or rated low, and has not had since; None for one who did not."""
        # A history that came with the request stands for the whole user.
        if user.disliked is None or options.history is not None:
            return None
        return still_disliked(user.disliked, history)

    def _places(self, user: KnownUser, options: Options) -> dict[str, str]:
        """Where and on what device the question is asked; what the request does not name, as this user usually does."""
        given = {"region": options.context.region, "store": options.context.store}
        named = {kind: place for kind, place in given.items() if place}
        # A history that came with the request stands for the whole user: nothing stored takes part beside it.
        usual = self._bundle.histories.places(user.row) if user.row >= 0 and options.history is None else {}
        usual_device = usual.pop(DEVICE, None)
        device = options.context.device or usual_device
        return (named or usual) | ({DEVICE: device} if device else {})

    def _weights(self, options: Options) -> tuple[float, ...]:
        return options.objective.weights() if options.objective else self._default_weights

    def _default_time(self) -> float:
        return float(self._bundle.manifest["log_end"]) if self._spec.clock == "log" else time.time()


def _did_you_mean(parser: QueryParser, query: str, understood: UnderstoodQuery, options: Options) -> str:
    """A query with its misspelt words corrected, whether or not they count as such; empty where none is."""
    corrected, text = understood.corrected, normalise(query)
    if "spelling" not in options.understood_parts and parser.spelling and not parser.is_value(text):
        corrected = parser.spelling.correct(text)[1]
    for word, correction in corrected:
        # Words of letters alone: nothing of a correction is read as a pattern.
        text = re.sub(rf"(?<![^\W\d_]){re.escape(word)}(?![^\W\d_])", correction, text)
    return text if corrected else ""


def _check_arm(arm: Arm, kinds: Mapping[str, Kind]) -> None:
    """Checks an arm's rules and exploration against the catalogue.

    Raises:
        ExperimentError: Where a request with them would be refused.
    """
    try:
        rules.check(arm.rules, MAX_K, kinds)
        if arm.explore:
            exploration.check(arm.explore, MAX_K)
    except InvalidRequestError as error:
        raise ExperimentError(f"experiment: arm {arm.name}: {error}") from None
