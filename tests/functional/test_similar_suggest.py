"""`similar` and `suggest` on a real Triton: what calls other stages there answers as the stages in one process do."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from fuserank.aio import AsyncClient
from fuserank.client import Client
from fuserank.errors import InvalidRequestError
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.stages import models
from fuserank_ensemble.serving.server import Server
from support.busy_machine import PATIENCE, wait_until
from support.running import (
    BESIDE,
    FUSERANK,
    assert_no_traceback,
    endpoints,
    options,
    refusal,
    stub_pids,
    text_tensor,
    tritonserver,
    url,
)
from support.small_shops import Shop

INVALID = "INVALID_ARGUMENT"


pytestmark = pytest.mark.targets("single_process", reason="similar and suggest are the same models of every target")


def inputs(model: str, *cells: Any) -> list[triton.InferInput]:
    """A request of one row, byte for byte."""
    names = {"similar": ("ITEM_ID", "TEXT", "OPTIONS"), "suggest": ("PREFIX", "OPTIONS")}[model]
    return [text_tensor(name, [[cell]]) for name, cell in zip(names, cells, strict=True)]


@pytest.mark.targets("single_process", "ensemble_cpu", reason="similar calls other models, which each target loads")
@pytest.mark.parametrize("anchor", [{"item_id": "i0004"}, {"text": "oat milk"}, {"text": "绿茶 🍵"}])
def test_triton_answers_as_the_stages_in_one_process(client: Client, graph: LocalGraph, anchor: dict[str, str]):
    found, expected = client.similar(**anchor, k=20, fields=["title"]), graph.similar(**anchor, k=20, fields=["title"])
    assert [item.id.encode() for item in found] == expected["ITEM_ID"][0].tolist()
    np.testing.assert_allclose([item.score for item in found], expected["SCORE"][0], atol=1e-4)
    assert [{"fields": dict(item.fields)} for item in found] == [json.loads(item) for item in expected["ITEM"][0]]
    assert found.status.returned == len(found) == 20
    assert found.status.bundle == graph.bundle.id


def test_items_like_an_item_are_of_its_kind_and_never_itself(client: Client, shop: Shop):
    for item_id, row in list(shop.items.items())[:10]:
        found = client.similar(item_id)
        assert item_id not in [item.id for item in found]
        assert [item.fields["category"] for item in found].count(row["category"]) >= 5


def test_a_text_finds_what_it_means(client: Client):
    assert all("Coffee" in item.fields["category"] for item in client.similar(text="espresso roast", k=5))


def test_a_filter_holds_before_the_list_is_cut(client: Client, shop: Shop):
    fits = shop.ids(brand="Acme", in_stock=True)
    asked = {"brand": "Acme", "in_stock": True}
    assert {item.id for item in client.similar(text="milk", k=200, filter=asked)} == fits
    assert len(client.similar("i0000", k=10, filter={"brand": "nobody"})) == 0


def test_an_item_nobody_had_is_answered_too(client: Client, shop: Shop):
    cold = sorted(set(shop.items) - set().union(*shop.bought.values()))
    assert cold
    for item_id in cold[:5]:
        found = client.similar(item_id)
        assert len(found) == 10
        assert shop.items[item_id]["category"] in {item.fields["category"] for item in found}


def test_completions_begin_with_the_prefix_and_forgive_a_typing_error(client: Client, graph: LocalGraph):
    found = client.suggest("choco", 5)
    assert found
    assert all("choco" in each.text.lower() for each in found)
    assert [each.text.encode() for each in found] == graph.suggest("choco", count=5)["SUGGESTION"][0].tolist()
    assert any("chocolate" in each.text.lower() for each in client.suggest("choclate"))
    assert any(each.text.startswith("乌龙茶") for each in client.suggest("乌龙"))
    assert client.suggest("qzxv wkjq") == []


BAD = {
    "an unknown item": ("similar", (b"nope", b"", b"{}"), ['ITEM_ID: found "nope"', "send its title as TEXT"]),
    "neither": ("similar", (b"", b"", b"{}"), ["ITEM_ID, TEXT: found both empty"]),
    "both": ("similar", (b"i0000", b"milk", b"{}"), ["ITEM_ID, TEXT: found an item and a text"]),
    "k": ("similar", (b"i0000", b"", options(k=201)), ["OPTIONS.k: found 201", "1 to 200"]),
    "a filter": ("similar", (b"", b"x", options(filter={"colour": 1})), ["OPTIONS.filter.colour"]),
    "1 MB": ("similar", (b"", b"x" * 2**20, b"{}"), ["TEXT: found 1,048,576 bytes"]),
    "no UTF-8": ("suggest", (b"mi\xff", b"{}"), ["PREFIX: found byte 0xff at position 2"]),
    "count": ("suggest", (b"mi", options(count=0)), ["OPTIONS.count: found 0", "1 to 50"]),
    "an option": ("suggest", (b"mi", options(k=1)), ["OPTIONS.k: found an unknown option"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_value_is_refused_with_field_finding_and_remedy(raw: triton.InferenceServerClient, case: str):
    model, cells, expected = BAD[case]
    code, message = refusal(raw, inputs(model, *cells), model)
    assert code == INVALID, message
    for part in expected:
        assert part in message
    assert_no_traceback(message)


async def test_good_requests_are_answered_beside_bad_ones_and_share_batches(
    server: Server, client: Client, raw: triton.InferenceServerClient
):
    anchors: list[dict[str, str]] = [{"item_id": "i0004"}, {"text": "rye bread"}, {"item_id": "nope"}]
    expected = [[item.id for item in client.similar(**anchor)] for anchor in anchors[:2]]
    completions, pids = client.suggest("mil"), stub_pids(server)
    before = raw.get_inference_statistics("similar").model_stats[0]
    places = asyncio.Semaphore(24)
    async with AsyncClient(url(server), timeout=PATIENCE) as everyone:

        async def one(number: int) -> None:
            async with places:
                if number % 4 == 3:
                    assert await everyone.suggest("mil") == completions
                elif number % 4 == 2:
                    with pytest.raises(InvalidRequestError, match=r"^ITEM_ID: found"):
                        await everyone.similar(**anchors[2])
                else:
                    assert [item.id for item in await everyone.similar(**anchors[number % 4])] == expected[number % 4]

        await asyncio.gather(*(one(number) for number in range(240)))
    after = raw.get_inference_statistics("similar").model_stats[0]
    batches = after.execution_count - before.execution_count
    print(f"180 requests of similar, a third of them bad, in {batches} batches")
    assert batches < 150
    assert stub_pids(server) == pids


def test_several_rows_of_one_call_are_answered_as_if_alone(raw: triton.InferenceServerClient, client: Client):
    cells = {"ITEM_ID": ["i0001", "", "i0002"], "TEXT": ["", "baguette", ""], "OPTIONS": ["{}", '{"k": 3}', "{}"]}
    result = raw.infer(
        "similar", [text_tensor(name, [[value.encode()] for value in values]) for name, values in cells.items()]
    )
    ids = result.as_numpy("ITEM_ID")
    assert ids.shape == result.as_numpy("SCORE").shape == (3, 10)
    alone = [client.similar("i0001"), client.similar(text="baguette", k=3), client.similar("i0002")]
    assert [[i.decode() for i in row if i] for row in ids] == [[item.id for item in each] for each in alone]


def test_the_command_line_asks_both(server: Server, client: Client):
    def answered(*arguments: str) -> Any:
        command = [FUSERANK, *arguments, "--url", url(server), "--json"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert [i["id"] for i in answered("similar", "i0004", "-k", "3")["items"]] == [
        item.id for item in client.similar("i0004", k=3)
    ]
    assert [each["text"] for each in answered("suggest", "mil", "-n", "3")] == [
        each.text for each in client.suggest("mil", 3)
    ]


@pytest.mark.parametrize("model", ["similar", "suggest"])
def test_the_death_of_a_models_process_is_noticed(first_day_root: Path, model: str, bundle: Bundle):
    assert model in {stage.name for stage in models(bundle.spec, "single_process")}
    others = [name for name in BESIDE if name != model]
    with Server(first_day_root, endpoints(), without=others) as running:
        assert running.dead_stages() == []
        process = tritonserver(running.endpoints.grpc)
        assert process is not None
        stub = next(c for c in process.children(recursive=True) if f"{model}_0_1" in c.cmdline())
        stub.kill()
        # Triton does not reap it: waiting for its end would take as long as anybody would wait.
        assert wait_until(lambda: running.dead_stages() == [model])
