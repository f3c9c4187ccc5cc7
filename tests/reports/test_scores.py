import io
import math

import matplotlib.image
import pyarrow as pa

from jaxlm import reports
from tests.scoring.fakes import run, source


def summary(tmp_path):
    return run(tmp_path).summary


def test_a_picture_of_what_was_found(tmp_path):
    found = summary(tmp_path)
    png = reports.histogram_png(found)
    pixels = matplotlib.image.imread(io.BytesIO(png))
    assert pixels.ndim == 3 and (pixels != pixels[0, 0]).any()
    assert reports.histogram_png(found) == png
    failed = {"columns": {"perplexity": {"count": 0, "missing": 3}}}
    assert reports.histogram_png(failed) is None


def test_a_row_a_column(tmp_path):
    table = reports.score_table(summary(tmp_path))
    assert [str(cell) for cell in table.columns[0].cells] == ["num_tokens", "num_scored", "log_likelihood"]
    nothing = {"columns": {"perplexity": {"count": 0, "missing": 3}}}
    assert reports.score_table(nothing).row_count == 0


def test_the_corpus_on_a_line(tmp_path):
    found = summary(tmp_path)
    said = reports.corpus_line(found)
    assert said.startswith("57 documents, ") and "1.5000 nats a token, perplexity 4.482" in said
    assert f"{1.5 / math.log(2):.4f} bits a token" in reports.corpus_line(found, base="2")
    of_bytes = {"scored_bytes": 1200, "nats_per_byte": 1.5, "byte_perplexity": 4.4817, "bits_per_byte": 2.164}
    counted = {"documents": 3, "errors": 0, "corpus": of_bytes}
    said = "3 documents; 1,200 scored bytes, 1.5000 nats a byte, byte perplexity 4.482, bits per byte 2.164"
    assert reports.corpus_line(counted) == said
    nothing = {"documents": 2, "errors": 2, "corpus": {}}
    assert reports.corpus_line(nothing) == "2 documents, 2 without a score"


def test_rankings_that_are_not_defined_are_blank():
    table = reports.ranking_table({"pllr": {"estimate": None, "low": None, "high": None}})
    assert [str(cell) for column in table.columns for cell in column.cells] == ["pllr", "", ""]


def test_more_columns_than_are_drawn(tmp_path):
    class Wide:
        def __init__(self):
            self.schema = pa.schema([(f"column_{n}", pa.float64()) for n in range(8)])
            self.description, self.work = {"measure": "wide"}, None

        def __call__(self, records):
            return ({f"column_{n}": float(n) for n in range(8)} for _ in records)

    assert reports.histogram_png(run(tmp_path, scorer=Wide(), corpus=source()).summary)
