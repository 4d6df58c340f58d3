"""Writes what the HTTP peers read, once, from a bundle: plain files that need nothing of FuseRank to open."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import map_array
from fuserank_ensemble.catalog.items import Items, Records
from fuserank_ensemble.catalog.text import render
from fuserank_ensemble.interactions.history import HistorySnapshot

OPSET = 17
POPULAR, HABITS = 1_000, 200  # items of the whole shop, and of one user, that a peer can fuse


def write_catalog(bundle: Path, out: Path) -> None:
    """Writes what is searched and fused.

    Args:
        bundle: A bundle's folder.
        out: Gets `vectors.npy` fp16 `[texts, dim]`, `text.npy` each item's text `[items]`, `items.json` (`item_id`,
            `title`, `text` by item), `popular.npy` item rows, `users.json`, and their items, most had first:
            `habits.npy` with `offsets.npy` `[users + 1]`.
    """
    index = bundle / "index"
    template = json.loads((bundle / "manifest.json").read_text("utf-8"))["spec"]["text_template"]
    items, records = Items.open(index / "items"), Records(index / "items")
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(index / "vectors.npy", out / "vectors.npy")
    np.save(out / "text.npy", items.text)
    rows = [json.loads(records.raw(row)) for row in range(len(items))]
    fields = {
        "item_id": [each.decode() for each in items.ids.tolist()],
        "title": [row["title"] for row in rows],
        "text": [render(template, row) for row in rows],
    }
    (out / "items.json").write_text(json.dumps(fields, ensure_ascii=False), "utf-8")
    counts = map_array(index / "popularity" / "counts.npy")
    np.save(out / "popular.npy", np.argsort(-counts, kind="stable")[:POPULAR].astype(np.int32))
    write_habits(HistorySnapshot.open(index / "history"), out)


def write_habits(histories: HistorySnapshot, out: Path) -> None:
    """Writes `users.json`, `habits.npy` and `offsets.npy`."""
    habits: list[NDArray[np.int32]] = []
    for row in range(len(histories)):
        history = histories.at(row)
        habits.append(history.rows[np.argsort(-history.counts, kind="stable")[:HABITS]])
    np.save(out / "habits.npy", np.concatenate([np.empty(0, np.int32), *habits]))
    np.save(out / "offsets.npy", np.cumsum([0, *map(len, habits)]))
    (out / "users.json").write_text(json.dumps([user.decode() for user in histories.users.tolist()]), "utf-8")


def write_model(source: Path, out: Path, head: bool) -> None:
    """Copies a Hugging Face model's folder and adds `onnx/model.onnx`, so that a peer may choose its engine.

    Args:
        source: The model.
        out: A folder, written anew.
        head: Whether it is a cross-encoder with one logit; else the hidden states are what comes out.
    """
    import torch  # noqa: PLC0415  seconds to load, and the catalogue alone does without
    from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer  # noqa: PLC0415

    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out)
    (out / "onnx").mkdir(exist_ok=True)
    model = (AutoModelForSequenceClassification if head else AutoModel).from_pretrained(source).eval()
    tokens = dict(AutoTokenizer.from_pretrained(source)(["milk"], ["oat drink"], return_tensors="pt"))
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in tokens]
    result = "logits" if head else "last_hidden_state"

    class Plain(torch.nn.Module):
        """The exporter hands inputs on by position, which transformers' own order is not."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            return self.model(**dict(zip(names, values, strict=True)))[result]

    lengths: dict[str, dict[int, str]] = {name: {0: "batch", 1: "length"} for name in names}
    lengths[result] = {0: "batch"} if head else {0: "batch", 1: "length"}
    with torch.inference_mode():
        torch.onnx.export(
            Plain().eval(),
            tuple(tokens[name] for name in names),
            str(out / "onnx" / "model.onnx"),
            input_names=names,
            output_names=[result],
            dynamic_axes=lengths,
            opset_version=OPSET,
            dynamo=False,
        )


def main() -> None:
    """Writes all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True, help="folder of the bundle's encoder")
    parser.add_argument("--text-tower", type=Path, help="folder of a cross-encoder with one logit")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_catalog(given.bundle, given.out)
    write_model(given.encoder, given.out / "encoder", head=False)
    if given.text_tower:
        write_model(given.text_tower, given.out / "tower", head=True)


if __name__ == "__main__":
    main()
