"""Scorers and corpora that need no model."""

import pyarrow as pa

from jaxlm import data, scoring

TEXTS = [f"document {number} " + "word " * (number * 7 % 13) for number in range(57)]
RECORDS = [data.Record(f"a.txt:{number}", text, {}) for number, text in enumerate(TEXTS, start=1)]
POOLED = {"unit": "nats", "tokens": "num_scored"}
SMALL = scoring.JobConfig(part_documents=10, part_characters=400)


class Fake:
    """A pure function of the text; odd ones cannot be scored."""

    work = None
    schema = pa.schema(
        [
            pa.field("num_tokens", pa.int64()),
            pa.field("num_scored", pa.int64()),
            pa.field("log_likelihood", pa.float64(), metadata=POOLED),
            pa.field("token_log_probs", pa.list_(pa.float32()), metadata={"unit": "nats"}),
        ]
    )

    def __init__(self, **description):
        self.description = {"model": "none", "measure": "length"} | description
        self.seen = []

    def __call__(self, records):
        for record in records:
            self.seen.append(record.id)
            count = len(record.text.split())
            if count == 7:
                yield {"error": f"{count} words: expected others"}
            else:
                yield {
                    "num_tokens": count,
                    "num_scored": count,
                    "log_likelihood": -1.5 * count,
                    "token_log_probs": [None, *[-1.5] * min(count - 1, 100)],
                }


def source(records=RECORDS, **description):
    """The corpus of a list."""
    return scoring.Source(lambda: iter(records), {"name": "a list"} | description, lambda: len(records))


def run(out, *, config=SMALL, scorer=None, corpus=None):
    """The last event of a job."""
    *_, finished = scoring.run_job(
        Fake() if scorer is None else scorer, source() if corpus is None else corpus, str(out), config
    )
    return finished


def contents(folder):
    """Every file below a folder, by name; locks, which say nothing, are left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
