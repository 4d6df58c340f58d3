"""Writes the HTTP peers' inputs from a bundle, as plain files that need nothing of FuseRank to open."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import map_array
from fuserank_ensemble.catalog.items import Items, Records
from fuserank_ensemble.catalog.text import render
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.state.keys import key_file_beside, read_key

OPSET = 17
POPULAR, HABITS = 1_000, 200  # most popular items of the shop, and most frequent ones of a user, that a peer fuses


def write_catalog(bundle: Path, users: Sequence[str], out: Path) -> None:
    """Writes the catalogue, what is popular, and every user's habits.

    Args:
        bundle: A bundle's folder, beside which the key lies under which it names users.
        users: Ids of the shop's users, since the bundle has hashes of them.
        out: Gets `vectors.npy` fp16 `[texts, dim]`, `text.npy` each item's text `[items]`, `items.json` (`item_id`,
            `title`, `text` by item), `popular.npy` item rows, `users.json`, and each user's items, most frequent
            first: `habits.npy` with `offsets.npy` `[users + 1]`.
    """
    index = bundle / "index"
    template = json.loads((bundle / "manifest.json").read_text("utf-8"))["spec"]["text_template"]
    items, records = Items.open(index / "items"), Records(index / "items")
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(index / "vectors.npy", out / "vectors.npy")
    np.save(out / "text.npy", items.text)
    rows = [json.loads(records.raw(row)) for row in range(len(items))]
    fields = {
        "item_id": [item_id.decode() for item_id in items.ids.tolist()],
        "title": [row["title"] for row in rows],
        "text": [render(template, row) for row in rows],
    }
    (out / "items.json").write_text(json.dumps(fields, ensure_ascii=False), "utf-8")
    counts = map_array(index / "popularity" / "counts.npy")
    np.save(out / "popular.npy", np.argsort(-counts, kind="stable")[:POPULAR].astype(np.int32))
    key = read_key(key_file_beside(bundle))
    write_habits(HistorySnapshot.open(index / "history"), {user: key.user_name(user) for user in users}, out)


def write_habits(histories: HistorySnapshot, users: Mapping[str, str], out: Path) -> None:
    """Writes `users.json`, `habits.npy` and `offsets.npy`; `users` are the names of users in the bundle by id."""
    habits: list[NDArray[np.int32]] = []
    known = {user: history for user, name in users.items() if (history := histories.get(name)) is not None}
    for history in known.values():
        habits.append(history.rows[np.argsort(-history.counts, kind="stable")[:HABITS]])
    np.save(out / "habits.npy", np.concatenate([np.empty(0, np.int32), *habits]))
    np.save(out / "offsets.npy", np.cumsum([0, *map(len, habits)]))
    (out / "users.json").write_text(json.dumps(list(known)), "utf-8")


def write_model(source: Path, out: Path, head: bool) -> None:
    """Copies a Hugging Face model's folder and adds `onnx/model.onnx`, so that a peer may choose its engine.

    Args:
        source: The model's folder.
        out: Folder to write; what it holds is replaced.
        head: Whether the model is a cross-encoder with one logit; else the ONNX model returns hidden states.
    """
    import torch  # noqa: PLC0415  slow to import, and not needed for the catalogue
    from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer  # noqa: PLC0415

    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out)
    (out / "onnx").mkdir(exist_ok=True)
    kind = AutoModelForSequenceClassification if head else AutoModel
    model = kind.from_pretrained(source, trust_remote_code=False, use_safetensors=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    tokens = dict(tokenizer(["milk"], ["oat drink"], return_tensors="pt"))
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in tokens]
    result = "logits" if head else "last_hidden_state"

    class Plain(torch.nn.Module):
        """Takes the tokenizer's outputs by position, as the exporter passes them."""

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


def write_inputs(bundle: Path, users: Sequence[str], encoder: Path, text_tower: Path | None, out: Path) -> None:
    """Writes all inputs of the peers.

    Args:
        bundle: A bundle's folder.
        users: Ids of the shop's users.
        encoder: Folder of the bundle's encoder.
        text_tower: Folder of a cross-encoder with one logit; None for none.
        out: Folder to write.
    """
    write_catalog(bundle, users, out)
    write_model(encoder, out / "encoder", head=False)
    if text_tower:
        write_model(text_tower, out / "tower", head=True)
