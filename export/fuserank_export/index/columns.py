"""A catalogue's columns as the arrays that filters read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Column, Kind


def to_column(values: pd.Series[Any]) -> Column:
    """Returns one column as codes or numbers; its kind follows from its values."""
    present = values.dropna()
    kind = column_kind(str(values.name), present)
    if kind == "number":
        return Column(kind, pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan))
    if kind == "bool":
        return Column(kind, values.map({True: 1, False: 0}).fillna(-1).to_numpy(np.int32))
    if kind == "keywords":
        cells = [value if isinstance(value, (list, tuple)) else [value] if is_known(value) else [] for value in values]
        owners = np.repeat(np.arange(len(cells), dtype=np.int32), [len(value) for value in cells])
        codes, words = _encode([str(word) for value in cells for word in value])
        return Column(kind, codes, words, owners)
    codes, words = _encode([None if pd.isna(v) else str(v) for v in values])
    return Column(kind, codes, words)


def column_kind(name: str, present: pd.Series[Any]) -> Kind:
    """Returns how a column can be filtered on; `present` are its values that are not missing."""
    if name == "category":
        return "category"
    if len(present) and present.map(lambda v: isinstance(v, (list, tuple))).any():
        return "keywords"
    if pd.api.types.is_bool_dtype(present.infer_objects()):
        return "bool"
    return "number" if name == "price" or pd.api.types.is_numeric_dtype(present.infer_objects()) else "keyword"


def _encode(words: Sequence[str | None]) -> tuple[NDArray[np.int32], list[str]]:
    """Codes of words, -1 where one is missing, and the distinct words in order."""
    known = sorted({word for word in words if word is not None})
    code = {word: i for i, word in enumerate(known)}
    return np.asarray([-1 if word is None else code[word] for word in words], np.int32), known


def is_known(value: Any) -> bool:
    """Whether a cell holds a value."""
    return isinstance(value, (list, tuple, dict)) or not (pd.isna(value) or value == "")
