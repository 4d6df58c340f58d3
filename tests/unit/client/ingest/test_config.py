"""The configuration is typed and closed, and Kafka's secrets come from the environment."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from fuserank.errors import ConfigurationError
from fuserank.ingest.command import ingest
from fuserank.ingest.config import NATIVE, SHIPPED, IngestConfig, shipped_format
from support.pages import REPOSITORY, Page

LEAST = """
dead_letter_topic = "dead"
topics = { clicks = "events" }
kafka = { "bootstrap.servers" = "127.0.0.1:9092" }
"""


def read(path, text=LEAST, **variables):
    path.write_text(text, "utf-8")
    return IngestConfig.read(path, variables)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ingest.toml"


def test_the_environment_adds_kafkas_secrets_and_names_the_server(path):
    config = read(path, FUSERANK_KAFKA_SASL_PASSWORD="secret", FUSERANK_URL="shop:8001", HOME="/")
    assert config.kafka == {"bootstrap.servers": "127.0.0.1:9092", "sasl.password": "secret"}
    assert config.server.url == "shop:8001"
    assert read(path).server.url == "127.0.0.1:8001"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("topic = 1", "topic: unknown; allowed: .*did you mean 'topics'"),
        ('server = { ulr = "x" }', "server.ulr: unknown; allowed: .*did you mean 'url'"),
        ('max_messages = "many"', "Expected `int`, got `str` - at `\\$.max_messages`"),
        ("max_messages = 0", "max_messages: found 0; allowed: 1 to 10,000"),
        ('group = "g"\nconsumer = { "group.id" = "h" }', "group.id: cannot be set; it is group"),
        ('consumer = { "enable.auto.commit" = true }', "enable.auto.commit: cannot be set"),
        ("= 1", "Invalid statement"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_is_allowed(path, line, words):
    with pytest.raises(ConfigurationError, match=words):
        read(path, LEAST + line)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('clicks = "events"', "", "topics: found none"),
        ('"dead"', '"clicks"', "dead_letter_topic: found a topic that is read"),
        ('"bootstrap.servers" = "127.0.0.1:9092"', "", 'kafka."bootstrap.servers": found nothing'),
    ],
)
def test_what_is_missing_is_named(path, old, new, words):
    with pytest.raises(ConfigurationError, match=words):
        read(path, LEAST.replace(old, new))


def test_a_format_that_is_not_there_is_named_with_those_that_are(path):
    with pytest.raises(ConfigurationError, match=r"topics.clicks: found 'ga5'; allowed: .*did you mean 'ga4'"):
        read(path, LEAST.replace('"events"', '"ga5"')).open_formats()


def test_the_command_says_in_one_line_what_is_wrong(path):
    path.write_text(LEAST + 'consumer = { "no.such.setting" = 1 }', "utf-8")
    app = typer.Typer()
    app.command()(ingest)
    done = CliRunner().invoke(app, [str(path)])
    assert done.exit_code == 1
    assert done.stderr == 'fuserank: kafka: No such configuration property: "no.such.setting"\n'


def test_the_pages_examples_can_be_read(path):
    page = (REPOSITORY / "docs" / "ingest.md").read_text("utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```$", page, re.M | re.S)
    assert len(examples) >= 2
    whole, own = examples[:2]
    assert read(path, whole).open_formats().keys() == {"shop.events", "ga4.events", "segment.tracks", "shop.catalog"}
    read(path, LEAST.replace('"events"', '"erp"') + own).open_formats()


def test_the_page_says_which_kinds_of_others_are_which_of_ours():
    page = Page(REPOSITORY / "docs" / "ingest.md")
    assert {row[0].strip("`") for row in page.table("format")} == {*NATIVE, *SHIPPED}
    written = {}
    for ours, ga4, segment in page.table("event"):
        written |= {kind: ours.strip("`") for kind in (ga4.strip("`"), *segment.split(", ")) if kind}
    assert written == shipped_format("ga4")["kinds"] | shipped_format("segment")["kinds"]
    # What BigQuery exports are the same events.
    assert shipped_format("ga4_bigquery")["kinds"].items() <= shipped_format("ga4")["kinds"].items()
