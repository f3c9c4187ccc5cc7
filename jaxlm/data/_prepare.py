"""From a config to what training reads: a tokenizer trained on the train split, and a token cache a split."""

import functools
import hashlib
import importlib.metadata
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxlm import io, tokenizers
from jaxlm.data._config import DataConfig
from jaxlm.data._corpus import Corpus, find_corpus
from jaxlm.data._division import DIVISION_VERSION, CorpusDivision, plan_division, split_records
from jaxlm.data._splits import SPLITS, SplitName
from jaxlm.data.cache import (
    CACHE_FORMAT,
    CacheCounts,
    CacheWriter,
    EndTokens,
    TokenCache,
    ends_frame,
    nothing_to_mask,
    open_or_build,
)
from jaxlm.data.sources import CorpusError

LOG = logging.getLogger(__name__)
# Part of a trained tokenizer's fingerprint: raise it when the same texts would train another.
TRAINING_VERSION = 1
NO_COUNTS = {"ranked": 0, "blank": 0, "duplicates": 0, "modules": 0, "clusters": 0, "largest": 0}
DIVIDED_BY = (
    "validation_share",
    "test_share",
    "deduplicate",
    "split",
    "similarity",
    "group_pattern",
    "group_field",
    "label_pattern",
    "label_field",
    "label_kind",
    "window",
    "center_pattern",
)


class PreparedCorpus(NamedTuple):
    """A corpus ready to be trained on.

    Attributes:
      tokenizer: trained on the train split, or given.
      caches: the tokens of "train", "validation" and "test".
      notes: one line each of what the corpus is, and of everything that was left out.
      fingerprint: identifies the content of the caches: it is the same for the same corpus, division and
        tokenizer.
      label_names: where records are labelled with classes, their names: label 0 is the first. None where
        labels are numbers, or there are none.
    """

    tokenizer: tokenizers.Tokenizer
    caches: dict[SplitName, TokenCache]
    notes: list[str]
    fingerprint: str
    label_names: tuple[str, ...] | None = None


class _CacheMetadata(NamedTuple):
    """What is told of the caches: counts of what was left out or grouped, and the names of classes."""

    counts: dict[str, int]
    label_names: tuple[str, ...] | None


def prepare(
    data: DataConfig, tokenizer: tokenizers.TokenizerConfig, *, ends: EndTokens | None = None
) -> PreparedCorpus:
    """Returns tokenizer and caches, opened if an earlier call left them in the cache folder, else built.

    Args:
      data: the corpus and its division.
      tokenizer: which tokenizer; "auto" follows the corpus: bytecode and traces get instructions, FASTA
        residues, the rest subwords.
      ends: how records are opened and closed, as for `build_cache`; None: as `data.ends` says.

    Returns:
      What training reads.

    Raises:
      CorpusError: the corpus is missing, empty, unreadable, too small to divide or holds nothing that could
        be masked; it changed while it was read; or the cache cannot be written.
    """
    ends = data.ends if ends is None else ends
    corpus = find_corpus(data)
    division = functools.cache(functools.partial(plan_division, corpus, data))
    trained = _tokenizer(corpus, data, tokenizer, division)
    content = {"format": CACHE_FORMAT, "tokenizer": trained.fingerprint, "specials": trained.specials}
    content |= {"ends": ends} | _other_ends(ends_frame(trained, ends), trained, ends)
    fingerprint = _digest(corpus, data, content)

    def build(folder: Path) -> None:
        LOG.info("tokenising the corpus into %s", io.cache_root())
        about = _write_caches(folder, corpus, data, trained, division(), ends)
        corpus.check()
        (folder / "about.json").write_text(json.dumps(io.seal(about._asdict())), encoding="utf-8")

    caches, about = open_or_build(io.cache_root() / "tokens" / fingerprint[:32], build, _open_caches)
    notes = [*corpus.notes, *_notes(caches, about, data)]
    return PreparedCorpus(trained, caches, notes, fingerprint, about.label_names)


def _other_ends(
    frame: tokenizers.Frame, tokenizer: tokenizers.Tokenizer, ends: EndTokens
) -> dict[str, tokenizers.Frame]:
    """What a cache's name tells of its ends, where cls and sep would once have been taken in their place."""
    roles = tokenizer.specials
    first = [id for id in (roles.cls, roles.bos, roles.sep, roles.eos) if id is not None]
    last = [id for id in (roles.sep, roles.eos, roles.cls, roles.bos) if id is not None]
    is_known = ends is not True or frame == tokenizers.Frame(tuple(first[:1]), tuple(last[:1]))
    return {} if is_known else {"frame": frame}


def split_texts(data: DataConfig, split: SplitName) -> Iterator[str]:
    """Yields the texts of a split as they stand in the corpus, in the order of `prepare`'s cache.

    Args:
      data: the corpus and its division, as given to `prepare`.
      split: "train", "validation" or "test".

    Yields:
      The texts, those among them that `prepare` leaves out for holding only special tokens.

    Raises:
      CorpusError: as `prepare`.
    """
    corpus = find_corpus(data)
    for found, record in split_records(corpus, data, plan_division(corpus, data), Counter()):
        if found == split:
            yield record.text
    corpus.check()


def _tokenizer(
    corpus: Corpus,
    data: DataConfig,
    config: tokenizers.TokenizerConfig,
    division: Callable[[], CorpusDivision],
) -> tokenizers.Tokenizer:
    """The tokenizer that the config names, trained once for a corpus and its division."""
    kind = corpus.kind if config.kind == "auto" else config.kind
    if config.path is not None or kind in ("bytes", "residues"):
        return tokenizers.train_tokenizer([], config, kind)

    def build(folder: Path) -> None:
        LOG.info("training a tokenizer of kind %s on the train split", kind)
        records = split_records(corpus, data, division(), Counter())
        texts = (record.text for split, record in records if split == "train")
        texts = _with_pretokens(texts) if kind == "instructions" else texts
        tokenizers.train_tokenizer(texts, config, kind).save(folder / "tokenizer.json")
        corpus.check()
        io.seal_file(folder / "tokenizer.json")

    trainer = [TRAINING_VERSION, importlib.metadata.version("tokenizers")]
    asked = {"kind": kind, "vocab_size": config.vocab_size, "trainer": trainer}
    asked |= {"sentinels": config.sentinels} if config.sentinels else {}
    return open_or_build(
        io.cache_root() / "tokenizers" / _digest(corpus, data, asked)[:32], build, _open_tokenizer
    )


def _open_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    try:
        io.check_file(folder / "tokenizer.json")
        return tokenizers.load_tokenizer(str(folder))
    except (OSError, ValueError, RecursionError) as error:
        raise io.DamagedError(str(error)) from error


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


def _write_caches(
    folder: Path,
    corpus: Corpus,
    data: DataConfig,
    tokenizer: tokenizers.Tokenizer,
    division: CorpusDivision,
    ends: EndTokens,
) -> _CacheMetadata:
    left_out: Counter[str] = Counter(NO_COUNTS | division.counts)
    writers = {
        split: CacheWriter(folder / split, tokenizer, ends=ends, labelled=data.is_labelled)
        for split in SPLITS
    }
    for split, record in split_records(corpus, data, division, left_out):
        writers[split].add(record)
    for writer in writers.values():
        writer.finish()
    left_out["modules"] = corpus.left_out["modules"]
    _check_filled({split: writer.counts for split, writer in writers.items()})
    return _CacheMetadata(left_out, division.label_names)


def _check_filled(counts: dict[SplitName, CacheCounts]) -> None:
    special = sum(count.unmaskable + count.empty for count in counts.values())
    lacking = [split for split, count in counts.items() if not count.records]
    if len(lacking) == len(counts):
        raise CorpusError(nothing_to_mask(special))
    if lacking:
        raise CorpusError(
            f"no record is left for {' and '.join(lacking)}, {special:,} that hold only special tokens being "
            f"left out; give more records"
        )


def _open_caches(folder: Path) -> tuple[dict[SplitName, TokenCache], _CacheMetadata]:
    try:
        about = io.unseal(io.parse_json((folder / "about.json").read_text(encoding="utf-8")))
        names = about["label_names"]
        about = _CacheMetadata(NO_COUNTS | about["counts"], None if names is None else tuple(names))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise io.DamagedError(str(error)) from error
    return {split: TokenCache(folder / split) for split in SPLITS}, about


def _notes(caches: dict[SplitName, TokenCache], about: _CacheMetadata, data: DataConfig) -> list[str]:
    kept = ", ".join(f"{split} {len(cache):,} ({cache.num_tokens:,})" for split, cache in caches.items())
    total = CacheCounts(*map(sum, zip(*(cache.counts for cache in caches.values()), strict=True)))
    counts, empty = about.counts, about.counts["blank"] + total.empty
    share = total.unknown / total.tokens
    merged = "merged {:,} exact duplicates into one record each, with one label"
    merged = merged if data.is_labelled else "left out {:,} exact duplicates"
    said = [
        (counts["modules"], f"left out {counts['modules']:,} modules that this Python cannot read"),
        (counts["duplicates"], merged.format(counts["duplicates"])),
        (empty, f"left out {empty:,} empty records"),
        (total.unmaskable, f"left out {total.unmaskable:,} records in which nothing can be masked"),
        (total.unknown, f"{total.unknown:,} tokens ({share:.2%}) are unknown to the vocabulary"),
        (counts["ranked"], "the corpus is small: its splits were filled by rank, none left empty"),
        (
            counts["clusters"],
            f"{counts['clusters']:,} clusters of similar records, the largest of {counts['largest']:,}; none "
            f"crosses a split",
        ),
        (about.label_names, f"labels: {len(about.label_names or ()):,} classes"),
    ]
    return [f"records (tokens): {kept}", *[line for count, line in said if count]]


def _digest(corpus: Corpus, data: DataConfig, more: dict[str, Any]) -> str:
    """SHA-256 of what a cache's content depends on."""
    division = [corpus.fingerprint, DIVISION_VERSION, *(getattr(data, name) for name in DIVIDED_BY)]
    return hashlib.sha256(json.dumps([division, more]).encode()).hexdigest()
