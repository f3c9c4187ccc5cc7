"""From a config to the input of training: a tokenizer, and a token cache for each split."""

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
# Part of a trained tokenizer's fingerprint: increase it when the same texts train another tokenizer.
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
    """A tokenised corpus, ready for training.

    Attributes:
      tokenizer: the tokenizer, trained on the train split unless the config names a finished one.
      caches: the tokens of each split, under the keys "train", "validation" and "test".
      notes: lines for the log, which say what the corpus is and which records were left out.
      fingerprint: a string that identifies the content of the caches. It is the same for the same corpus,
        division and tokenizer.
      label_names: the names of the classes that records are labelled with, in the order of their numbers;
        None: labels are numbers, or records have no labels.
    """

    tokenizer: tokenizers.Tokenizer
    caches: dict[SplitName, TokenCache]
    notes: list[str]
    fingerprint: str
    label_names: tuple[str, ...] | None = None


class _CacheMetadata(NamedTuple):
    """What is stored beside the caches: counts for the notes, and the names of the classes."""

    counts: dict[str, int]
    label_names: tuple[str, ...] | None


def prepare(
    data: DataConfig, tokenizer: tokenizers.TokenizerConfig, *, ends: EndTokens | None = None
) -> PreparedCorpus:
    """Returns a tokenised corpus, which is opened if it is in the cache folder already, and else built.

    The cache folder is `$JAXLM_CACHE`, or else jaxlm's folder in the user's cache folder (see
    `io.cache_root`).

    Args:
      data: which corpus to read, and how it is divided into splits.
      tokenizer: which tokenizer to use. The kind "auto" chooses by the corpus: "instructions" for bytecode
        and instruction traces, "residues" for FASTA, and "subwords" for all other corpora.
      ends: the opening and closing tokens that each record gets: True adds those of the tokenizer, "file"
        those that its file puts around a text, False none, and a `Frame` the ids that it holds. None:
        `data.ends` decides.

    Returns:
      The tokenizer, the caches of the splits, and lines for the log.

    Raises:
      CorpusError: the corpus is missing, empty, unreadable or too small to divide; it holds nothing that can
        be masked; it changed while it was read; or the folder of the cache cannot be written.
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
    """What the fingerprint says of ends for which earlier versions took other tokens, cls and sep."""
    roles = tokenizer.specials
    first = [id for id in (roles.cls, roles.bos, roles.sep, roles.eos) if id is not None]
    last = [id for id in (roles.sep, roles.eos, roles.cls, roles.bos) if id is not None]
    is_known = ends is not True or frame == tokenizers.Frame(tuple(first[:1]), tuple(last[:1]))
    return {} if is_known else {"frame": frame}


def split_texts(data: DataConfig, split: SplitName) -> Iterator[str]:
    """Yields the unchanged texts of a split, in the order in which `prepare` stores their tokens.

    Args:
      data: which corpus to read, and how it is divided into splits; the config that was given to `prepare`.
      split: "train", "validation" or "test".

    Yields:
      The texts of the split, including texts of special tokens alone, which `prepare` leaves out.

    Raises:
      CorpusError: the corpus is missing, empty, unreadable or too small to divide, or changed while it was
        read.
    """
    corpus = find_corpus(data)
    for record_split, record in split_records(corpus, data, plan_division(corpus, data), Counter()):
        if record_split == split:
            yield record.text
    corpus.check()


def _tokenizer(
    corpus: Corpus,
    data: DataConfig,
    config: tokenizers.TokenizerConfig,
    division: Callable[[], CorpusDivision],
) -> tokenizers.Tokenizer:
    """The tokenizer of the config; it is trained once for a corpus and its division."""
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
    content = {"kind": kind, "vocab_size": config.vocab_size, "trainer": trainer}
    content |= {"sentinels": config.sentinels} if config.sentinels else {}
    return open_or_build(
        io.cache_root() / "tokenizers" / _digest(corpus, data, content)[:32], build, _open_tokenizer
    )


def _open_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    try:
        io.check_file(folder / "tokenizer.json")
        return tokenizers.load_tokenizer(str(folder))
    except (OSError, ValueError, RecursionError) as error:
        raise io.DamagedError(str(error)) from error


def _with_pretokens(texts: Iterator[str]) -> Iterator[str]:
    """The same traces, and an error at the end if they hold nothing but special tokens."""
    number, has_pretokens = 0, False
    for text in texts:
        number += 1
        has_pretokens = has_pretokens or not set(text.split()).issubset(tokenizers.INSTRUCTION_SPECIALS)
        yield text
    if not has_pretokens:
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
    writers: dict[SplitName, CacheWriter] = {
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
    num_special = sum(count.unmaskable + count.empty for count in counts.values())
    lacking = [split for split, count in counts.items() if not count.records]
    if len(lacking) == len(counts):
        raise CorpusError(nothing_to_mask(num_special))
    if lacking:
        raise CorpusError(
            f"no record is left for {' and '.join(lacking)}, {num_special:,} that hold only special tokens "
            f"being left out; give more records"
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
    lines = [
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
    return [f"records (tokens): {kept}", *[line for count, line in lines if count]]


def _digest(corpus: Corpus, data: DataConfig, more: dict[str, Any]) -> str:
    """SHA-256 of everything that a cache's content depends on."""
    division = [corpus.fingerprint, DIVISION_VERSION, *(getattr(data, name) for name in DIVIDED_BY)]
    return hashlib.sha256(json.dumps([division, more]).encode()).hexdigest()
