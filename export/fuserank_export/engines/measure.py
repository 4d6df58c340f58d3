"""Compares engines of one bundle with FP32: outputs, ranking and speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import onnxruntime as ort

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.tokens import EncoderTokenizer
from fuserank_ensemble.graph.engine import Session, open_session
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.spec import EngineKind
from fuserank_export.engines.buckets import list_buckets
from fuserank_export.engines.candidates import Candidate
from fuserank_export.engines.parity import speed
from fuserank_export.engines.parity.adversarial import Feed
from fuserank_export.engines.parity.gate import (
    BATCH,
    OUTPUTS,
    Parity,
    compare_outputs,
    find_problems,
    find_text_problems,
    mean_overlap,
    measure_text_effect,
    relative_loss,
    trace_requests,
)
from fuserank_export.engines.parity.layers import compare_layers, describe_layers
from fuserank_export.engines.parity.reference import ReferenceSession
from fuserank_export.engines.parity.requests import RealRequest, sample_titles
from fuserank_export.repository.warmup import bucket_feed

COMPARED_BATCHES = 24  # batches of real inputs that outputs are compared on
ROUNDED_REQUESTS = 96  # requests that are ranked where a CPU rounds to half precision, which is slow
LONG_TEXTS = 4 * BATCH  # item texts beside the queries, which are short
LAYER_TOLERANCE = 0.1  # relative error of a layer, beyond which a message names it


def runs_on_gpu(kind: EngineKind) -> bool:
    """Returns whether engines of a kind are for a GPU that ONNX Runtime can use on this machine."""
    return kind != "cpu" and "CUDAExecutionProvider" in ort.get_available_providers()


@dataclass(frozen=True)
class ComparedEngine:
    """An engine and how it compares with FP32.

    Attributes:
        candidate: The engine.
        session: What runs it.
        parity: Its row of the report.
        fp32_milliseconds: FP32's milliseconds by bucket, measured in turns with it; empty where not measured.
    """

    candidate: Candidate
    session: Session
    parity: Parity
    fp32_milliseconds: Mapping[str, float] = field(default_factory=dict)


class EngineComparison:
    """Compares engines of a bundle with FP32 on the same requests.

    Attributes:
        expected: FP32's ranking of the requests.
        feeds: Inputs of each engine, batch by batch, by stage.
    """

    def __init__(
        self, bundle: Bundle, requests: Sequence[RealRequest], kind: EngineKind, reference: Session | None
    ) -> None:
        """Runs the requests in FP32.

        Args:
            bundle: The bundle.
            requests: Real requests with judgements.
            kind: The kind of engine they are made for.
            reference: Runs the encoder in FP32; None runs the exported file.
        """
        self._bundle, self._requests, self._kind = bundle, requests, kind
        self._references = {"encoder": reference} if reference else {}
        self.expected, feeds = trace_requests(LocalGraph(bundle, self._references), requests)
        self.feeds = {name: of_stage[:COMPARED_BATCHES] for name, of_stage in feeds.items()}
        self.feeds["encoder"] += self._long_text_feeds()

    def _long_text_feeds(self) -> list[Feed]:
        """Returns item texts repeated one to four times, which fill the longer buckets."""
        spec = self._bundle.spec
        tokens = EncoderTokenizer(self._bundle.tokenizer, spec.length_buckets, spec.pad_token_id)
        titles = sample_titles(self._bundle, LONG_TEXTS)
        feeds = []
        for repeats, start in enumerate(range(0, len(titles), BATCH), start=1):
            encoded = tokens.encode([" ".join([title] * repeats) for title in titles[start : start + BATCH]])
            feeds.append(dict(zip(("INPUT_IDS", "ATTENTION_MASK"), tokens.pad(encoded), strict=True)))
        return feeds

    @cached_property
    def on_gpu(self) -> bool:
        """See `runs_on_gpu`."""
        return runs_on_gpu(self._kind)

    def open_session(self, candidate: Candidate) -> Session:
        """Opens a session of an engine; half precision without a GPU is rounded by the reference implementation."""
        if candidate.precision == "fp16" and not self.on_gpu:
            return ReferenceSession(candidate.path)
        threads = {"intra_op_thread_count": str(candidate.stage.threads)} if self._kind == "cpu" else {}
        session: Session = open_session(candidate.path, threads, 0 if self.on_gpu else None)
        return session

    def compare(self, fp32: Candidate, candidate: Candidate, session: Session | None = None) -> ComparedEngine:
        """Compares one engine with FP32.

        Args:
            fp32: The FP32 engine of the same stage.
            candidate: The engine.
            session: What runs it, where that is not ONNX Runtime.

        Returns:
            The engine with its row of the report.
        """
        stage, output = candidate.stage, OUTPUTS[candidate.stage.name]
        engine = session or self.open_session(candidate)
        reference = self._references.get(stage.name) or self.open_session(fp32)
        rounded = isinstance(engine, ReferenceSession)
        feeds = self.feeds[stage.name][:: 4 if rounded else 1]
        expected = [reference.run([output], feed)[0] for feed in feeds]
        difference, error = compare_outputs(engine, output, feeds, expected)
        row = self._measure_ranking({stage.name: engine})
        times = self._measure_times(fp32, candidate, engine)
        problems = find_problems(
            candidate.max_error,
            error,
            row.ndcg_loss_relative,
            row.top10_overlap,
            lambda: describe_layers(compare_layers(fp32.path, candidate.onnx, feeds[-1]), LAYER_TOLERANCE),
        )
        if candidate.distilled:
            effect, expected_effect = (measure_text_effect(run, output, feeds) for run in (engine, reference))
            problems += find_text_problems(effect, expected_effect)
        return ComparedEngine(
            candidate,
            engine,
            replace(
                row,
                engine=stage.name,
                precision=candidate.precision,
                method=candidate.method,
                max_abs_diff=difference,
                error=error,
                speedup_vs_fp32=speed.mean_speedup(*times.values()) if times else None,
                bytes=candidate.path.stat().st_size,
                milliseconds=times.get("engine", {}),
                problems=problems,
            ),
            times.get("fp32", {}),
        )

    def compare_together(self, chosen: Mapping[str, ComparedEngine]) -> Parity:
        """Returns the row of all chosen engines at once, since the losses of single engines could add up."""
        row = self._measure_ranking({name: engine.session for name, engine in chosen.items()})
        rows = [engine.parity for engine in chosen.values()]
        timed = all(engine.fp32_milliseconds for engine in chosen.values())
        fp32_total = sum(sum(engine.fp32_milliseconds.values()) for engine in chosen.values())
        worst = max(rows, key=lambda parity: parity.error)
        allowed = max(engine.candidate.max_error for engine in chosen.values())
        return replace(
            row,
            engine=" and ".join(chosen),
            precision=worst.precision,
            method=", ".join(f"{parity.engine} {parity.precision} {parity.method}" for parity in rows),
            max_abs_diff=max(parity.max_abs_diff for parity in rows),
            error=worst.error,
            speedup_vs_fp32=round(fp32_total / sum(sum(r.milliseconds.values()) for r in rows), 3) if timed else None,
            bytes=sum(parity.bytes for parity in rows),
            problems=find_problems(
                allowed, worst.error, row.ndcg_loss_relative, row.top10_overlap, lambda: "all engines together"
            ),
        )

    def _measure_ranking(self, sessions: Mapping[str, Session]) -> Parity:
        """Returns a row with the figures of ranking; the other attributes are placeholders."""
        rounded = any(isinstance(session, ReferenceSession) for session in sessions.values())
        count = ROUNDED_REQUESTS if rounded else len(self._requests)
        ranking, _ = trace_requests(LocalGraph(self._bundle, {**self._references, **sessions}), self._requests[:count])
        return Parity(
            engine="",
            kind=self._kind,
            precision="fp32",
            method="",
            max_abs_diff=0.0,
            error=0.0,
            ndcg_at_10=float(ranking.ndcg.mean()),
            ndcg_loss_relative=relative_loss(ranking.ndcg, self.expected.ndcg[:count]),
            top10_overlap=mean_overlap(ranking.ids, self.expected.ids[:count]),
            speedup_vs_fp32=None,
            bytes=0,
            requests=min(count, len(self._requests)),
        )

    def _measure_times(self, fp32: Candidate, candidate: Candidate, session: Session) -> dict[str, speed.Milliseconds]:
        """Returns milliseconds by bucket of `fp32` and `engine`; empty where a GPU is needed and there is none."""
        if self._kind != "cpu" and not self.on_gpu:
            return {}
        stage = candidate.stage
        feeds = {
            bucket.name: {name: value[None] for name, value in bucket_feed(self.feeds[stage.name][0], bucket).items()}
            for bucket in list_buckets(self._bundle.spec, stage)
        }
        return speed.measure_milliseconds(
            {"fp32": self.open_session(fp32), "engine": session}, OUTPUTS[stage.name], feeds
        )
