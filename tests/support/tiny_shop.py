"""A shop that exports in seconds: sixty items, half a year of twelve regulars, and a random two-layer encoder."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

LOG_END = datetime(2024, 6, 1, tzinfo=UTC)
DAYS = 180
USERS = 12
# "Food > Dairy" and "Food > Dairy Free" share a prefix, and no filter on one may let the other in.
KINDS = {
    "Food > Dairy": ("whole milk", "goat cheese", "plain yogurt", "salted butter", "vanilla cream"),
    "Food > Dairy Free": ("oat drink", "soy drink", "coconut dessert", "almond spread", "rice drink"),
    "Drinks > 茶": ("绿茶", "红茶", "乌龙茶", "茉莉花茶", "白茶"),
    "Household": ("paper towels", "fabric softener", "dish soap", "trash bags", "light bulb"),
}
SIZES = ("small", "large", "double")
BRANDS = ("Acme", "Zenith", "北山")


@dataclass(frozen=True)
class TinyShop:
    """A shop's files and what they hold.

    Attributes:
        catalog: CSV.
        interactions: CSV.
        items: The catalogue's rows by id.
        favourites: The items that each user comes back for, first the one bought most.
    """

    catalog: Path
    interactions: Path
    items: dict[str, dict[str, Any]]
    favourites: dict[str, list[str]]

    def ids(self, **wanted: Any) -> set[str]:
        """The items whose fields hold these values."""
        return {item for item, row in self.items.items() if all(row[name] == value for name, value in wanted.items())}


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def catalog_rows() -> list[dict[str, Any]]:
    rows = []
    for number, (size, category, kind) in enumerate(
        (s, c, k) for s in SIZES for c, kinds in KINDS.items() for k in kinds
    ):
        rows.append(
            {
                "item_id": f"i{number:02}",
                "title": f"{kind} {size}",
                "description": f"number {number} of our range" if number % 3 else "",
                "category": category,
                "brand": BRANDS[number % 3] if number % 7 else "",
                "price": f"{1 + number / 4:.2f}" if number % 11 else "",
                "in_stock": "false" if number % 5 == 0 else "true",
                "shelf": f"{number % 4:03}",
            }
        )
    return rows


def write_shop(folder: Path) -> TinyShop:
    """Writes the shop's catalogue and log."""
    shop, events = make_shop(folder)
    write_csv(shop.catalog, list(shop.items.values()))
    write_csv(shop.interactions, events)
    return shop


def make_shop(folder: Path) -> tuple[TinyShop, list[dict[str, Any]]]:
    """The shop whose files are in `folder`, and its log; every user has habits, so that there is something to learn."""
    draw = random.Random(7)
    items = {row["item_id"]: row for row in catalog_rows()}
    favourites = {f"u{user:02}": draw.sample(sorted(items), 4) for user in range(USERS)}
    events = []
    for user, own in favourites.items():
        for day in range(0, DAYS, 3):
            bought = own[0] if day % 2 == 0 else draw.choice(own)
            for item, event in ((bought, "purchase"), (draw.choice(sorted(items)), "view")):
                category = items[item]["category"].rsplit(" > ", 1)[-1].lower()
                moment = LOG_END - timedelta(days=DAYS - day, minutes=len(events) % 60)
                events.append(
                    {
                        "user_id": user,
                        "item_id": item,
                        "event": event,
                        "timestamp": moment.isoformat(),
                        "query": category if event == "purchase" and day % 4 == 0 else "",
                        "store": f"s{int(user[1:]) % 2}",
                    }
                )
    return TinyShop(folder / "items.csv", folder / "events.csv", items, favourites), events


def write_encoder(folder: Path, max_length: int = 64) -> Path:
    """Writes a BERT of two layers with random weights, whose WordPiece vocabulary holds some Chinese."""
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = {w for row in catalog_rows() for name in ("title", "category", "brand") for w in row[name].lower().split()}
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    chinese = sorted({letter for word in words for letter in word if ord(letter) > 0x2E80})
    latin = sorted(word for word in words if word.isascii() and word.isalpha())
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *chinese, *latin, *",.>", *letters]
    vocabulary += [f"##{letter}" for letter in letters]
    ids = {word: number for number, word in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=max_length,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(ids), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=max_length, initializer_range=0.2, pad_token_id=ids["[PAD]"],
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def write_text_tower(folder: Path, encoder: Path) -> Path:
    """Writes a cross-encoder of the encoder's size and tokenizer, with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(8)
    model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(str(encoder), num_labels=1))
    torch.nn.init.normal_(model.classifier.weight)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(encoder)).save_pretrained(folder)
    return folder
