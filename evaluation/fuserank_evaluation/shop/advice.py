"""What to do next, in words: each rule reads the figures and says something or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fuserank_evaluation.metrics.significance import Comparison
from fuserank_evaluation.shop.exposure import Exposure
from fuserank_evaluation.shop.health import CatalogHealth
from fuserank_evaluation.shop.methods import PRODUCT
from fuserank_evaluation.shop.segments import Segment

FEW_CASES = 100
MANY_NOT_FOUND = 0.2
MANY_RANKED_LOW = 0.3
MANY_UNANSWERED = 0.02
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
Words = Mapping[str, str]
SET_NAMES: Words = {
    "judged": "judged searches",
    "search": "searches",
    "category_search": "made-up searches for categories",
    "made_up": "made-up searches",
    "recommendation": "recommendations",
    "discovery": "recommendations of what is new",
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
    lost: Mapping[str, float] = field(default_factory=dict)

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
        events: Events of the log.
        has_queries: Whether the log says what was searched for.
        judged: Judged queries.
        unread_scripts: Scripts of the shop's texts that the encoder does not know.
        unranked: Why some kinds of request keep the order of fusion, as the export says it; empty where none does.
    """

    outcomes: Mapping[str, Outcome]
    segments: Sequence[Segment]
    exposures: Sequence[Exposure]
    health: CatalogHealth
    events: int
    has_queries: bool
    judged: int
    unread_scripts: tuple[str, ...]
    unranked: str


def verdicts(facts: Facts) -> list[str]:
    """A sentence on each set of requests: better, worse or no difference."""
    sentences = []
    for name, outcome in facts.outcomes.items():
        what = SET_NAMES[name]
        if outcome.comparison is None:
            sentences.append(f"{what.capitalize()}: nDCG@10 {outcome.ours:.3f}; nothing to compare with.")
            continue
        gain = outcome.comparison
        interval = f"{gain.difference:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        word = {1: "is better than", -1: "is worse than", 0: "does not differ for certain from"}[outcome.sign]
        sentences.append(
            f"{what.capitalize()}: FuseRank {word} the best other method, {outcome.baseline}: nDCG@10 "
            f"{outcome.ours:.3f} against {outcome.theirs:.3f}, {interval}, {outcome.cases:,} requests."
        )
    return sentences


def advise(facts: Facts) -> list[str]:
    """Everything that the rules have to say, the weightiest first."""
    return [sentence for rule in RULES for sentence in rule(facts)]


def _no_log(facts: Facts) -> Iterator[str]:
    if not facts.events:
        yield (
            "There is no log. Record what people do (`fuserank record`, or --interactions with user_id, item_id, event "
            "and timestamp): without it nothing is personal, and nothing here shows what people like."
        )


def _no_queries(facts: Facts) -> Iterator[str]:
    if facts.events and not facts.has_queries:
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
    few = [SET_NAMES[name] for name, outcome in facts.outcomes.items() if outcome.cases < FEW_CASES]
    if few:
        yield (
            f"Fewer than {FEW_CASES} requests tell of {', '.join(few)}: take these figures as a hint. A longer log, "
            "more --windows or more --cases narrow the intervals."
        )


def _better(facts: Facts) -> Iterator[str]:
    better = [SET_NAMES[name] for name, outcome in facts.outcomes.items() if outcome.sign > 0 and name != "made_up"]
    if better:
        yield (
            f"FuseRank is better for {', '.join(better)}: serve it to a part of your users and compare "
            "(`fuserank serve --experiment`, docs/ab-tests.md). Only that shows what it earns."
        )


def _worse(facts: Facts) -> Iterator[str]:
    for name, outcome in facts.outcomes.items():
        if outcome.sign < 0:
            yield (
                f"For {SET_NAMES[name]} {outcome.baseline} orders better. Do not replace it yet: look at the worst "
                "requests below with `fuserank explain`, and export with --quality full if this was a quick one."
            )


def _unranked(facts: Facts) -> Iterator[str]:
    if facts.unranked and facts.events:
        yield (
            f"The ranker does not order every kind of request, but fusion does: {facts.unranked}. More events, or "
            "judged queries, may change that."
        )


def _not_found(facts: Facts) -> Iterator[str]:
    for name, outcome in facts.outcomes.items():
        share = outcome.lost.get("not found", 0.0)
        if share > MANY_NOT_FOUND:
            yield (
                f"{share:.0%} of {SET_NAMES[name]} do not find any right answer, in whatever order: the words of the "
                "queries are not those of the items. Name synonyms (--synonyms), search more columns "
                "(--lexical-fields), or take an encoder that knows your field."
            )


def _ranked_low(facts: Facts) -> Iterator[str]:
    for name, outcome in facts.outcomes.items():
        share = outcome.lost.get("ranked below ten", 0.0)
        if share > MANY_RANKED_LOW:
            yield (
                f"{share:.0%} of {SET_NAMES[name]} find a right answer and rank it below the first ten: the order is "
                "at fault, not the search. Judged queries and a text tower (`fuserank export train text-tower`) teach "
                "it."
            )


def _unanswered(facts: Facts) -> Iterator[str]:
    for name, outcome in facts.outcomes.items():
        share = outcome.lost.get("no answer", 0.0)
        if share > MANY_UNANSWERED:
            yield f"{share:.0%} of {SET_NAMES[name]} get no answer at all; their queries are among the worst below."


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
                f"{SET_NAMES[segment.requests].capitalize()}, {segment.kind} {segment.name}: {segment.baseline} is "
                f"better ({segment.theirs:.3f} against {segment.ours:.3f}, {segment.cases:,} requests). "
                "Look at this segment first."
            )


def _popular(facts: Facts) -> Iterator[str]:
    for one in facts.exposures:
        if one.method != PRODUCT:
            continue
        taken = next(e.popular for e in facts.exposures if (e.requests, e.method) == (one.requests, "taken"))
        if one.popular - taken > MUCH_MORE_POPULAR:
            yield (
                f"{one.popular:.0%} of the places of {SET_NAMES[one.requests]} go to the most popular tenth of the "
                f"items, of what people took it is {taken:.0%}: ask with `diversity` or `explore`."
            )
        if one.coverage is not None and one.coverage < LITTLE_COVERAGE:
            yield (
                f"{SET_NAMES[one.requests].capitalize()} show {one.coverage:.1%} of the catalogue in all: `explore` "
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


Rule = Callable[[Facts], Iterator[str]]
RULES: tuple[Rule, ...] = (
    _better,
    _worse,
    _too_few,
    _no_log,
    _no_queries,
    _no_judgements,
    _unranked,
    _unanswered,
    _not_found,
    _ranked_low,
    _unread,
    _weak_segments,
    _popular,
    _missing,
    _duplicates,
    _dead_categories,
)
