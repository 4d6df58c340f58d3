"""Opens a bundle and makes sure that its parts belong together."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from fuserank_ensemble.candidates.cost import RankerCost
from fuserank_ensemble.candidates.drift import FeatureReference
from fuserank_ensemble.candidates.features import FeatureLayout
from fuserank_ensemble.candidates.pairs import PairTokens
from fuserank_ensemble.catalog.arrays import map_array
from fuserank_ensemble.catalog.items import Items, Records
from fuserank_ensemble.catalog.live.snapshot import BundledCatalog
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.catalog.tokens import EncoderVocabulary
from fuserank_ensemble.interactions.events import EventTable
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.interactions.segments import UserSegments
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.retrieval.lexical.index import UNITS, LexicalIndex
from fuserank_ensemble.spec import GraphSpec, SpecError
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.tail import SnapshotPosition
from fuserank_ensemble.understanding.quantities import Quantities
from fuserank_ensemble.understanding.query import QueryParser
from fuserank_ensemble.understanding.spelling import Spelling

FORMAT = 17
MANIFEST = "manifest.json"
LEXICAL = "lexical"  # the items' words, within `index/`
PAIRS = "pairs"  # what the text tower reads, within `index/`
SYNONYMS = "synonyms.json"  # within `index/`
TOKENIZER = "tokenizer.json"  # the encoder's, within `index/`
DISLIKES = "dislikes"  # what users returned, disliked or rated low, within `index/`; not there where nobody did
HIDDEN = "hidden"  # what users want never to see again, within `index/`; not there where nobody does
USERS = "users"  # what the shop says of its users, within `index/`; not there where it says nothing
EVENTS = "events"  # the log in the input format, a part for each export and refresh; serving does not read it
EXPORTED_EVENTS = "export.parquet"  # what the export's files held, within `events/`
REFERENCE = "reference.npz"  # the features that the ranker learned from, within `index/`
RANKER_WEIGHTS = "ranker.safetensors"  # what the next bundle's ranker goes on from, within `index/`
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class BundleError(RuntimeError):
    """A bundle that must not be served. The message names the file, what is wrong, and the remedy."""


class _Reading(msgspec.Struct):
    most_a_day: int


class _Inputs(msgspec.Struct):
    reading: _Reading


class _Engines(msgspec.Struct):
    chosen: dict[str, str] = {}


class _Manifest(msgspec.Struct):
    """What serving reads of a manifest beside its spec; the rest is what the export tells of itself."""

    id: str
    created: datetime
    files: dict[str, str]
    user_key: str
    fields: list[str]
    counts: dict[str, int]
    inputs: _Inputs
    log_end: float
    live_log: SnapshotPosition
    events: dict[str, Any]
    engines: dict[str, _Engines]
    ranker_ms: dict[int, float] = {}
    text_tower_ms: dict[int, float] = {}


def _check_names(path: Path, bundle_id: str, files: Mapping[str, str]) -> None:
    """Checks that a manifest names no file outside of its bundle, and that its id can name a folder.

    Raises:
        BundleError: Naming the first one.
    """
    if not _ID.fullmatch(bundle_id):
        raise BundleError(f"{path}: id: found {bundle_id!r}; allowed: letters, digits, `-`, `_` and `.`")
    for name in files:
        within = PurePosixPath(name)
        if within.is_absolute() or ".." in within.parts or within.as_posix() != name or "\0" in name:
            raise BundleError(f"{path}: files: found {name!r}; allowed: paths within the bundle; export it again")


def sha256_of_texts(texts: Iterable[str]) -> str:
    """The first 16 hex digits of the digest of some texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_query_parser(index: Path) -> QueryParser:
    """Opens what takes queries apart, from a bundle's `index/`."""
    words, synonyms = LexicalIndex.open(index / LEXICAL), Synonyms.open(index / SYNONYMS)
    parser = QueryParser(
        synonyms, Quantities.open(index / LEXICAL / UNITS), open_spelling(words, synonyms, index / TOKENIZER)
    )
    return parser_over(parser, words)


def parser_over(parser: QueryParser, words: LexicalIndex) -> QueryParser:
    """Returns what takes queries apart, where the items have other words."""
    assert parser.spelling is not None
    spelling = _spelling_of(words, parser.synonyms, parser.spelling.language)
    return replace(parser, spelling=spelling, is_value=lambda text: words.is_code(text) or words.is_value(text))


def open_spelling(words: LexicalIndex, synonyms: Synonyms, tokenizer: Path) -> Spelling:
    """Opens what corrects queries, from a catalogue's words and the encoder's `tokenizer.json`."""
    return _spelling_of(words, synonyms, EncoderVocabulary(tokenizer))


def _spelling_of(words: LexicalIndex, synonyms: Synonyms, language: Container[str]) -> Spelling:
    return Spelling(
        words.has_word,
        language,
        words.similar_words,
        synonyms.words,
        lambda text: words.is_code(text) or words.begun_codes(text) is not None,
    )


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk: its manifest, and typed access to its parts.

    Attributes:
        root: The bundle's folder.
        manifest: `manifest.json` as parsed.
        spec: The graph that the bundle was exported for.
    """

    root: Path
    manifest: dict[str, Any]
    spec: GraphSpec

    @classmethod
    def open(cls, root: Path, verify: Iterable[str] = ("",)) -> Bundle:
        """Opens a bundle and checks hashes.

        Args:
            root: The bundle's folder.
            verify: Which files to hash, as path prefixes within the bundle; all by default.

        Raises:
            BundleError: Where a file is missing or differs from the manifest, or the bundle was made by an
                incompatible version.
        """
        path = root / MANIFEST
        try:
            manifest = json.loads(path.read_text("utf-8"))
        except OSError:
            raise BundleError(
                f"{path}: not readable; a bundle is a folder that `fuserank export bundle --out …` has written"
            ) from None
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{path}: not readable as JSON ({error}); export the bundle again") from None
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            found = manifest.get("format") if isinstance(manifest, dict) else manifest
            raise BundleError(f"{path}: format is {found!r}, this version reads {FORMAT}; export the bundle again")
        try:
            bundle = cls(root, manifest, GraphSpec.from_dict(manifest["spec"]))
            msgspec.convert(manifest, _Manifest, str_keys=True)
            EventTable.from_dict(manifest["events"])
        except KeyError as error:
            raise BundleError(f"{path}: has no {error}; export the bundle again") from None
        except (SpecError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{path}: {error}; export the bundle again") from None
        hashes = manifest["files"]
        _check_names(path, bundle.id, hashes)
        features = [feature.name for feature in bundle.layout.features]
        if manifest.get("features") != features:
            raise BundleError(
                f"{path}: the ranker was trained on features {manifest.get('features')}, "
                f"this version computes {features}; export the bundle again"
            )
        bundle.verify(hashes, tuple(verify))
        return bundle

    def verify(self, hashes: Mapping[str, str], prefixes: tuple[str, ...]) -> None:
        """Compares the files under the prefixes with their hashes.

        Raises:
            BundleError: Naming the first file that is missing or differs.
        """
        for name, expected in hashes.items():
            if not name.startswith(prefixes):
                continue
            path = self.root / name
            try:
                if not path.is_file():
                    raise BundleError(f"{path}: missing; the bundle is incomplete: copy or export it again")
                found = sha256(path)
            except OSError as error:
                raise BundleError(f"{path}: {error.strerror}; let this user read it, or export again") from None
            if found != expected:
                raise BundleError(
                    f"{path}: sha256 {found[:12]}… differs from {expected[:12]}… in {MANIFEST}; encoder, ranker and "
                    "index must come from one export: restore the file or export the bundle again"
                )

    @property
    def id(self) -> str:
        """The bundle's id, which every reply names."""
        return str(self.manifest["id"])

    @cached_property
    def layout(self) -> FeatureLayout:
        """The columns that the ranker reads, and its signals."""
        return FeatureLayout(self.spec.own_features)

    @property
    def encoder_id(self) -> str:
        """Names what makes vectors: those of another encoder mean something else."""
        return self._model_id(TOKENIZER, "encoder")

    @property
    def query_encoder_id(self) -> str:
        """Names what makes the vectors of queries, where that is not the encoder."""
        return self._model_id(TOKENIZER, "query_encoder")

    @property
    def text_tower_id(self) -> str:
        """Names what scores pairs of query and text; the scores of another text tower mean something else."""
        return self._model_id(f"{PAIRS}/tokenizer.json", "text_tower")

    def _model_id(self, tokenizer: str, stage: str) -> str:
        parts = (f"index/{tokenizer}", f"model_repository/{stage}/1/model.onnx")
        return sha256_of_texts(str(self.manifest["files"].get(part, "")) for part in parts)

    @cached_property
    def bundled_catalog(self) -> BundledCatalog:
        """The catalogue that changes are made to."""
        latest = float(self.manifest["log_end"]) if self.spec.clock == "log" else math.inf
        return BundledCatalog(self.items, self.records, self.vectors, self.encoder_id, latest)

    @property
    def snapshot_position(self) -> SnapshotPosition:
        """What the bundle holds of the log of live events."""
        return SnapshotPosition.from_manifest(self.manifest)

    @property
    def user_key(self) -> str:
        """Fingerprint of the key under which the bundle names users; empty where it names nobody."""
        return str(self.manifest["user_key"])

    def check_user_key(self, key: IdentityKey | None) -> None:
        """Checks that users who ask can be found in the bundle.

        Raises:
            BundleError: Where it names users under another key.
        """
        found = key.fingerprint if key else None
        if self.user_key and found != self.user_key:
            raise BundleError(
                f"{self.root}: its users are hashed under the key {self.user_key}, and "
                + (f"the key here is {found}" if found else "no key is given")
                + "; name the key file of the export with --state-key-file or FUSERANK_STATE_KEY_FILE (without either "
                "it is <bundle>.state/log.sqlite.key beside the bundle), or export the bundle again under the key here"
            )

    @property
    def repository(self) -> Path:
        """The Triton model repository."""
        return self.root / "model_repository"

    def engine(self, stage: str) -> Path:
        """The ONNX file of a stage that a CPU runs: what the export wrote, or what was chosen for its speed.

        Raises:
            BundleError: Where the manifest names none, or has no hash of it.
        """
        chosen = self.manifest["engines"].get("cpu", {}).get("chosen", {}).get(stage, "")
        name = f"model_repository/{stage}/1/{chosen}"
        if name not in self.manifest["files"]:
            raise BundleError(f"{self.root / MANIFEST}: engines: {name} is none of its files; export the bundle again")
        return self.root / name

    @property
    def tokenizer(self) -> Path:
        """The encoder's `tokenizer.json`."""
        return self.root / "index" / TOKENIZER

    @cached_property
    def query_parser(self) -> QueryParser:
        """Takes queries apart."""
        return open_query_parser(self.root / "index")

    @cached_property
    def pairs(self) -> PairTokens | None:
        """Joins queries and items for the ranker's text tower; None where the bundle has none."""
        if not self.spec.text_candidates:
            return None
        return PairTokens.open(self.root / "index" / PAIRS, self.spec.pair_buckets, self.spec.pair_pad_token_id)

    @cached_property
    def cost(self) -> RankerCost:
        """What the ranker took where its engines were measured."""
        return RankerCost.from_manifest(self.manifest, self.spec.text_candidates)

    @cached_property
    def items(self) -> Items:
        """The catalogue's arrays."""
        return Items.open(self.root / "index" / "items")

    @cached_property
    def records(self) -> Records:
        """The catalogue's fields, for replies."""
        return Records(self.root / "index" / "items")

    @cached_property
    def popularity(self) -> Popularity:
        """All users' events by item, as of the export."""
        return Popularity.open(self.root / "index" / "popularity")

    @cached_property
    def reference(self) -> FeatureReference:
        """How the features that the ranker learned from are distributed."""
        return FeatureReference.open(self.root / "index" / REFERENCE)

    @cached_property
    def vectors(self) -> Any:
        """Text vectors, fp16 `[texts, dim]`."""
        return map_array(self.root / "index" / "vectors.npy")

    def catalog(self, device: str) -> CatalogIndex:
        """What is searched; on a GPU the vectors lie in its memory."""
        return CatalogIndex.open(self.root / "index", self.items, device)

    def learned(self, device: str) -> InteractionIndex:
        """What the log taught, as of the export."""
        return InteractionIndex.open(self.root / "index", device)

    @cached_property
    def segments(self) -> UserSegments:
        """What the shop says of its users."""
        return UserSegments.open(self.root / "index" / USERS)

    def user_names(self) -> set[str]:
        """Everybody who is in the bundle, as it names them."""
        parts = (self.histories, self.segments, self.dislikes, self.hidden)
        return {name.decode() for part in parts if part is not None for name in part.users.tolist()}

    @cached_property
    def dislikes(self) -> HistorySnapshot | None:
        """What users returned, disliked or rated low as of the export, and how strongly; None where nobody did."""
        return self._open_snapshot(DISLIKES)

    @cached_property
    def hidden(self) -> HistorySnapshot | None:
        """What users want never to see again, as of the export; None where nobody does."""
        return self._open_snapshot(HIDDEN)

    @cached_property
    def event_table(self) -> EventTable:
        """What each kind of event counts."""
        return EventTable.from_dict(self.manifest["events"])

    def _open_snapshot(self, name: str) -> HistorySnapshot | None:
        folder = self.root / "index" / name
        return HistorySnapshot.open(folder) if folder.exists() else None

    @cached_property
    def histories(self) -> HistorySnapshot:
        """The users' events as of the export."""
        return HistorySnapshot.open(self.root / "index" / "history")
