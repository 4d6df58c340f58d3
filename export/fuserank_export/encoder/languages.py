"""Measures whether an encoder knows the scripts and the language that a shop writes in.

Of a script that it does not know, a tokenizer returns unknown tokens or single letters, and all texts come out alike:
with all-MiniLM-L6-v2 unlike phrases of the sample have a mean cosine of 0.10 in English, and of 0.51 (kana) to 1.00
(Thai) in scripts that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from fuserank_ensemble.catalog.scripts import script_runs

KNOWN_ENCODER = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
LEAST_SHARE = 0.01  # of the texts' letters, from which a script is measured
MOST_UNKNOWN = 0.2  # share of unknown tokens
MOST_ALIKE = 0.25  # mean cosine of unlike phrases beyond that of English ones
MOST_PIECES = 2.5  # tokens a word of a Latin script: 1.3 in English shops, 3.5 in German for an English encoder
_TEXTS = 500  # that are read
_WORDS = 2_000  # that are counted
_LATIN, _LEAST_LETTERS = "latin", 4
_LEAST_WORDS = 20  # distinct ones, which tell of a language
# Unlike things of a shop, in the scripts of the world: a lamp, shoes, milk, a hose, headphones, a knife, a book, a
# drill, tea, a wallet, sand for cats, a jacket. How alike the shop's own texts are says nothing: it may sell lamps.
PHRASES = {
    "latin": "table lamp|running shoes|whole milk|garden hose|headphones|kitchen knife|picture book|cordless drill|"
    "green tea|leather wallet|cat litter|winter jacket",
    "greek": "επιτραπέζιο φωτιστικό|αθλητικά παπούτσια|γάλα|λάστιχο κήπου|ακουστικά|μαχαίρι|βιβλίο|δράπανο|"
    "πράσινο τσάι|πορτοφόλι|άμμος γάτας|μπουφάν",
    "cyrillic": "настольная лампа|кроссовки|молоко|садовый шланг|наушники|кухонный нож|детская книга|дрель|"
    "зелёный чай|кожаный кошелёк|наполнитель для кошек|зимняя куртка",
    "hebrew": "מנורת שולחן|נעלי ריצה|חלב|צינור גינה|אוזניות|סכין מטבח|ספר ילדים|מקדחה|תה ירוק|ארנק עור|"
    "חול לחתולים|מעיל",
    "arabic": "مصباح طاولة|حذاء رياضي|حليب|خرطوم حديقة|سماعات|سكين مطبخ|كتاب أطفال|مثقاب|شاي أخضر|محفظة جلدية|رمل قطط|"
    "سترة شتوية",
    "devanagari": "टेबल लैंप|दौड़ने के जूते|दूध|बगीचे का पाइप|हेडफ़ोन|रसोई का चाकू|"
    "किताब|ड्रिल|हरी चाय|चमड़े का बटुआ|बिल्ली की रेत|सर्दियों की जैकेट",
    "thai": "โคมไฟตั้งโต๊ะ|รองเท้าวิ่ง|นม|สายยาง|หูฟัง|มีดทำครัว|หนังสือเด็ก|สว่าน|ชาเขียว|กระเป๋าสตางค์|ทรายแมว|เสื้อกันหนาว",
    "hangul": "탁상 램프|운동화|우유|정원 호스|헤드폰|주방 칼|그림책|무선 드릴|녹차|가죽 지갑|고양이 모래|겨울 재킷",
    "kana": "テーブルランプ|ランニングシューズ|ミルク|ガーデンホース|ヘッドホン|"
    "ナイフ|えほん|ドリル|みどりのちゃ|さいふ|ねこすな|ジャケット",
    "han": "台灯|跑步鞋|牛奶|花园水管|耳机|菜刀|图画书|电钻|绿茶|真皮钱包|猫砂|冬季外套",
}
Embed = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class ScriptKnowledge:
    """What an encoder makes of one script of a shop.

    Attributes:
        script: Its name, see `fuserank_ensemble.catalog.scripts.SCRIPTS`.
        share: The share of the shop's letters that are of it.
        unknown: The share of unknown tokens in the shop's words.
        alike: Mean cosine of unlike phrases, beyond that of unlike English ones; None where there is no sample.
        pieces: Tokens a word, of Latin words of four letters or more; None elsewhere, and for few words.
    """

    script: str
    share: float
    unknown: float
    alike: float | None
    pieces: float | None

    @property
    def is_read(self) -> bool:
        """Whether the encoder tells the script's texts apart."""
        return self.unknown <= MOST_UNKNOWN and (self.alike is None or self.alike <= MOST_ALIKE)

    @property
    def warning(self) -> str:
        """What a shop must know; empty where the encoder knows script and language."""
        take = f"take a multilingual encoder, such as --encoder {KNOWN_ENCODER}"
        alike = "" if self.alike is None else f", unlike texts {self.alike:+.2f} more alike than English ones"
        if not self.is_read:
            return (
                f"the encoder does not know {self.script} script, {self.share:.0%} of the catalogue's letters "
                f"({self.unknown:.0%} unknown tokens{alike}): such queries are ordered by their words alone; {take}"
            )
        if self.pieces is not None and self.pieces > MOST_PIECES:
            return (
                f"the encoder hardly knows the catalogue's language: it reads a word in {self.pieces:.1f} pieces, "
                f"where 1.3 are usual; {take}"
            )
        return ""


def measure_scripts(texts: Sequence[str], tokenizer: Tokenizer, embed: Embed) -> list[ScriptKnowledge]:
    """Measures an encoder on each script of a shop, the most frequent first.

    Args:
        texts: What the encoder reads of the items.
        tokenizer: The encoder's.
        embed: Returns the L2-normalised vectors of texts, float32 `[texts, dim]`.
    """
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.no_padding()  # a file may ask for it, and every word would be as long as the longest text
    words: dict[str, list[str]] = {}
    for text in texts[:: max(1, len(texts) // _TEXTS)]:
        for script, run in script_runs(text):
            words.setdefault(script, []).append(run)
    letters = {script: sum(map(len, runs)) for script, runs in words.items()}
    total, english = sum(letters.values()), None
    measured = []
    for script in sorted(letters, key=lambda name: (-letters[name], name)):
        if letters[script] < LEAST_SHARE * total:
            continue
        alike, pieces = None, None
        if script == _LATIN:
            whole = [word for word in dict.fromkeys(words[script]) if len(word) >= _LEAST_LETTERS][:_WORDS]
            pieces = _count_tokens(whole, plain)[0] / len(whole) if len(whole) >= _LEAST_WORDS else None
        elif script in PHRASES:
            english = _likeness(PHRASES[_LATIN].split("|"), embed) if english is None else english
            alike = _likeness(PHRASES[script].split("|"), embed) - english
        tokens, unknown = _count_tokens(words[script][:_WORDS], plain)
        share = letters[script] / total
        measured.append(ScriptKnowledge(script, share, unknown / max(tokens, 1), alike, pieces))
    return measured


def unread_scripts(measured: Sequence[ScriptKnowledge]) -> tuple[str, ...]:
    """The scripts that the encoder does not know."""
    return tuple(known.script for known in measured if not known.is_read)


def _likeness(phrases: Sequence[str], embed: Embed) -> float:
    """The mean cosine of phrases with each other."""
    vectors = embed(phrases)
    return float((vectors @ vectors.T)[~np.eye(len(phrases), dtype=bool)].mean())


def _count_tokens(words: Sequence[str], tokenizer: Tokenizer) -> tuple[int, int]:
    """How many tokens words are, and how many of those are unknown."""
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(list(words), add_special_tokens=False)]
    unknown = unknown_token_id(tokenizer)
    return sum(map(len, encoded)), sum(ids.count(unknown) for ids in encoded if unknown is not None)


def unknown_token_id(tokenizer: Tokenizer) -> int | None:
    """The token that stands for what a tokenizer does not know; None where it has none."""
    model: dict[str, Any] = msgspec.json.decode(tokenizer.to_str())["model"]
    token = model.get("unk_token")
    if token is not None:
        found: int | None = tokenizer.token_to_id(token)
        return found
    return model.get("unk_id")
