"""Going on with a job and finishing it: what is damaged or gone is noticed, and nothing else is refused."""

import json
import shutil

import pytest

from jaxlm import io, scoring
from jaxlm.scoring.jobs import _finish
from tests.scoring.damage import flip, flips, unseal_job
from tests.scoring.fakes import RECORDS, SMALL, Fake, contents, run, source


@pytest.fixture
def many(tmp_path):
    """A corpus of twelve files."""
    (tmp_path / "corpus").mkdir()
    for number in range(12):
        lines = "".join(f"{record.text}\n" for record in RECORDS[number * 5 : number * 5 + 5])
        (tmp_path / "corpus" / f"{number:02}.txt").write_text(lines)
    return scoring.file_source([str(tmp_path / "corpus")])


@pytest.fixture
def out(tmp_path, many):
    """A job that is finished but for its third part and its last."""
    run(tmp_path / "out", corpus=many)
    parts = sorted((tmp_path / "out" / "parts").iterdir())
    for path in (parts[2], parts[-1], tmp_path / "out" / "manifest.json", tmp_path / "out" / "summary.json"):
        path.unlink()
    return tmp_path / "out"


@pytest.fixture
def expected(tmp_path, many):
    run(tmp_path / "whole", corpus=many)
    return contents(tmp_path / "whole")


def rows(out):
    return [row for table in scoring.read_parts(str(out)) for row in table.to_pylist()]


def go_on_with_flips(out, many, expected, count):
    """Each flip is refused, or leaves the files of a job without one."""
    before = contents(out)
    for name in flips(out, sorted(before), count):
        try:
            run(out, corpus=many)
        except ValueError as error:
            assert name == "job.json" and "\n" not in str(error)
        else:
            assert contents(out) == expected, name
        shutil.rmtree(out)
        for kept, payload in before.items():
            (out / kept).parent.mkdir(parents=True, exist_ok=True)
            (out / kept).write_bytes(payload)


def test_a_job_that_is_gone_on_with_notices_a_flipped_bit(out, many, expected):
    go_on_with_flips(out, many, expected, 25)


@pytest.mark.long
def test_a_job_that_is_gone_on_with_notices_hundreds(out, many, expected):
    go_on_with_flips(out, many, expected, 600)


def read_flips(out, count):
    whole = rows(out)
    names = sorted(name for name in contents(out) if name.startswith("parts/")) + ["manifest.json"] * 6
    noticed = 0
    for name in flips(out, names, count):
        try:
            assert rows(out) == whole, name
        except RuntimeError as error:
            noticed += 1
            assert name in str(error) and "again" in str(error) and "\n" not in str(error)
    assert noticed > 0.9 * count


def test_a_finished_job_is_read_as_it_was_written(tmp_path, many, expected):
    run(tmp_path / "out", corpus=many)
    read_flips(tmp_path / "out", 100)


@pytest.mark.long
def test_a_finished_job_is_read_as_it_was_written_after_thousands_of_flips(tmp_path, many, expected):
    run(tmp_path / "out", corpus=many)
    read_flips(tmp_path / "out", 2000)


def test_a_finished_job_that_is_run_again_makes_anew_what_is_damaged(tmp_path, many, expected):
    run(tmp_path / "out", corpus=many)
    for name in flips(tmp_path / "out", [name for name in expected if name.startswith("parts/")], 5):
        finished = run(tmp_path / "out", corpus=many)
        assert contents(tmp_path / "out") == expected, name
        assert finished.progress.parts == 1
    (tmp_path / "out" / "parts" / "part-000001.parquet").unlink()
    with pytest.raises(RuntimeError, match=r"part-000001\.parquet: it is gone; score .* again"):
        rows(tmp_path / "out")


def test_jobs_of_older_versions_are_gone_on_with_and_read(tmp_path, out, many, expected):
    unseal_job(out)
    run(out, corpus=many)
    found = contents(out)
    assert rows(out) == rows(tmp_path / "whole")
    # Parts that were there have no checksum, and none of them was made again.
    assert sum(found[name] == expected[name] for name in found if name.startswith("parts/")) == 2
    assert run(out, corpus=many).progress.parts == 0
    unseal_job(out)
    # The manifest had the parts' checksums before it had its own.
    manifest = json.loads((out / "manifest.json").read_text())
    assert "sha256" not in manifest and run(out, corpus=many).progress.parts == 0
    for name in flips(out, [name for name in expected if name.startswith("parts/")], 15):
        run(out, corpus=many)
        assert name and (out / "manifest.json").exists()


def test_a_part_without_checksum_is_none_of_a_job_that_has_them(out, many, expected):
    job = (out / "job.json").read_bytes()
    unseal_job(out)
    (out / "job.json").write_bytes(job)
    run(out, corpus=many)
    assert contents(out) == expected


@pytest.mark.parametrize("damaged", ["gone", "not JSON", "flipped", "of an older version"])
def test_a_job_is_known_by_its_parts_where_its_description_is_damaged(out, many, expected, damaged):
    path = out / "job.json"
    if damaged == "gone":
        path.unlink()
    elif damaged == "of an older version":
        unseal_job(out)
        path.unlink()
    else:
        path.write_bytes(b"{" if damaged == "not JSON" else path.read_bytes().replace(b"length", b"lengtH"))
    finished = run(out, corpus=many)
    assert finished.progress.parts == 2
    if damaged != "of an older version":
        assert contents(out) == expected
    with pytest.raises(ValueError, match="another job"):
        run(out, corpus=many, scorer=Fake(model="b"))


def test_a_damaged_description_without_parts_is_refused(tmp_path):
    run(tmp_path, corpus=source())
    shutil.rmtree(tmp_path / "parts")
    flip(tmp_path / "job.json", 8 * (tmp_path / "job.json").read_bytes().index(b"length"))
    with pytest.raises(ValueError, match=r"job\.json: it is not as it was written: its SHA-256 differs"):
        run(tmp_path, corpus=source())


def test_a_part_in_the_place_of_another_is_made_again(tmp_path, many, expected):
    run(tmp_path / "out", corpus=many)
    shutil.copy(
        tmp_path / "out" / "parts" / "part-000001.parquet", tmp_path / "out" / "parts" / "part-000002.parquet"
    )
    run(tmp_path / "out", corpus=many)
    assert contents(tmp_path / "out") == expected


def test_a_plan_of_other_documents_is_not_certified(out, many):
    """As one bit of it made it, before it carried its SHA-256."""
    plan = io.unseal(json.loads((out / "plan.json").read_text()))
    place = next(n for n, stand in enumerate(plan["stands"]) if stand[0] == 3 and stand[1] > 0)
    plan["stands"][place][1] = 0
    (out / "plan.json").write_text(json.dumps(io.seal(plan)))
    (out / "parts" / "part-000003.parquet").unlink()
    with pytest.raises(RuntimeError, match="score into another folder"):
        run(out, corpus=many)
    assert not (out / "manifest.json").exists()


def test_a_corpus_whose_own_ids_repeat_is_finished(tmp_path):
    records = [*RECORDS, *RECORDS[:9]]
    assert run(tmp_path, corpus=source(records)).summary["documents"] == len(records)
    assert [row["id"] for row in rows(tmp_path)] == [record.id for record in records]


class Meanwhile(Fake):
    """Does something while a document is scored."""

    def __init__(self, at, what):
        super().__init__()
        self._at, self._what = at, what

    def __call__(self, records):
        for row in super().__call__(records):
            if len(self.seen) == self._at:
                self._what()
            yield row


MOMENTS = [(gone, at) for gone in ("removed", "emptied") for at in (1, 25, 57)]


@pytest.mark.parametrize(("gone", "at"), [*MOMENTS, ("a part", 25), ("a part", 57)])
def test_what_is_removed_meanwhile_is_said_and_made_again(tmp_path, gone, at):
    folder = tmp_path / "out"

    def remove():
        if gone == "a part":
            (folder / "parts" / "part-000000.parquet").unlink()
        else:
            # In one step each, as a part may be written meanwhile.
            for path in [folder] if gone == "removed" else list(folder.iterdir()):
                path.rename(tmp_path / f"aside-{path.name}")

    with pytest.raises(RuntimeError, match=r"(removed|emptied).* while the job ran") as caught:
        run(folder, scorer=Meanwhile(at, remove))
    assert "the same command again" in str(caught.value) and "\n" not in str(caught.value)
    run(folder)
    run(tmp_path / "whole")
    assert contents(folder) == contents(tmp_path / "whole")


def test_a_part_of_this_shard_that_is_damaged_at_the_end_is_said(tmp_path):
    path = tmp_path / "parts" / "part-000000.parquet"
    with pytest.raises(RuntimeError, match=r"part-000000\.parquet is no longer as it was written: run"):
        run(tmp_path, scorer=Meanwhile(57, lambda: flip(path, 99)))
    assert run(tmp_path).progress.parts == 1


def test_what_other_shards_lack_is_named(tmp_path):
    shard = scoring.JobConfig(part_documents=10, part_characters=400, shard=(2, 3))
    finished = run(tmp_path, config=shard)
    assert finished.summary is None
    missing = {number for number in range(len(finished.missing) + finished.progress.parts) if number % 3 != 1}
    assert set(finished.missing) == missing
    run(tmp_path)
    flip(tmp_path / "parts" / "part-000002.parquet", 1000)
    assert run(tmp_path, config=shard).missing == [2]


STRAYS = (
    *(
        ".DS_Store",
        "._job.json",
        "Thumbs.db",
        "desktop.ini",
        ".nfs0001",
        "parts/.DS_Store",
        "parts/Thumbs.db",
    ),
    *("parts/._part-000001.parquet", ".Trash-0/x"),
)


def test_what_file_systems_and_viewers_leave_is_no_part_and_no_other_job(tmp_path):
    for name in STRAYS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0")
    (tmp_path / "parts" / "empty").mkdir()
    finished = run(tmp_path)
    assert finished.summary["documents"] == len(RECORDS) and list(finished.strays) == []
    assert len(rows(tmp_path)) == len(RECORDS)
    assert all((tmp_path / name).exists() for name in STRAYS)


@pytest.mark.parametrize("number", [99, 6])
def test_a_part_too_many_is_left_alone_and_said(tmp_path, number):
    count = len(list(run_parts(tmp_path)))
    number = max(number, count)
    stray = tmp_path / "parts" / f"part-{number:06d}.parquet"
    shutil.copy(tmp_path / "parts" / "part-000001.parquet", stray)
    (tmp_path / "manifest.json").unlink()
    finished = run(tmp_path)
    assert finished.summary["documents"] == len(RECORDS) == len(rows(tmp_path))
    assert list(finished.strays) == [f"parts/part-{number:06d}.parquet"] and stray.exists()


def run_parts(folder):
    run(folder)
    return (folder / "parts").iterdir()


def test_documents_that_are_too_few_are_said(tmp_path, monkeypatch):
    real = _finish.finish_job

    def one_more(*arguments, num_documents, **options):
        return real(*arguments, num_documents=num_documents + 1, **options)

    monkeypatch.setattr("jaxlm.scoring.jobs._job.finish_job", one_more)
    with pytest.raises(RuntimeError, match="the scores have 57 documents, the corpus 58"):
        run(tmp_path, config=SMALL)
