"""Our side of `scoring.py`: `scoring.Scorer` on the pieces of a turn."""

import time
from pathlib import Path

from _scoring_models import turns
from _sides import serve


def start(options: dict):
    """Returns a step, which scores a turn's pieces, and what there is to tell."""
    from jaxlm.devices import keep_memory

    keep_memory()
    import jax

    from jaxlm import data, pretrained, scoring

    dtype = options["dtype"]
    loaded = pretrained.load(options["folder"], dtype=dtype)
    config = scoring.EngineConfig(row_length=options["row"], rows=options["rows"])
    name = "log-likelihood" if loaded.kind.name == "causal_lm" else "pseudo-log-likelihood"
    scorer = scoring.make_scorer(loaded, name, config)
    column = name.replace("-", "_")
    later = turns(options["folder"], options["tokens"])
    totals = []

    def step() -> int:
        pieces = next(later)
        records = (data.Record(str(number), piece["text"], {}) for number, piece in enumerate(pieces))
        rows = list(scorer(records))
        totals.append([row[column] for row in rows])
        return sum(piece["tokens"] for piece in pieces)

    def tell() -> dict:
        work = scorer.work
        return {
            "totals": totals,
            "padding_share": work.padding_share,
            "read": work.tokens,
            "asked": work.scored,
            "traces": work.traces,
            "row": scorer.engine.config.row_length,
            "rows": scorer.engine.config.rows,
            "tile": scorer.engine.config.tile,
            "peak_bytes": peak_memory(),
            "param_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(loaded.params)),
        }

    ceiling = product_ceiling(dtype, jax)
    return step, {"warmup": 0, "device": jax.local_devices()[0].device_kind, "ceiling": ceiling, "tell": tell}


def peak_memory() -> int:
    """The most bytes that this process has had in memory; `getrusage` begins at what its parent had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def product_ceiling(dtype: str, jax, size: int = 2048, times: int = 5) -> float:
    """The FLOP/s of the fastest of several products of large square matrices."""
    import jax.numpy as jnp

    from jaxlm import ops

    one = jnp.ones((size, size), jnp.dtype(dtype))
    linear = jax.jit(ops.linear)
    linear(one, one).block_until_ready()
    best = float("inf")
    for _ in range(times):
        begun = time.perf_counter()
        linear(one, one).block_until_ready()
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


serve(start)
