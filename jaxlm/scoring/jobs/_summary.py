"""The summary of a job: totals of the corpus, and the distribution of each column, in constant memory."""

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
    """Totals and distributions of the tables of a job's parts.

    Quantiles and histograms are exact for up to 65,536 documents; for more, they are those of a sample of
    that many, which is a function of the documents' indices alone.

    Example:
      >>> import pyarrow as pa
      >>> from jaxlm.scoring.jobs._summary import Summary
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
        """Adds the rows of a part.

        Args:
          table: of the part, as `encode_part` writes it.
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
        """Returns the summary as JSON values."""
        commonest = sorted(self._errors.items(), key=lambda item: (-item[1], item[0]))
        return {
            "documents": self._documents,
            "errors": sum(self._errors.values()),
            "error_kinds": dict(commonest[:10]),
            "corpus": self._pooled.as_dict(),
            "columns": {name: spread.as_dict() for name, spread in self._columns.items()},
        }


class _ColumnStatistics:
    """Count, mean, variance and a sample of a column; NaN and infinity are left out and counted.

    `_mean` and `_deviations`, the sum of squared deviations from the mean, are those of the values minus the
    first value. The mean of squares minus the squared mean would lose all digits if the mean is large beside
    the standard deviation. Parts are merged as in Chan, Golub and LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances", 1979.
    """

    def __init__(self) -> None:
        self._count = self._left_out = 0
        self._sum = self._first = self._mean = self._deviations = 0.0
        self._low, self._high = math.inf, -math.inf
        self._keys, self._values = np.zeros(0, np.uint64), np.zeros(0)

    def add(self, values: np.ndarray, index: np.ndarray) -> None:
        is_finite = np.isfinite(values)
        self._left_out += int((~is_finite).sum())
        values, index = values[is_finite], index[is_finite]
        if not len(values):
            return
        self._first = self._first if self._count else float(values[0])
        self._merge(values - self._first)
        self._sum += float(values.sum())
        self._low, self._high = min(self._low, values.min()), max(self._high, values.max())
        keys = np.concatenate([self._keys, _hash_index(index)])
        sample = np.concatenate([self._values, values])
        if len(keys) > SAMPLE_SIZE:
            lowest = np.argpartition(keys, SAMPLE_SIZE)[:SAMPLE_SIZE]
            keys, sample = keys[lowest], sample[lowest]
        self._keys, self._values = keys, sample

    def _merge(self, values: np.ndarray) -> None:
        count, mean = len(values), float(values.mean())
        total = self._count + count
        delta = mean - self._mean
        within = float(np.square(values - mean).sum())
        self._deviations += within + delta * delta * (self._count / total) * count
        self._mean += delta * (count / total)
        self._count = total

    def as_dict(self) -> dict[str, Any]:
        counts_alone: dict[str, Any] = {"count": self._count, "missing": self._left_out}
        if not self._count:
            return counts_alone
        sample = np.sort(self._values)
        quantiles = np.quantile(sample, list(QUANTILES.values()))
        counts, edges = _histogram(sample)
        return counts_alone | {
            "sum": self._sum,
            "mean": self._first + self._mean,
            "std": math.sqrt(self._deviations / self._count),
            "min": float(self._low),
            **dict(zip(QUANTILES, map(float, quantiles), strict=True)),
            "max": float(self._high),
            "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
        }


class _CorpusTotals:
    """Sums over documents, whose ratios are the rates of the corpus, which means of rates are not.

    The column that is summed is the measure's log-likelihood: that whose metadata name its tokens' column, or
    that of its bytes.
    """

    def __init__(self) -> None:
        self._name: str | None = None
        self._unit = "token"
        self._nats = self._whole_nats = 0.0
        self._tokens = self._bytes = self._words = 0

    def add(self, table: pa.Table) -> None:
        field = next((field for field in table.schema if b"tokens" in (field.metadata or {})), None)
        if field is None:
            return
        name, tokens = field.name, field.metadata[b"tokens"].decode()
        self._name, self._unit = name, "byte" if tokens == "num_bytes" else "token"
        nats = _numbers(table, name) * (math.log(2.0) if field.metadata.get(b"unit") == b"bits" else 1.0)
        self._nats += float(np.nansum(nats))
        self._tokens += int(np.nansum(_numbers(table, tokens)))
        # Rates by word and byte need every token of a text: rows of texts without a first score have none.
        if "bits_per_byte" in table.column_names:
            whole = np.isfinite(_numbers(table, "bits_per_byte"))
            self._whole_nats += float(nats[whole].sum())
            self._bytes += int(_numbers(table, "num_bytes")[whole].sum())
            self._words += int(_numbers(table, "num_words")[whole].sum())

    def as_dict(self) -> dict[str, Any]:
        if self._name is None:
            return {}
        of_bytes = self._unit == "byte"
        totals: dict[str, Any] = {"scored_bytes" if of_bytes else "scored": self._tokens, "nats": self._nats}
        if self._tokens:
            totals[f"nats_per_{self._unit}"] = -self._nats / self._tokens
            totals["byte_perplexity" if of_bytes else "perplexity"] = _exp(-self._nats / self._tokens)
        if self._bytes:
            totals["bits_per_byte"] = -self._whole_nats / math.log(2.0) / self._bytes
        if self._words:
            totals["word_perplexity"] = _exp(-self._whole_nats / self._words)
        return totals


def summarize_tables(tables: Iterable[pa.Table]) -> dict[str, Any]:
    """Returns the summary of the tables of a job's parts, as JSON values.

    `corpus` has the rates of the whole corpus: perplexity is `exp(-sum of nats / sum of scored tokens)` over
    all documents. `columns` has, for each column of numbers, the count, mean, standard deviation, quantiles
    and a histogram over documents.

    Args:
      tables: of the parts, in order, as `encode_part` writes them.

    Example:
      >>> from jaxlm.scoring.jobs._summary import summarize_tables
      >>> summarize_tables([])["documents"]
      0
    """
    summary = Summary()
    for table in tables:
        summary.add(table)
    return summary.as_dict()


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """Returns the numbers of a column, NaN for null."""
    return table[name].to_numpy().astype(np.float64)


def _histogram(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns counts and edges; values are clipped to the 0.5th and the 99.5th percentile.

    Otherwise one outlier would put all other documents into a single bar.
    """
    low, high = np.quantile(sample, [0.005, 0.995])
    # A bar is at least as wide as the distance between neighbouring numbers of this size.
    least = HISTOGRAM_BINS * float(np.spacing(max(abs(low), abs(high))))
    if high - low < least:
        margin = max(least, 0.5) if low == high else least
        low, high = low - margin, high + margin
    return np.histogram(np.clip(sample, low, high), HISTOGRAM_BINS, (low, high))


def _hash_index(index: np.ndarray) -> np.ndarray:
    """Returns SplitMix64 hashes of indices: a document has the same one in every process."""
    mixed = index.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _kind(error: str) -> str:
    """Returns an error with N for its numbers (but UTF-8), so that equal causes are counted together."""
    return re.sub(r"0x[0-9a-f]+|(?<!UTF-)(?<!\d)\d+", "N", error)[:160]


def _exp(value: float) -> float | None:
    return math.exp(value) if value < 700 else None
