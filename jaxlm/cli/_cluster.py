"""Which of a cluster's processes this one is, without being tied to the others."""

import json
import os
import subprocess
import sys

from jaxlm.cli._failures import UsageError

# Whoever stays in JAX's coordination service waits for the others when it ends, and is ended when one of them
# dies. So a child joins, looks, and leaves, and nothing of it is in this process.
CLUSTER_SCRIPT = """
import json, jax
jax.distributed.initialize()
found = [jax.process_index(), jax.process_count(), jax.config.read("jax_cuda_visible_devices")]
jax.distributed.shutdown()
print(json.dumps(found))
"""


def cluster_shard() -> tuple[int, int]:
    """Returns (i, n): this is the i-th, from 1, of the n processes that `jax.distributed` finds.

    Takes to itself the GPUs that JAX gives each process of one machine. The processes find each other at the
    start, and from then on none waits for another or notices when it is gone.

    Raises:
      UsageError: if there is no cluster, or not all of its processes come.
    """
    import jax

    command = [sys.executable, "-c", CLUSTER_SCRIPT]
    # The devices are this process's: the child looks for none.
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    looked = subprocess.run(command, env=environment, capture_output=True, text=True)
    if looked.returncode:
        said = [line for line in looked.stderr.splitlines() if line.strip()]
        raise UsageError(
            f"--distributed: jax.distributed found no cluster (Slurm, Kubernetes, MPI, TPU): "
            f"{said[-1][:300] if said else f'exit {looked.returncode}'}; name the shard instead, --shard i/n"
        )
    index, count, gpus = json.loads(looked.stdout.splitlines()[-1])
    for name in ("jax_cuda_visible_devices", "jax_rocm_visible_devices"):
        jax.config.update(name, gpus)
    return index + 1, count
