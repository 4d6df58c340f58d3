"""Prompts that an encoder was trained with, from sentence-transformers' `config_sentence_transformers.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fuserank_ensemble.spec import GraphSpec

QUERY, ITEM = "query", "an item"
# The names that sentence-transformers looks for, in its order.
NAMES: Mapping[str, tuple[str, ...]] = {QUERY: ("query",), ITEM: ("document", "passage", "corpus")}


@dataclass(frozen=True)
class Prompts:
    """An encoder's prompts.

    Attributes:
        by_name: What stands before a text, by the prompt's name.
        default: The name of the prompt that holds where none is named; empty for none.
        is_pooled: Whether the prompt's tokens are pooled as the text's; this export pools all alike.
    """

    by_name: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    is_pooled: bool = True

    def find(self, kind: str) -> str:
        """Returns what stands before a query or an item; empty for nothing."""
        names = [name for name in (*NAMES[kind], self.default) if self.by_name.get(name)]
        return self.by_name[names[0]] if names else ""


@dataclass(frozen=True)
class Templates:
    """How an encoder reads queries and items.

    Attributes:
        query: See `GraphSpec.query_template`.
        text: See `GraphSpec.text_template`.
        notes: Which prompts are used, and why others are not.
    """

    query: str
    text: str
    notes: tuple[str, ...] = ()


def choose_templates(prompts: Prompts, query_template: str, text_template: str) -> Templates:
    """Puts an encoder's prompts into the templates of queries and items.

    A query template that was asked for stays as it is; a layout of items gets the prompt before it.

    Args:
        prompts: The encoder's.
        query_template: What was asked for; the default for nothing.
        text_template: The layout of an item's text.
    """
    of_query, of_item = prompts.find(QUERY), prompts.find(ITEM)
    if any(prompts.by_name.values()) and not prompts.is_pooled:
        return Templates(
            query_template,
            text_template,
            ("the encoder's prompts are not used: it leaves their tokens out of pooling, which this export cannot",),
        )
    notes = []
    if not of_query and not of_item and any(prompts.by_name.values()):
        names = ", ".join(sorted(prompts.by_name))
        notes.append(
            f"the encoder's prompts ({names}) are not used: none is called query or document, and none is the "
            "default; name yours with --query-template and --text-template"
        )
    if of_query and query_template == GraphSpec.query_template:
        query_template = f"{of_query}{{query}}"
        notes.append(f"queries are embedded with the encoder's prompt {of_query!r}")
    elif of_query and of_query.strip() not in query_template:
        notes.append(f"the encoder's prompt {of_query!r} is not used: --query-template is {query_template!r}")
    escaped = of_item.replace("{", "{{").replace("}", "}}")
    if "|" in of_item:
        notes.append(f"the encoder's prompt {of_item!r} is not used: | parts segments of --text-template")
    elif of_item and escaped.strip() not in text_template:
        text_template = f"{escaped}{text_template}"
        notes.append(f"items are embedded with the encoder's prompt {of_item!r}")
    return Templates(query_template, text_template, tuple(notes))
