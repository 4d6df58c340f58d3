"""Measures engines of one bundle against FP32: tensors, ranking, speed."""

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
from fuserank_export.engines.buckets import buckets
from fuserank_export.engines.candidates import Candidate
from fuserank_export.engines.parity import speed
from fuserank_export.engines.parity.adversarial import Feed
from fuserank_export.engines.parity.gate import (
    BATCH,
    OUTPUTS,
    Parity,
    loss,
    overlap,
    reading,
    record,
    tensor_agreement,
    unread,
    verdict,
)
from fuserank_export.engines.parity.layers import disagreements, told
from fuserank_export.engines.parity.reference import ReferenceSession
from fuserank_export.engines.parity.requests import RealRequest, texts
from fuserank_export.repository.warmup import bucket_feed

COMPARED = 24  # batches of real inputs that tensors are compared on
ROUNDED = 96  # requests that are ranked where half precision is rounded on a CPU, which takes its time
LONG_TEXTS = 4 * BATCH  # item texts beside the queries, which are short
LAYER_TOLERANCE = 0.1  # of a layer's norm, where layers are told


@dataclass(frozen=True)
class Measured:
    """An engine with what runs it, what was found, and FP32's own times beside its."""

    candidate: Candidate
    session: Session
    parity: Parity
    fp32_milliseconds: Mapping[str, float] = field(default_factory=dict)


class Measuring:
    """Holds what every engine of a bundle is compared with."""

    def __init__(
        self, bundle: Bundle, requests: Sequence[RealRequest], kind: EngineKind, reference: Session | None
    ) -> None:
        """Answers the requests in FP32.

        Args:
            bundle: The bundle.
            requests: Real requests with judgements.
            kind: What the engines are made for.
            reference: Runs the encoder in FP32; None takes the exported file.
        """
        self._bundle, self._requests, self._kind = bundle, requests, kind
        self._references = {"encoder": reference} if reference else {}
        self.expected, feeds = record(LocalGraph(bundle, self._references), requests)
        self.feeds = {name: of_stage[:COMPARED] for name, of_stage in feeds.items()}
        self.feeds["encoder"] += self._long()

    def _long(self) -> list[Feed]:
        """Item texts once to four times over: they reach the longer buckets."""
        spec = self._bundle.spec
        tokens = EncoderTokenizer(self._bundle.tokenizer, spec.length_buckets, spec.pad_token_id)
        items = texts(self._bundle, LONG_TEXTS)
        found = []
        for repeats, start in enumerate(range(0, len(items), BATCH), start=1):
            encoded = tokens.encode([" ".join([text] * repeats) for text in items[start : start + BATCH]])
            found.append(dict(zip(("INPUT_IDS", "ATTENTION_MASK"), tokens.pad(encoded), strict=True)))
        return found

    @cached_property
    def on_gpu(self) -> bool:
        """Whether the engines are for a GPU and ONNX Runtime can use one here."""
        return self._kind != "cpu" and "CUDAExecutionProvider" in ort.get_available_providers()

    def session(self, candidate: Candidate) -> Session:
        """Runs an engine as its kind does; half precision without a GPU by really rounding."""
        if candidate.precision == "fp16" and not self.on_gpu:
            return ReferenceSession(candidate.path)
        threads = {"intra_op_thread_count": str(candidate.stage.threads)} if self._kind == "cpu" else {}
        opened: Session = open_session(candidate.path, threads, 0 if self.on_gpu else None)
        return opened

    def measured(self, fp32: Candidate, candidate: Candidate, session: Session | None = None) -> Measured:
        """Compares one engine with FP32.

        Args:
            fp32: The FP32 engine of the same stage.
            candidate: The engine.
            session: What runs it, where that is not ONNX Runtime.
        """
        stage, output = candidate.stage, OUTPUTS[candidate.stage.name]
        own, original = session or self.session(candidate), self._references.get(stage.name) or self.session(fp32)
        rounded = isinstance(own, ReferenceSession)
        feeds = self.feeds[stage.name][:: 4 if rounded else 1]
        wanted = [original.run([output], feed)[0] for feed in feeds]
        difference, error = tensor_agreement(own, output, feeds, wanted)
        row = self._ranked({stage.name: own})
        times = self._times(fp32, candidate, own)
        problems = verdict(
            candidate.largest_error,
            error,
            row.ndcg_loss_relative,
            row.top10_overlap,
            lambda: told(disagreements(fp32.path, candidate.onnx, feeds[-1]), LAYER_TOLERANCE),
        )
        if candidate.taught:
            problems += unread(reading(own, output, feeds), reading(original, output, feeds))
        return Measured(
            candidate,
            own,
            replace(
                row,
                engine=stage.name,
                precision=candidate.precision,
                method=candidate.method,
                max_abs_diff=difference,
                error=error,
                speedup_vs_fp32=speed.speedup(*times.values()) if times else None,
                bytes=candidate.path.stat().st_size,
                milliseconds=times.get("own", {}),
                problems=problems,
            ),
            times.get("fp32", {}),
        )

    def together(self, chosen: Mapping[str, Measured]) -> Parity:
        """Ranks with all chosen engines at once: what each alone may lose could add up."""
        row = self._ranked({name: each.session for name, each in chosen.items()})
        rows = [each.parity for each in chosen.values()]
        timed = all(each.fp32_milliseconds for each in chosen.values())
        before = sum(sum(each.fp32_milliseconds.values()) for each in chosen.values())
        worst = max(rows, key=lambda each: each.error)
        allowed = max(each.candidate.largest_error for each in chosen.values())
        return replace(
            row,
            engine=" and ".join(chosen),
            precision=worst.precision,
            method=", ".join(f"{each.engine} {each.precision} {each.method}" for each in rows),
            max_abs_diff=max(each.max_abs_diff for each in rows),
            error=worst.error,
            speedup_vs_fp32=round(before / sum(sum(r.milliseconds.values()) for r in rows), 3) if timed else None,
            bytes=sum(each.bytes for each in rows),
            problems=verdict(
                allowed, worst.error, row.ndcg_loss_relative, row.top10_overlap, lambda: "all engines together"
            ),
        )

    def _ranked(self, sessions: Mapping[str, Session]) -> Parity:
        """A row that says how these engines rank; what is not of ranking is still to be filled in."""
        rounded = any(isinstance(session, ReferenceSession) for session in sessions.values())
        count = ROUNDED if rounded else len(self._requests)
        found, _ = record(LocalGraph(self._bundle, {**self._references, **sessions}), self._requests[:count])
        return Parity(
            engine="",
            kind=self._kind,
            precision="fp32",
            method="",
            max_abs_diff=0.0,
            error=0.0,
            ndcg_at_10=float(found.ndcg.mean()),
            ndcg_loss_relative=loss(found.ndcg, self.expected.ndcg[:count]),
            top10_overlap=overlap(found.ids, self.expected.ids[:count]),
            speedup_vs_fp32=None,
            bytes=0,
            requests=min(count, len(self._requests)),
        )

    def _times(self, fp32: Candidate, candidate: Candidate, session: Session) -> dict[str, speed.Milliseconds]:
        """Milliseconds by bucket of FP32 and of the engine; nothing where a GPU is needed and there is none."""
        if self._kind != "cpu" and not self.on_gpu:
            return {}
        stage = candidate.stage
        feeds = {
            bucket.name: {name: value[None] for name, value in bucket_feed(self.feeds[stage.name][0], bucket).items()}
            for bucket in buckets(self._bundle.spec, stage)
        }
        return speed.milliseconds({"fp32": self.session(fp32), "own": session}, OUTPUTS[stage.name], feeds)
