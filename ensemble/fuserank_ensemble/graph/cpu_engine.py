"""Opens the engines that a bundle names for a CPU, in a process that shares the cores with another."""

from __future__ import annotations

import joblib

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.engine import OnnxEngine, open_session, trim_tokens
from fuserank_ensemble.graph.stages import ENCODER, QUERY_ENCODER, Stage, single_process_stage


def open_cpu_engine(bundle: Bundle, stage: Stage) -> OnnxEngine:
    """Returns the engine of a stage."""
    # The instances share the cores: each with all of them would only take turns.
    cores = joblib.cpu_count() // single_process_stage(bundle.spec).instances[0]
    threads = max(1, cores) if stage.threads == 0 else stage.threads
    session = open_session(bundle.engine(stage.name), {"intra_op_thread_count": str(threads)})
    trim = trim_tokens if stage.name in (ENCODER, QUERY_ENCODER) else None
    return OnnxEngine(session, [tensor.name for tensor in stage.outputs], trim)
