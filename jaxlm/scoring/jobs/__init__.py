"""A corpus scored into Parquet parts, once each, by any number of processes; a job that stopped goes on."""

from jaxlm.scoring.jobs._finish import read_parts
from jaxlm.scoring.jobs._items import item_rows
from jaxlm.scoring.jobs._job import finish_writing, run_job
from jaxlm.scoring.jobs._job_config import JobConfig, JobFinished, JobProgress, RowScorer
from jaxlm.scoring.jobs._ray import run_ray_job, start_ray
from jaxlm.scoring.jobs._sources import Source, file_source
from jaxlm.scoring.jobs._vector_files import write_vectors

__all__ = [
    "JobConfig",
    "JobFinished",
    "JobProgress",
    "RowScorer",
    "Source",
    "file_source",
    "finish_writing",
    "item_rows",
    "read_parts",
    "run_job",
    "run_ray_job",
    "start_ray",
    "write_vectors",
]
