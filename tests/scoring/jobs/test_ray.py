"""A local Ray scores a corpus, one of its actors is killed in the middle, and the files are the same."""

import functools
import os
import signal
from pathlib import Path

import pytest

from jaxlm import data, scoring
from jaxlm.scoring.engine._engine_config import WorkCounts
from tests.scoring.fakes import RECORDS, SMALL, Fake, contents, run, source

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

ROOT = Path(__file__).parents[3]


class Working(Fake):
    """Half of what it computes is padding."""

    @property
    def work(self):
        return WorkCounts(tokens=len(self.seen), positions=2 * len(self.seen))


class Mortal(Working):
    """Kills its own process once, in the middle of a part."""

    def __init__(self, grave):
        super().__init__()
        self._grave = Path(grave)

    def __call__(self, records):
        for number, row in enumerate(super().__call__(records)):
            if number == 3 and not self._grave.exists():
                self._grave.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield row


@pytest.fixture(scope="module", autouse=True)
def cluster():
    environment = {"env_vars": {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield
    ray.shutdown()


def run_ray(out, make=Fake, corpus=None, config=SMALL):
    corpus = source() if corpus is None else corpus
    *_, finished = scoring.run_ray_job(make, corpus, str(out), config, actors=2)
    return finished


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_an_actor_is_killed_and_the_files_are_the_same(tmp_path):
    run(tmp_path / "local")
    finished = run_ray(tmp_path / "ray", functools.partial(Mortal, tmp_path / "grave"))
    assert (tmp_path / "grave").exists()
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert finished.progress.documents == finished.summary["documents"] == len(RECORDS)
    assert finished.progress.padding_share == 0.5


@pytest.mark.filterwarnings("ignore")
def test_it_goes_on_where_another_engine_was(tmp_path):
    run(tmp_path / "whole")
    run(tmp_path / "out", config=scoring.JobConfig(part_documents=10, part_characters=400, shard=(1, 2)))
    finished = run_ray(tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert finished.skipped > 0 and finished.progress.documents < len(RECORDS)


@pytest.mark.filterwarnings("ignore")
def test_a_corpus_at_a_url_is_read_where_the_actors_are(tmp_path):
    for number in range(3):
        lines = "".join(f"{record.text}\n" for record in RECORDS[number::3])
        (tmp_path / f"{number}.txt").write_text(lines)
    run(tmp_path / "here", corpus=scoring.file_source([f"{tmp_path}/*.txt"]))
    run_ray(tmp_path / "ray", corpus=scoring.file_source([f"local://{tmp_path}/*.txt"]))
    rows = [
        [table.to_pylist() for table in scoring.read_parts(str(tmp_path / out))] for out in ("here", "ray")
    ]
    assert rows[0] == rows[1] and sum(map(len, rows[0])) == len(RECORDS)


@pytest.mark.filterwarnings("ignore")
def test_what_is_wrong_is_one_line(tmp_path):
    stop = scoring.JobConfig(part_documents=10, part_characters=400, on_error="stop")
    with pytest.raises(ValueError, match=r"^x: gone; leave it out"):
        run_ray(tmp_path, corpus=source([RECORDS[0], data.UnreadableRecord("x", "gone")]), config=stop)
    with pytest.raises(ValueError, match="expected shard 1/1"):
        run_ray(tmp_path, config=scoring.JobConfig(shard=(1, 2)))
