"""Greedy decoding of a GPT-2 of 124M random parameters: ours against transformers' generate, taking turns.

    python experiments/benchmarks/generation.py        # 128 tokens, batch 1 and 8, then a prefill of 512
    python experiments/benchmarks/generation.py --device cuda --batches 1 8 64
    python experiments/benchmarks/generation.py --small --rounds 1 --new 8     # a smoke test

At each batch the ratio is of our better dtype to torch's better dtype. Bandwidth is that of reading one large
array, measured in the same run; a step's share of it is the bytes it has to read (`_generation_shape.py`).
The last part is the time from starting `jaxlm next` on such a model to its answer, programs compiled before.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _generation_shape import SMALL, Shape, step_bytes
from _machine import describe
from _sides import Side, alternate

DTYPES = ("float32", "bfloat16")
BYTES = {"float32": 4, "bfloat16": 2}


def main() -> None:
    options = arguments()
    shape = SMALL if options.small else Shape()
    machine = describe() | {"read_bytes_per_second": round(bandwidth(options.device))}
    print(json.dumps(machine))
    results = [decode(options, shape, batch, machine["read_bytes_per_second"]) for batch in options.batches]
    results += [prefill(options, shape)]
    if not options.no_command:
        results.append(answer(shape))
    if options.out:
        Path(options.out).write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--prompt", type=int, default=16, help="tokens of each prompt that is gone on from")
    parser.add_argument("--new", type=int, default=128, help="tokens that are generated")
    parser.add_argument("--prefill", type=int, default=512, help="tokens of the prompt that is only read")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a tiny shape, to see that all runs")
    parser.add_argument("--no-command", action="store_true", help="leave `jaxlm next` out")
    parser.add_argument("--out", help="a JSON file for everything")
    return parser.parse_args()


def bandwidth(device: str, megabytes: int = 512, times: int = 7) -> float:
    """Returns the bytes a second at which torch sums one large float32 array, the best of several times."""
    import torch

    array = torch.ones(megabytes * 2**18, device=device)
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        float(array.sum())
        seconds.append(time.perf_counter() - begun)
    return array.numel() * 4 / min(seconds)


def sides(options: argparse.Namespace, shape: Shape, **task) -> list[Side]:
    """Both programs in both dtypes, turn by turn."""
    variables = {"JAX_PLATFORMS": options.device, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    both = [
        Side(
            f"{name} {dtype}",
            script,
            {"shape": shape, "dtype": dtype, "device": options.device, "new": options.new} | task,
            variables if name == "jaxlm" else {},
        )
        for dtype in DTYPES
        for name, script in (("jaxlm", "_generation_jaxlm.py"), ("torch", "_generation_torch.py"))
    ]
    alternate(both, options.rounds, 1, one_alive=False)
    for side in both:
        side.close()
    for side in both:
        if side.failure:
            raise SystemExit(f"{side.name} did not run: {side.failure}")
    return both


def decode(options: argparse.Namespace, shape: Shape, batch: int, read_rate: float) -> dict:
    """Tokens a second of a batch, the ratio of the better dtypes, and the share of the bandwidth."""
    print(f"\ngreedy, {options.new} tokens after {options.prompt}, batch {batch}")
    rates = {
        side.name: side.rate()
        for side in sides(options, shape, task="generate", batch=batch, prompt=options.prompt)
    }
    shares = {}
    for name, rate in rates.items():
        needed = step_bytes(shape, batch, options.prompt + options.new / 2, BYTES[name.split()[1]])
        shares[name] = needed * rate / batch / read_rate
        share = f"{100 * shares[name]:5.1f} % of {read_rate / 1e9:.1f} GB/s"
        print(f"  {name:16s} {rate:9.1f} tokens/s   {share}")
    ratio = better(rates, "jaxlm") / better(rates, "torch")
    print(f"  ratio of the better dtypes: {ratio:.2f}x")
    return {"task": "generate", "batch": batch, "rates": rates, "shares": shares, "ratio": round(ratio, 3)}


def prefill(options: argparse.Namespace, shape: Shape) -> dict:
    """Seconds to read a prompt, and the ratio in each dtype."""
    length = min(options.prefill, shape.context - options.new)
    print(f"\nprefill of {length} tokens")
    rates = {side.name: side.rate() for side in sides(options, shape, task="prefill", batch=1, prompt=length)}
    for name, rate in rates.items():
        print(f"  {name:16s} {length / rate:8.3f} s")
    ratios = {dtype: rates[f"jaxlm {dtype}"] / rates[f"torch {dtype}"] for dtype in DTYPES}
    print("  ratio: " + ", ".join(f"{dtype} {ratio:.2f}x" for dtype, ratio in ratios.items()))
    seconds = {name: length / rate for name, rate in rates.items()}
    return {"task": "prefill", "length": length, "seconds": seconds, "ratios": ratios}


def better(rates: dict[str, float], name: str) -> float:
    return max(rate for side, rate in rates.items() if side.startswith(name))


def answer(shape: Shape) -> dict:
    """Seconds of `jaxlm next` as a process, the first of several runs compiling."""
    with tempfile.TemporaryDirectory() as folder:
        save(shape, folder)
        command = [sys.executable, "-m", "jaxlm", "next", f"{folder}/model", "To be or not to", "--json"]
        environment = os.environ | {"JAXLM_CACHE": f"{folder}/cache"}
        seconds = []
        for _ in range(4):
            begun = time.perf_counter()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - begun)
    print(f"\njaxlm next: {seconds[0]:.1f} s compiling, then {min(seconds[1:]):.1f} s")
    return {"task": "next", "seconds": seconds}


def save(shape: Shape, folder: str) -> None:
    """A process of its own, so that the parameters do not stay in this one's memory."""
    code = (
        "import sys; sys.argv[1:] = []; import _sides; _sides.serve = lambda start: None\n"
        "from _generation_jaxlm import random_model; from _generation_shape import Shape\n"
        "from jaxlm import pretrained, tokenizers\n"
        f"model, params = random_model(Shape(*{tuple(shape)}), 'float32')\n"
        f"pretrained.save_model({folder + '/model'!r}, model.config, params, tokenizers.bytes_tokenizer(), "
        "kind='causal_lm')\n"
    )
    here = str(Path(__file__).resolve().parent)
    paths = os.pathsep.join(filter(None, [here, str(Path(here).parents[1]), os.environ.get("PYTHONPATH")]))
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, check=True)


if __name__ == "__main__":
    main()
