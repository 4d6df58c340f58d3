"""Plain and Ray give the same bytes, whoever is killed on the way; what is done is never done twice."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

import numpy as np
import psutil
import pytest

from fuserank_export.embedding import embed as embedding
from fuserank_export.embedding.embed import embed_texts
from fuserank_export.embedding.encoder_files import EncoderFiles
from fuserank_export.embedding.ray_workers import START_WAIT
from fuserank_export.encoder.load import load_encoder
from fuserank_export.encoder.onnx_export import export_onnx
from fuserank_export.sources import InputError

TEXTS = [f"whole milk {i} 绿茶 " + "soy drink " * (i % 13) for i in range(60)] + [
    "",
    "😀🥛",
    "\x00\x1f",
    "tea " * 25_000,
]


@pytest.fixture(scope="module")
def embed(tiny_encoder, tmp_path_factory):
    encoder = load_encoder(str(tiny_encoder))
    path = tmp_path_factory.mktemp("engine") / "model.onnx"
    export_onnx(encoder, path)

    files = EncoderFiles.create(path, encoder.tokenizer, encoder.pad_id, encoder.max_length)

    def run(engine, texts, checkpoint, **more):
        joined = checkpoint.with_name(f"{checkpoint.name}.npy")
        return embed_texts(files, texts, checkpoint=checkpoint, joined=joined, engine=engine, **more)

    return run


@pytest.fixture(scope="module")
def ray_session():
    ray = pytest.importorskip("ray", reason="ray is an optional extra")
    os.environ.setdefault(*START_WAIT)
    settings = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 100 * 2**20, "log_to_driver": False}
    try:
        ray.init(address="local", **settings)
    except RuntimeError:  # Ray's own server hangs while it starts, seldom and on busy machines
        ray.shutdown()
        ray.init(address="local", **settings)
    yield ray
    ray.shutdown()


def test_all_texts_come_back_in_their_order_and_of_length_one(embed, tmp_path):
    counted = []
    vectors, report = embed("plain", TEXTS, tmp_path, block=10, advanced=counted.append)
    assert vectors.dtype == np.float16
    assert np.allclose(np.linalg.norm(vectors.astype(np.float32), axis=1), 1, atol=2e-3)
    alone, _ = embed("plain", TEXTS[17:18], tmp_path / "alone")
    assert np.allclose(alone[0], vectors[17], atol=2e-3)
    assert sum(counted) == len(TEXTS) == report["texts"]
    assert report["computed"] == len(TEXTS)
    assert report["texts_per_second"] > 0


def test_no_text_gives_no_vector_of_the_right_width(embed, tmp_path):
    vectors, report = embed("plain", [], tmp_path)
    assert vectors.shape == (0, 32)
    assert report["texts"] == report["computed"] == 0
    assert report["texts_per_second"] is None


def test_a_run_killed_between_blocks_goes_on_where_it_stopped(embed, tmp_path, monkeypatch):
    whole, _ = embed("plain", TEXTS, tmp_path / "whole", block=10)
    original, calls = embedding.embed_block, []

    def failing(encoder, texts):
        calls.append(len(texts))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(encoder, texts)

    monkeypatch.setattr(embedding, "embed_block", failing)
    with pytest.raises(KeyboardInterrupt):
        embed("plain", TEXTS, tmp_path / "cut", block=10)
    vectors, report = embed("plain", TEXTS, tmp_path / "cut", block=10)
    assert report["computed"] == len(TEXTS) - 30
    assert len(calls) == 4 + 4
    assert vectors.tobytes() == whole.tobytes()


@pytest.mark.parametrize(
    "damage", [lambda data: data[:100], lambda data: b"", lambda data: data[:200] + b"!" + data[201:]]
)
def test_a_damaged_block_is_embedded_anew(embed, tmp_path, damage):
    whole, _ = embed("plain", TEXTS, tmp_path, block=10)
    expected = whole.tobytes()
    path = max(tmp_path.glob("*.vectors"), key=lambda found: found.stat().st_size)
    path.write_bytes(damage(path.read_bytes()))
    again, report = embed("plain", TEXTS, tmp_path, block=10)
    assert report["computed"] == 10
    assert again.tobytes() == expected


def test_another_text_is_another_block(embed, tmp_path):
    embed("plain", TEXTS, tmp_path, block=10)
    _, report = embed("plain", ["changed", *TEXTS[1:]], tmp_path, block=10)
    assert report["computed"] == 10


@pytest.mark.parametrize(("engine", "block", "named"), [("spark", 10, "--engine"), ("plain", 0, "--block")])
def test_a_wrong_setting_is_refused_by_name(embed, tmp_path, engine, block, named):
    with pytest.raises(InputError, match=named):
        embed(engine, TEXTS, tmp_path, block=block)


def test_ray_gives_the_same_bytes_though_a_worker_is_killed(embed, tmp_path, ray_session):
    texts = [f"{text} {copy}" for copy in range(6) for text in TEXTS[:60]]
    plain, _ = embed("plain", texts, tmp_path / "plain", block=3)
    folder, killed = tmp_path / "ray", []

    def kill_one():
        end = time.monotonic() + 60
        while not killed and time.monotonic() < end:
            if len(list(folder.glob("*.vectors"))) >= 3:
                for process in psutil.Process().children(recursive=True):
                    with suppress(psutil.Error):  # it may end while it is asked
                        if any("MapWorker" in part for part in process.cmdline()):
                            process.kill()
                            killed.append((process.pid, len(list(folder.glob("*.vectors")))))
                            break
            time.sleep(0.005)

    thread = threading.Thread(target=kill_one)
    thread.start()
    vectors, _ = embed("ray", texts, folder, block=3)
    thread.join()
    assert killed, "no worker was found to kill"
    assert killed[0][1] < len(texts) // 3, "it was killed when all was done"
    assert vectors.tobytes() == plain.tobytes()
    _, again = embed("ray", texts, folder, block=3)
    assert again["computed"] == 0
    assert again["texts_per_second"] is None, "no rate of nothing"
