"""What to do next, in words: each rule reads the figures and says something or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fuserank_evaluation.metrics.significance import Comparison
from fuserank_evaluation.shop.exposure import Exposure
from fuserank_evaluation.shop.health import CatalogHealth
from fuserank_evaluation.shop.inputs import FileRows, MeasuredLog
from fuserank_evaluation.shop.methods import METHODS, PRODUCT, TAKEN
from fuserank_evaluation.shop.requests import SETS
from fuserank_evaluation.shop.segments import Segment
from fuserank_evaluation.shop.worst import Lost
from fuserank_export.builder.options import Quality

FEW_CASES = 100
MANY_DROPPED = 0.01
MANY_MISSING = 0.2
MANY_DUPLICATES = 0.05
MUCH_MORE_POPULAR = 0.15
LITTLE_COVERAGE = 0.05
FIELDS_THAT_COUNT = {
    "description": "it is searched, and says what a title does not",
    "category": "it is filtered by, and lists are kept varied by it",
    "brand": "it is searched and filtered by, and links items that belong together",
    "price": "it is filtered by, and the ranker reads what a user usually pays",
}
# Where right answers are lost: which share of a set is too much, and what to do.
LOST: Mapping[Lost, tuple[float, str]] = {
    "no answer": (0.02, "get no answer at all: their queries are among the worst below."),
    "not found": (
        0.2,
        "do not find any right answer, in whatever order: the words of the queries are not those of the items. Name "
        "synonyms (--synonyms), search more columns (--lexical-fields), or take an encoder that knows your field.",
    ),
    "ranked below ten": (
        0.3,
        "find a right answer and rank it below the first ten: the order is at fault, not the search. Judged queries "
        "and a text tower (`fuserank export train text-tower`) teach it.",
    ),
}


@dataclass(frozen=True)
class Outcome:
    """How the product does on one set of requests.

    Attributes:
        cases: How many requests.
        ours: Its nDCG@10.
        baseline: The best other method; empty where there is none.
        theirs: Its nDCG@10.
        comparison: Of the two; None where there is none.
        lost: Shares of the requests by where their answers were lost; empty for recommendations.
    """

    cases: int
    ours: float
    baseline: str
    theirs: float
    comparison: Comparison | None
    lost: Mapping[Lost, float] = field(default_factory=dict)

    @property
    def sign(self) -> int:
        """1 where the product is better by all three tests, -1 where it is worse, else 0."""
        if self.comparison is None or not self.comparison.significant:
            return 0
        return 1 if self.comparison.difference > 0 else -1


@dataclass(frozen=True)
class Facts:
    """What the rules read.

    Attributes:
        outcomes: By set of requests.
        segments: Of all sets.
        exposures: Of all methods.
        health: Of the catalogue.
        log: How much log there is.
        files: What became of the rows of each file.
        has_queries: Whether the log says what was searched for.
        judged: Judged queries.
        taught: Those of them that taught the ranker, and are not asked.
        unread_scripts: Scripts of the shop's texts that the encoder does not know.
        unranked: Why some kinds of request keep the order of fusion, as the export says it; empty where none does.
        quality: How much the rankers learned from.
    """

    outcomes: Mapping[str, Outcome]
    segments: Sequence[Segment]
    exposures: Sequence[Exposure]
    health: CatalogHealth
    log: MeasuredLog
    files: Sequence[FileRows]
    has_queries: bool
    judged: int
    taught: int
    unread_scripts: tuple[str, ...]
    unranked: str
    quality: Quality


def verdicts(facts: Facts) -> list[str]:
    """A sentence on each set of requests: better, worse or no difference."""
    if not facts.outcomes:
        return ["There was nothing to ask: no log, no judged queries, and no words of titles to make queries of."]
    sentences = []
    for name, outcome in facts.outcomes.items():
        what = SETS[name].name
        if outcome.comparison is None:
            sentences.append(f"{_capital(what)}: nDCG@10 {outcome.ours:.3f}; nothing to compare with.")
            continue
        gain = outcome.comparison
        interval = f"{gain.difference:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        word = {1: "is better than", -1: "is worse than", 0: "does not differ for certain from"}[outcome.sign]
        sentences.append(
            f"{_capital(what)}: FuseRank {word} the best other method, {METHODS[outcome.baseline].label}: nDCG@10 "
            f"{outcome.ours:.3f} against {outcome.theirs:.3f}, {interval}, {outcome.cases:,} requests."
        )
    return sentences


def advise(facts: Facts) -> list[str]:
    """Everything that the rules have to say, the weightiest first."""
    return [sentence for rule in RULES for sentence in rule(facts)]


def _no_log(facts: Facts) -> Iterator[str]:
    if not facts.log.events:
        yield (
            "There is no log of events. Record what people do (`fuserank record`, or --interactions with user_id, "
            "item_id, event and timestamp): without it nothing is personal, and nothing here shows what people like."
        )


def _short_log(facts: Facts) -> Iterator[str]:
    log = facts.log
    of_log = f"{log.events:,} event{'s' * (log.events != 1)} of {log.days:,.1f} days"
    if log.events and not log.windows:
        yield (
            f"The log is too short to measure on: it has {of_log}, and no window of time with events before it. A "
            "window is a tenth of the log, 28 days at most. Nothing above comes from the log: give a longer one."
        )
    elif log.events and log.windows < log.wanted:
        yield (
            f"The log has {of_log}, enough for {log.windows} of {log.wanted} windows of time with events before them. "
            "A longer one tells how much the figures vary."
        )


def _dropped(facts: Facts) -> Iterator[str]:
    for one in facts.files:
        if one.dropped > MANY_DROPPED * one.read:
            yield (
                f"{one.dropped:,} of {one.read:,} rows of {one.file} are left out: {one.bad:,} could not be used, "
                f"{one.unknown_item:,} are of items that the catalogue lacks. The command prints why."
            )


def _no_queries(facts: Facts) -> Iterator[str]:
    if facts.log.events and not facts.has_queries:
        yield (
            "The log does not say what was searched for. Log the query with each click and purchase: the ranker learns "
            "from it, and searches can be measured as people ask them."
        )


def _no_judgements(facts: Facts) -> Iterator[str]:
    if not facts.judged:
        yield (
            "Nobody judged any answers. Let somebody who knows the shop grade the first ten answers to 50 real queries "
            "(--queries, --judgements): a log says what people took, not what they missed."
        )


def _too_few(facts: Facts) -> Iterator[str]:
    few = [SETS[name].name for name, outcome in facts.outcomes.items() if outcome.cases < FEW_CASES]
    if few:
        yield (
            f"Fewer than {FEW_CASES} requests tell of {', '.join(few)}: take these figures as a hint. A longer log, "
            "more --windows or more --cases narrow the intervals."
        )


def _better(facts: Facts) -> Iterator[str]:
    better = [SETS[name].name for name, outcome in facts.outcomes.items() if outcome.sign > 0 and name != "made_up"]
    if better:
        yield (
            f"FuseRank is better for {', '.join(better)}: serve it to a part of your users and compare "
            "(`fuserank serve --experiment`, docs/ab-tests.md). Only that shows what it earns."
        )


def _worse(facts: Facts) -> Iterator[str]:
    again = " Evaluate again with --quality full: this was a quick one." if facts.quality == "quick" else ""
    for name, outcome in facts.outcomes.items():
        if outcome.sign < 0:
            look = "worst searches below with `fuserank explain`" if outcome.lost else "segments below"
            yield (
                f"For {SETS[name].name} {METHODS[outcome.baseline].label} orders better. Do not replace it yet: look "
                f"at the {look}.{again}"
            )


def _unranked(facts: Facts) -> Iterator[str]:
    if facts.unranked and facts.log.events:
        yield (
            f"The ranker does not order every kind of request, but fusion does: {facts.unranked}. More events, or "
            "judged queries, may change that."
        )


def _lost(facts: Facts) -> Iterator[str]:
    for where, (limit, remedy) in LOST.items():
        for name, outcome in facts.outcomes.items():
            share = outcome.lost.get(where, 0.0)
            if share > limit:
                yield f"{share:.0%} of {SETS[name].name} {remedy}"


def _unread(facts: Facts) -> Iterator[str]:
    if facts.unread_scripts:
        yield (
            f"The encoder does not read {', '.join(facts.unread_scripts)}: such texts are found by their words alone. "
            "Take a multilingual encoder (--encoder), such as BGE-M3."
        )


def _weak_segments(facts: Facts) -> Iterator[str]:
    for segment in facts.segments:
        if segment.comparison.significant and segment.comparison.difference < 0:
            yield (
                f"{_capital(SETS[segment.requests].name)}, {segment.kind} {segment.name}: "
                f"{METHODS[segment.baseline].label} is "
                f"better ({segment.theirs:.3f} against {segment.ours:.3f}, {segment.cases:,} requests). "
                "Look at this segment first."
            )


def _popular(facts: Facts) -> Iterator[str]:
    for one in facts.exposures:
        if one.method != PRODUCT:
            continue
        taken = next(e.popular for e in facts.exposures if (e.requests, e.method) == (one.requests, TAKEN))
        if one.popular - taken > MUCH_MORE_POPULAR:
            yield (
                f"{one.popular:.0%} of the places of {SETS[one.requests].name} go to the most popular tenth of the "
                f"items, of what people took it is {taken:.0%}: ask with `diversity` or `explore`."
            )
        if one.coverage is not None and one.coverage < LITTLE_COVERAGE:
            yield (
                f"{_capital(SETS[one.requests].name)} show {one.coverage:.1%} of the catalogue in all: `explore` "
                "gives others a chance."
            )


def _missing(facts: Facts) -> Iterator[str]:
    for name, why in FIELDS_THAT_COUNT.items():
        share = facts.health.missing.get(name, 0.0)
        if share > MANY_MISSING:
            yield f"{share:.0%} of the items have no {name}: {why}."


def _duplicates(facts: Facts) -> Iterator[str]:
    if facts.health.duplicate_titles > MANY_DUPLICATES:
        yield (
            f"{facts.health.duplicate_titles:.0%} of the items share their title with another: say in the title what "
            "tells them apart, or export variants as one product."
        )


def _dead_categories(facts: Facts) -> Iterator[str]:
    dead = facts.health.dead_categories
    if dead:
        yield (
            f"Of {len(dead):,} of {facts.health.categories:,} categories nobody ever took an item: check whether they "
            "are still sold, and whether their names are what people call them."
        )


def _capital(text: str) -> str:
    """A text with a capital first letter; the others stay as they are."""
    return text[:1].upper() + text[1:]


Rule = Callable[[Facts], Iterator[str]]
RULES: tuple[Rule, ...] = (
    _better,
    _worse,
    _too_few,
    _no_log,
    _short_log,
    _dropped,
    _no_queries,
    _no_judgements,
    _unranked,
    _lost,
    _unread,
    _weak_segments,
    _popular,
    _missing,
    _duplicates,
    _dead_categories,
)
