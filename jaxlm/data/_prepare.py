"""From a config to what training reads: a tokenizer trained on the train split, and a token cache a split."""

import hashlib
import importlib.metadata
import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxlm import tokenizers
from jaxlm.data._cache import TokenCache
from jaxlm.data._cache_writer import FORMAT, CacheWriter, Counts, nothing_to_mask
from jaxlm.data._config import DataConfig
from jaxlm.data._corpus import Corpus, find_corpus
from jaxlm.data._folders import DamagedError, cache_root, open_or_build
from jaxlm.data._records import CorpusError, Record
from jaxlm.data._splits import SPLITS, Split, plan_splits

LOG = logging.getLogger(__name__)
# Part of a trained tokenizer's fingerprint: raise it when the same texts would train another.
TRAINING = 1
LEFT_OUT = {"ranked": 0, "blank": 0, "duplicates": 0, "modules": 0}


class Prepared(NamedTuple):
    """A corpus ready to be trained on.

    Attributes:
        tokenizer: trained on the train split, or given.
        caches: the tokens of "train", "validation" and "test".
        notes: one line each of what the corpus is, and of everything that was left out.
        fingerprint: identifies the content of the caches: it is the same for the same corpus, division and
            tokenizer.
    """

    tokenizer: tokenizers.Tokenizer
    caches: dict[Split, TokenCache]
    notes: list[str]
    fingerprint: str


def prepare(data: DataConfig, tokenizer: tokenizers.TokenizerConfig) -> Prepared:
    """Returns tokenizer and caches, opened if an earlier call left them in the cache folder, else built.

    Args:
        data: the corpus and its division.
        tokenizer: which tokenizer; "auto" follows the corpus: bytecode and traces get instructions, FASTA
            residues, the rest subwords.

    Returns:
        What training reads.

    Raises:
        CorpusError: the corpus is missing, empty, unreadable, too small to divide or holds nothing that could
            be masked; or the cache cannot be written.
    """
    corpus = find_corpus(data)
    trained = _tokenizer(corpus, data, tokenizer)
    content = {"format": FORMAT, "tokenizer": trained.fingerprint, "specials": trained.specials}
    fingerprint = _digest(corpus, data, content)

    def build(folder: Path) -> None:
        LOG.info("tokenising the corpus into %s", cache_root())
        left_out = _write_caches(folder, corpus, data, trained)
        (folder / "left_out.json").write_text(json.dumps(left_out), encoding="utf-8")

    caches, left_out = open_or_build(cache_root() / "tokens" / fingerprint[:32], build, _open_caches)
    return Prepared(trained, caches, [*corpus.notes, *_notes(caches, left_out)], fingerprint)


def _tokenizer(corpus: Corpus, data: DataConfig, config: tokenizers.TokenizerConfig) -> tokenizers.Tokenizer:
    """The tokenizer that the config names, trained once for a corpus and its division."""
    kind = corpus.kind if config.kind == "auto" else config.kind
    if config.path is not None or kind in ("bytes", "residues"):
        return tokenizers.train_tokenizer([], config, kind)

    def build(folder: Path) -> None:
        LOG.info("training a tokenizer of kind %s on the train split", kind)
        texts = (record.text for split, record in _divided(corpus, data, Counter()) if split == "train")
        texts = _with_pretokens(texts) if kind == "instructions" else texts
        tokenizers.train_tokenizer(texts, config, kind).save(folder / "tokenizer.json")

    def open_it(folder: Path) -> tokenizers.Tokenizer:
        try:
            return tokenizers.load(str(folder))
        except (OSError, ValueError) as error:
            raise DamagedError(str(error)) from error

    trainer = [TRAINING, importlib.metadata.version("tokenizers")]
    asked = {"kind": kind, "vocab_size": config.vocab_size, "trainer": trainer}
    return open_or_build(cache_root() / "tokenizers" / _digest(corpus, data, asked)[:32], build, open_it)


def _with_pretokens(texts: Iterator[str]) -> Iterator[str]:
    """The same traces; an error at their end if they hold nothing but specials."""
    number, found = 0, False
    for text in texts:
        number += 1
        found = found or not set(text.split()).issubset(tokenizers.INSTRUCTION_SPECIALS)
        yield text
    if not found:
        raise CorpusError(
            f"nothing to train a tokenizer on: expected traces of instructions in the train split, found no "
            f"pretoken but specials in its {number:,} records; give traces with instructions"
        )


def _divided(corpus: Corpus, data: DataConfig, left_out: Counter[str]) -> Iterator[tuple[Split, Record]]:
    """Every record that is kept, with its split; counts the others by their reason."""
    with_text = (record for record in corpus.records() if record.text.strip())
    splits = plan_splits(with_text, data.validation_share, data.test_share)
    left_out["ranked"] = int(bool(splits.assigned))
    seen: set[bytes] = set()
    for record in corpus.records():
        text = record.text.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, digest_size=16).digest()
        if not text.strip():
            left_out["blank"] += 1
        elif data.deduplicate and digest in seen:
            left_out["duplicates"] += 1
        else:
            if data.deduplicate:
                seen.add(digest)
            yield splits.of(record), record


def _write_caches(
    folder: Path, corpus: Corpus, data: DataConfig, tokenizer: tokenizers.Tokenizer
) -> Counter[str]:
    left_out: Counter[str] = Counter(LEFT_OUT)
    writers = {split: CacheWriter(folder / split, tokenizer) for split in SPLITS}
    for split, record in _divided(corpus, data, left_out):
        writers[split].add(record)
    for writer in writers.values():
        writer.finish()
    left_out["modules"] = corpus.left_out["modules"]
    _check_filled({split: writer.counts for split, writer in writers.items()})
    return left_out


def _check_filled(counts: dict[Split, Counts]) -> None:
    special = sum(count.unmaskable + count.empty for count in counts.values())
    lacking = [split for split, count in counts.items() if not count.records]
    if len(lacking) == len(counts):
        raise CorpusError(nothing_to_mask(special))
    if lacking:
        raise CorpusError(
            f"no record is left for {' and '.join(lacking)}, {special:,} that hold only special tokens being "
            f"left out; give more records"
        )


def _open_caches(folder: Path) -> tuple[dict[Split, TokenCache], dict[str, int]]:
    try:
        left_out = json.loads((folder / "left_out.json").read_text(encoding="utf-8"))
        left_out = LEFT_OUT | left_out
    except (OSError, ValueError, TypeError) as error:
        raise DamagedError(str(error)) from error
    return {split: TokenCache(folder / split) for split in SPLITS}, left_out


def _notes(caches: dict[Split, TokenCache], left_out: dict[str, int]) -> list[str]:
    kept = ", ".join(f"{split} {len(cache):,} ({cache.num_tokens:,})" for split, cache in caches.items())
    total = Counts(*map(sum, zip(*(cache.counts for cache in caches.values()), strict=True)))
    empty = left_out["blank"] + total.empty
    share = total.unknown / total.tokens
    said = [
        (left_out["modules"], f"left out {left_out['modules']:,} modules that this Python cannot compile"),
        (left_out["duplicates"], f"left out {left_out['duplicates']:,} exact duplicates"),
        (empty, f"left out {empty:,} empty records"),
        (total.unmaskable, f"left out {total.unmaskable:,} records in which nothing can be masked"),
        (total.unknown, f"{total.unknown:,} tokens ({share:.2%}) are unknown to the vocabulary"),
        (left_out["ranked"], "the corpus is small: its splits were filled by rank, none left empty"),
    ]
    return [f"records (tokens): {kept}", *[line for count, line in said if count]]


def _digest(corpus: Corpus, data: DataConfig, more: dict[str, Any]) -> str:
    """SHA-256 of what a cache's content depends on."""
    division = [corpus.fingerprint, data.validation_share, data.test_share, data.deduplicate]
    return hashlib.sha256(json.dumps([division, more]).encode()).hexdigest()
