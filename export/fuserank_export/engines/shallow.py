"""The ranker's engine with another text tower in the place of its own: one that was taught its logits."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from onnx import compose
from onnx.utils import Extractor

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.spec import PAIR_TENSORS
from fuserank_export.encoder.onnx_export import OPSET
from fuserank_export.engines.soundness import EngineError
from fuserank_export.training.model.engine import TextTower

SCOPE = "/tower/"  # names of the tower's nodes in the ranker's graph begin so
_PREFIX, _READING = "shallow", "READING"


def write_with_tower(ranker: Path, tower: TextTower, bundle: Bundle, path: Path) -> None:
    """Writes the ranker's FP32 graph with another text tower.

    Args:
        ranker: The bundle's FP32 ranker.
        tower: The tower.
        bundle: The bundle.
        path: The file to write.

    Raises:
        EngineError: Where the graph has no one place between tower and ranker.
    """
    model = onnx.load(str(ranker))
    made = {name for node in model.graph.node if node.name.startswith(SCOPE) for name in node.output}
    read = {name for node in model.graph.node if not node.name.startswith(SCOPE) for name in node.input if name in made}
    if len(read) != 1:
        raise EngineError(f"{ranker}: found {len(read)} values from the text tower ({sorted(read)}); allowed: 1")
    (reading,) = read
    inputs = [each.name for each in model.graph.input if each.name not in PAIR_TENSORS]
    outputs = [each.name for each in model.graph.output]
    rest = Extractor(onnx.shape_inference.infer_shapes(model)).extract_model([*inputs, reading], outputs)
    alone = path.with_suffix(".tower.onnx")
    _export(tower, bundle, alone)
    shallow = compose.add_prefix(onnx.load(str(alone)), f"{_PREFIX}/", rename_inputs=False)
    alone.unlink()
    rest.ir_version = shallow.ir_version = max(rest.ir_version, shallow.ir_version)
    joined = compose.merge_models(shallow, rest, io_map=[(f"{_PREFIX}/{_READING}", reading)])
    del joined.opset_import[1:]  # both graphs' own, which are one: quantising takes two for none
    onnx.save(joined, str(path))


def _export(tower: TextTower, bundle: Bundle, path: Path) -> None:
    shape = (2, bundle.spec.text_candidates, bundle.spec.pair_buckets[-1])
    pairs = (torch.full(shape, bundle.spec.pair_pad_token_id + 1), torch.zeros(shape, dtype=torch.int64))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing's remarks on shapes that are dynamic on purpose
        torch.onnx.export(
            tower.eval(),
            pairs,
            str(path),
            input_names=list(PAIR_TENSORS),
            output_names=[_READING],
            dynamic_axes={
                **{name: {0: "batch", 1: "pairs", 2: "length"} for name in PAIR_TENSORS},
                _READING: {0: "batch", 1: "pairs"},
            },
            opset_version=OPSET,
            dynamo=False,
        )
