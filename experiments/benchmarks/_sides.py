"""Two programs that take turns: each keeps a process of its own, and only one of them works at a time."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
# What `keep_memory` sets in our process, for a peer that is given the same.
KEEP_MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:"
    "glibc.malloc.trim_threshold=68719476736:glibc.malloc.top_pad=268435456"
}


class Turn(NamedTuple):
    """What one turn of one side took: seconds, and the real tokens that it trained on."""

    seconds: float
    tokens: int


class Side:
    """A worker in a process of its own: started by a script, told by lines of JSON when to work.

    Args:
        name: what tables call it.
        script: a file beside this one, which ends in `serve(...)`.
        options: given to the script as one JSON argument.
        environment: variables beside those of this process.
        python: the interpreter, for a peer that wants other versions than this process has.
    """

    def __init__(
        self,
        name: str,
        script: str,
        options: dict,
        environment: dict | None = None,
        python: str = sys.executable,
    ) -> None:
        self.name, self.turns, self.failure, self.facts = name, [], None, {}
        paths = [os.environ.get("PYTHONPATH"), str(HERE.parents[1])]
        own = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self._command = [python, str(HERE / script), json.dumps(options)]
        self._environment = os.environ | own | (environment or {})
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts the process and lets it warm up, unless it runs."""
        if self._process is None and self.failure is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self._environment,
            )
            self.facts = self._answer() or self.facts

    def work(self, steps: int) -> None:
        """Lets the side do some steps and remembers what they took."""
        self.start()
        if self.failure is None:
            print(json.dumps({"steps": steps}), file=self._process.stdin, flush=True)
            answer = self._answer()
            if answer:
                self.turns.append(Turn(answer["seconds"] / steps, answer["tokens"] // steps))

    def ask(self) -> dict:
        """Returns what the side has to tell by now, if its script offers to."""
        if self._process is not None and self.failure is None:
            print(json.dumps({"tell": True}), file=self._process.stdin, flush=True)
            self.facts |= self._answer()
        return self.facts

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def rate(self) -> float:
        """Real tokens a second: all tokens by all seconds of a turn, the median over the turns."""
        return statistics.median(turn.tokens / turn.seconds for turn in self.turns)

    def _answer(self) -> dict:
        for line in self._process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                self.failure = answer.get("failure")
                return {} if self.failure else answer
        self.failure = self.failure or f"ended with exit code {self._process.wait()}"
        return {}


def alternate(
    sides: list[Side], rounds: int, steps: int, pause: float = 0.2, *, one_alive: bool = False
) -> None:
    """Lets the sides take turns: one unmeasured turn each, then `rounds` of `steps` steps.

    With `one_alive` a side's process ends with its turn, for sides that have no room in memory together.
    """
    for side in sides if not one_alive else ():
        side.start()
    for turn in range(1 if one_alive else 0, rounds + 1):
        for side in sides if turn % 2 else reversed(sides):
            time.sleep(pause)  # the threads of the side before stop spinning
            side.work(steps if turn else 1)
            if not turn:
                side.turns.clear()
            if one_alive:
                side.close()
        rates = (
            f"{side.name} {side.turns[-1].tokens / side.turns[-1].seconds:,.0f}"
            for side in sides
            if side.turns
        )
        print(f"  round {turn} of {rounds}: {'; '.join(rates) or 'warm'} tokens/s", file=sys.stderr)


def serve(start: Callable[[dict], tuple[Callable[[], int], dict]]) -> None:
    """Runs a worker: `start(options)` gives a step, which returns its real tokens, and facts to tell.

    Among the facts may be "warmup", steps before the first turn, and "tell", a function of facts for later.
    """
    try:
        step, facts = start(json.loads(sys.argv[1]))
        tell = facts.pop("tell", dict)
        for _ in range(facts.pop("warmup", 2)):
            step()
        print(json.dumps({"facts": True, **facts}), flush=True)
        for line in sys.stdin:
            told = json.loads(line)
            if "tell" in told:
                print(json.dumps(tell()), flush=True)
                continue
            steps = told["steps"]
            begun = time.perf_counter()
            tokens = sum(step() for _ in range(steps))
            print(json.dumps({"seconds": time.perf_counter() - begun, "tokens": tokens}), flush=True)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        print(json.dumps({"failure": f"{type(error).__name__}: {lines[0][:200]}"}), flush=True)
