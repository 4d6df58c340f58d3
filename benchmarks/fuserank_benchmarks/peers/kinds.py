"""The HTTP peers by name."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["infinity", "sbert"]  # the glue stack around Infinity; sentence-transformers and FAISS in one process
KINDS: tuple[Kind, ...] = get_args(Kind)
