"""Files with a flipped bit, and jobs as older versions left them."""

import json
import random

import pyarrow.parquet as pq


def flips(folder, names, count, *, seed=0):
    """Yields the name of a file with one bit flipped, so many times; each is put right afterwards."""
    draw = random.Random(seed)
    for _ in range(count):
        name = draw.choice(names)
        payload = (folder / name).read_bytes()
        flip(folder / name, draw.randrange(8 * len(payload)))
        yield name
        (folder / name).write_bytes(payload)


def flip(path, bit):
    """Flips one bit of a file."""
    payload = bytearray(path.read_bytes())
    payload[bit // 8] ^= 1 << bit % 8
    path.write_bytes(payload)


def unseal_job(folder):
    """Takes all checksums out of a job's files, which older versions had only in the manifest."""
    for path in folder.glob("*.json"):
        values = json.loads(path.read_bytes())
        values.pop("sha256", None)
        path.write_text(json.dumps(values))
    for path in folder.glob("parts/part-*.parquet"):
        pq.write_table(pq.read_table(path), path, compression="zstd")
