"""The number of this process among those of a cluster, found without depending on the others."""

import json
import os
import subprocess
import sys

from jaxlm.cli._failures import UsageError

# A process in JAX's coordination service waits for the others at its end, and is ended if one of them dies.
# So a child process joins the service, prints its number, and leaves; this process never joins.
CLUSTER_SCRIPT = """
import json, jax
jax.distributed.initialize()
found = [jax.process_index(), jax.process_count(), jax.config.read("jax_cuda_visible_devices")]
jax.distributed.shutdown()
print(json.dumps(found))
"""


def cluster_shard() -> tuple[int, int]:
    """Returns (i, n): this process is the i-th, from 1, of the n processes that `jax.distributed` finds.

    Restricts this process to its share of the machine's GPUs, as JAX divides them. The processes need each
    other at the start alone: later none waits for another or notices its end.

    Raises:
      UsageError: if there is no cluster, or not all of its processes arrive.
    """
    import jax

    command = [sys.executable, "-c", CLUSTER_SCRIPT]
    # The devices are for this process: the child must not open them.
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    if child.returncode:
        lines = [line for line in child.stderr.splitlines() if line.strip()]
        raise UsageError(
            f"--distributed: jax.distributed found no cluster (Slurm, Kubernetes, MPI, TPU): "
            f"{lines[-1][:300] if lines else f'exit {child.returncode}'}; name the shard instead, --shard i/n"
        )
    index, count, gpus = json.loads(child.stdout.splitlines()[-1])
    for name in ("jax_cuda_visible_devices", "jax_rocm_visible_devices"):
        jax.config.update(name, gpus)
    return index + 1, count
