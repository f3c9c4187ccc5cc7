"""What `import jaxlm` takes beyond `import jax`, and `jaxlm --help` from start to end, taking turns.

python experiments/benchmarks/import_time.py
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("corruption", "data", "decoding", "models", "ops", "pretrained", "reports", "tokenizers", "training")
EVERY_ROOM = ", ".join(f"jaxlm.{room}" for room in ROOMS)
COMMANDS = {
    "import jax": ["-c", "import jax"],
    "import jax, jaxlm": ["-c", "import jax, jaxlm"],
    "import jax and every room": ["-c", f"import jax, {EVERY_ROOM}"],
    "jaxlm --help": ["-m", "jaxlm", "--help"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    taken = {name: [] for name in COMMANDS}
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    for turn in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            command = [sys.executable, *arguments]
            begun = time.perf_counter()
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
            if turn:
                taken[name].append(time.perf_counter() - begun)
    for name, seconds in taken.items():
        print(f"{name:28s} {statistics.median(seconds):.2f} s (fastest {min(seconds):.2f})")
    for name in ("import jax, jaxlm", "import jax and every room"):
        beyond = statistics.median(taken[name]) - statistics.median(taken["import jax"])
        print(f"{name}: {beyond:.2f} s beyond import jax")


if __name__ == "__main__":
    main()
