"""What a job's rows come to: pooled over the corpus, and how each column is spread; in flat memory."""

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from jaxlm.scoring.jobs._kept_columns import is_kept

SAMPLE_SIZE, HISTOGRAM_BINS, MOST_ERROR_KINDS = 1 << 16, 60, 1000
QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


class Summary:
    """Takes the tables of a job's parts and knows their totals and spreads.

    Quantiles and histograms are exact up to 65,536 documents; of more, they are those of a sample that
    depends on documents' indices alone.

    Example:
      >>> summary = Summary()
      >>> summary.add(pa.table({"index": [0, 1], "id": ["a", "b"], "n": [1.0, 3.0], "error": [None, None]}))
      >>> summary.as_dict()["columns"]["n"]["mean"]
      2.0
    """

    def __init__(self) -> None:
        self._documents = 0
        self._errors: dict[str, int] = {}
        self._columns: dict[str, _ColumnStatistics] = {}
        self._pooled = _CorpusTotals()

    def add(self, table: pa.Table) -> None:
        """Takes the rows of a part.

        Args:
          table: as `encode_part` writes it.
        """
        self._documents += table.num_rows
        for error in table["error"].drop_null().to_pylist():
            kind = _kind(error)
            kind = kind if kind in self._errors or len(self._errors) < MOST_ERROR_KINDS else "others"
            self._errors[kind] = self._errors.get(kind, 0) + 1
        index = table["index"].to_numpy()
        for field in table.schema:
            is_number = pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
            if is_number and field.name != "index" and not is_kept(field):
                values = table[field.name].to_numpy().astype(np.float64)
                self._columns.setdefault(field.name, _ColumnStatistics()).add(values, index)
        self._pooled.add(table)

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values."""
        commonest = sorted(self._errors.items(), key=lambda item: (-item[1], item[0]))
        return {
            "documents": self._documents,
            "errors": sum(self._errors.values()),
            "error_kinds": dict(commonest[:10]),
            "corpus": self._pooled.as_dict(),
            "columns": {name: spread.as_dict() for name, spread in self._columns.items()},
        }


class _ColumnStatistics:
    """Count, moments and a sample of a column; NaN and infinity are left out and counted.

    `_deviations` is the sum of squared deviations from the mean so far, both of the values less the first of
    them: a mean of squares less the square of a mean has no digits left where the mean is large beside the
    spread. Parts are merged as in Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", 1979.
    """

    def __init__(self) -> None:
        self._count, self._left_out = 0, 0
        self._sum, self._first, self._mean, self._deviations = 0.0, 0.0, 0.0, 0.0
        self._low, self._high = math.inf, -math.inf
        self._keys, self._values = np.zeros(0, np.uint64), np.zeros(0)

    def add(self, values: np.ndarray, index: np.ndarray) -> None:
        known = np.isfinite(values)
        self._left_out += int((~known).sum())
        values, index = values[known], index[known]
        if not len(values):
            return
        self._first = self._first if self._count else float(values[0])
        self._merge(values - self._first)
        self._sum += float(values.sum())
        self._low, self._high = min(self._low, values.min()), max(self._high, values.max())
        keys = np.concatenate([self._keys, _hash_index(index)])
        kept = np.concatenate([self._values, values])
        if len(keys) > SAMPLE_SIZE:
            first = np.argpartition(keys, SAMPLE_SIZE)[:SAMPLE_SIZE]
            keys, kept = keys[first], kept[first]
        self._keys, self._values = keys, kept

    def _merge(self, values: np.ndarray) -> None:
        count, mean = len(values), float(values.mean())
        total = self._count + count
        apart = mean - self._mean
        within = float(np.square(values - mean).sum())
        self._deviations += within + apart * apart * (self._count / total) * count
        self._mean += apart * (count / total)
        self._count = total

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"count": self._count, "missing": self._left_out}
        if not self._count:
            return found
        sample = np.sort(self._values)
        quantiles = np.quantile(sample, list(QUANTILES.values()))
        counts, edges = _histogram(sample)
        return found | {
            "sum": self._sum,
            "mean": self._first + self._mean,
            "std": math.sqrt(self._deviations / self._count),
            "min": float(self._low),
            **dict(zip(QUANTILES, map(float, quantiles), strict=True)),
            "max": float(self._high),
            "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
        }


class _CorpusTotals:
    """Sums over documents, from which rates of the corpus follow: not means of documents' rates.

    What is summed is the column whose metadata name its tokens, the measure's log-likelihood.
    """

    def __init__(self) -> None:
        self._name: str | None = None
        self._nats = self._whole_nats = 0.0
        self._tokens = self._bytes = self._words = 0

    def add(self, table: pa.Table) -> None:
        field = next((one for one in table.schema if b"tokens" in (one.metadata or {})), None)
        if field is None:
            return
        name, tokens = field.name, field.metadata[b"tokens"].decode()
        self._name = name
        nats = _known(table, name) * (math.log(2.0) if field.metadata.get(b"unit") == b"bits" else 1.0)
        self._nats += float(np.nansum(nats))
        self._tokens += int(np.nansum(_known(table, tokens)))
        # Rates by word and byte are of documents scored from their first token on, as the row says.
        if "bits_per_byte" in table.column_names:
            whole = np.isfinite(_known(table, "bits_per_byte"))
            self._whole_nats += float(nats[whole].sum())
            self._bytes += int(_known(table, "num_bytes")[whole].sum())
            self._words += int(_known(table, "num_words")[whole].sum())

    def as_dict(self) -> dict[str, Any]:
        if self._name is None:
            return {}
        found: dict[str, Any] = {"scored": self._tokens, "nats": self._nats}
        if self._tokens:
            found["nats_per_token"] = -self._nats / self._tokens
            found["perplexity"] = _exp(-self._nats / self._tokens)
        if self._bytes:
            found["bits_per_byte"] = -self._whole_nats / math.log(2.0) / self._bytes
        if self._words:
            found["word_perplexity"] = _exp(-self._whole_nats / self._words)
        return found


def summarize_tables(tables: Iterable[pa.Table]) -> dict[str, Any]:
    """Returns the summary of the tables of a job's parts, as JSON values.

    `corpus` is pooled: perplexity is `exp(-sum of nats / sum of scored tokens)` over all documents. `columns`
    has count, mean, standard deviation, quantiles and a histogram a number column, of documents.

    Args:
      tables: in order, as `encode_part` writes them.

    Example:
      >>> summarize_tables([])["documents"]
      0
    """
    summary = Summary()
    for table in tables:
        summary.add(table)
    return summary.as_dict()


def _known(table: pa.Table, name: str) -> np.ndarray:
    """A column's numbers, NaN where there is none."""
    return table[name].to_numpy().astype(np.float64)


def _histogram(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts between the sample's hundredths, so that one odd document does not make a single bar of all."""
    low, high = np.quantile(sample, [0.005, 0.995])
    # A bar is as wide as numbers of this size can tell apart, at least.
    least = HISTOGRAM_BINS * float(np.spacing(max(abs(low), abs(high))))
    if high - low < least:
        room = max(least, 0.5) if low == high else least
        low, high = low - room, high + room
    return np.histogram(np.clip(sample, low, high), HISTOGRAM_BINS, (low, high))


def _hash_index(index: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser: the same index is in every sample, and neighbours are not."""
    mixed = index.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _kind(error: str) -> str:
    """An error without its numbers and places, so that its like are counted together; UTF-8 is a name."""
    return re.sub(r"0x[0-9a-f]+|(?<!UTF-)(?<!\d)\d+", "N", error)[:160]


def _exp(value: float) -> float | None:
    return math.exp(value) if value < 700 else None
