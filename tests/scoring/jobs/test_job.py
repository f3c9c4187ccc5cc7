import functools
import json
import os
import pickle
from concurrent.futures import CancelledError

import pyarrow.parquet as pq
import pytest

from jaxlm import data, io, scoring
from jaxlm.io import _atomic
from jaxlm.scoring.jobs import _job, _ray
from jaxlm.scoring.jobs._parts import plan_parts
from jaxlm.scoring.jobs._plan import Plan
from tests.scoring.fakes import RECORDS, SMALL, Fake, contents, run, source


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an undisturbed run leaves."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    run(folder)
    return contents(folder)


def rows(out):
    return [row for table in scoring.read_parts(str(out)) for row in table.to_pylist()]


def test_a_row_a_document_in_order(tmp_path):
    finished = run(tmp_path)
    found = rows(tmp_path)
    assert [row["index"] for row in found] == list(range(len(RECORDS)))
    assert [row["id"] for row in found] == [record.id for record in RECORDS]
    for row, record in zip(found, RECORDS, strict=True):
        count = len(record.text.split())
        assert row["log_likelihood"] == (None if count == 7 else -1.5 * count)
        assert row["error"] == ("7 words: expected others" if count == 7 else None)
    progress = finished.progress
    assert progress.documents == len(RECORDS) == finished.summary["documents"]
    assert progress.errors == finished.summary["errors"] > 0
    assert progress.tokens == sum(row["num_tokens"] or 0 for row in found)
    assert (progress.position, progress.estimate, finished.skipped) == (57, 57, 0)


def test_what_is_left_behind(whole):
    parts = [name for name in whole if name.startswith("parts/")]
    assert sorted(whole) == ["job.json", "manifest.json", *sorted(parts), "plan.json", "summary.json"]
    manifest = json.loads(whole["manifest.json"])
    assert [part["name"] for part in manifest["parts"]] == sorted(parts)
    assert len(parts) == progress_parts(whole) > 5
    described = json.loads(whole["job.json"])
    assert described["scorer"] == {"model": "none", "measure": "length"}
    assert described["corpus"] == {"name": "a list"}


def progress_parts(files):
    return sum(part["documents"] > 0 for part in json.loads(files["manifest.json"])["parts"])


def test_again_does_nothing_and_changes_nothing(tmp_path, whole):
    run(tmp_path)
    scorer = Fake()
    finished = run(tmp_path, scorer=scorer)
    assert scorer.seen == []
    assert finished.skipped == progress_parts(whole)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("shards", [2, 3, 40])
def test_shards_in_any_order_make_the_same_files(tmp_path, whole, shards):
    order = [*range(2, shards + 1), 1]
    summaries = [run(tmp_path, config=shard(i, shards)).summary for i in order]
    assert [summary is None for summary in summaries] == [True] * (shards - 1) + [False]
    assert contents(tmp_path) == whole


def test_another_number_of_shards_goes_on(tmp_path, whole):
    first = Fake()
    run(tmp_path, config=shard(2, 3), scorer=first)
    second = Fake()
    finished = run(tmp_path, scorer=second)
    assert contents(tmp_path) == whole
    assert sorted(first.seen + second.seen) == sorted(record.id for record in RECORDS)
    assert finished.skipped > 0


def shard(i, n):
    return scoring.JobConfig(part_documents=10, part_characters=400, shard=(i, n))


class Dead(BaseException):
    """The process is gone: nothing of it runs after this."""


class Dying:
    """`os` whose n-th step is the last: half of a write, or nothing of any other step, is done."""

    STEPS = ("write", "fsync", "replace", "unlink", "open")

    def __init__(self, steps):
        self.left, self.dead = steps, False

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in self.STEPS:
            return real

        def step(*arguments, **options):
            if self.dead:
                raise Dead
            self.left -= 1
            if self.left < 0:
                self.dead = True
                if name == "write":
                    handle, payload = arguments
                    real(handle, payload[: len(payload) // 2])
                raise Dead
            return real(*arguments, **options)

        return step


@pytest.mark.long
def test_a_crash_at_every_write_sync_and_rename(tmp_path, whole, monkeypatch):
    steps = 0
    for steps in range(1000):
        folder = tmp_path / str(steps)
        with monkeypatch.context() as patched:
            patched.setattr(_atomic, "os", Dying(steps))
            try:
                run(folder)
                break
            except Dead:
                pass
        half = contents(folder)
        for name, payload in half.items():
            if not name.rpartition("/")[2].startswith("."):
                assert payload == whole[name], f"{name} after {steps} steps"
        run(folder)
        assert contents(folder) == whole, f"after {steps} steps"
    # Files are seven and more, of five steps each at least.
    assert steps > 5 * len(whole)


class Stops(Fake):
    """Fails in the middle of a document."""

    def __call__(self, records):
        for row in super().__call__(records):
            if len(self.seen) == 25:
                raise RuntimeError("the power went")
            yield row


def test_what_was_scored_stays_and_is_not_scored_again(tmp_path, whole):
    with pytest.raises(RuntimeError, match="the power went"):
        run(tmp_path, scorer=Stops())
    before = contents(tmp_path)
    assert any(name.startswith("parts/") for name in before)
    scorer = Fake()
    run(tmp_path, scorer=scorer)
    assert contents(tmp_path) == whole
    assert len(scorer.seen) < len(RECORDS)


@pytest.mark.parametrize("damage", [lambda payload: payload[:-20], lambda payload: b""])
def test_a_damaged_part_is_made_again(tmp_path, whole, damage):
    run(tmp_path)
    path = tmp_path / "parts" / "part-000002.parquet"
    path.write_bytes(damage(path.read_bytes()))
    run(tmp_path)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"scorer": Fake(model="another")}, "scorer.model: \"none\" and \"another\""),
        ({"scorer": Fake(bos="document")}, "scorer.bos: (none) and \"document\""),
        ({"corpus": source(name="b")}, "corpus.name: \"a list\" and \"b\""),
        ({"config": scoring.JobConfig(part_documents=11, part_characters=400)}, "10 and 11"),
        ({"config": scoring.JobConfig(part_documents=10, part_characters=400, base="2")}, "\"e\" and \"2\""),
    ],
)  # fmt: skip
def test_another_job_is_refused_and_told_what_differs(tmp_path, whole, changed, said):
    run(tmp_path)
    with pytest.raises(ValueError, match="holds another job") as caught:
        run(tmp_path, **changed)
    assert said in str(caught.value)
    assert contents(tmp_path) == whole


def test_other_folders_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="is not empty and holds no scoring job"):
        run(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "job.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        run(tmp_path / "a")


def test_an_empty_corpus_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="the corpus is empty"):
        run(tmp_path / "out", corpus=source([]))
    assert not (tmp_path / "out").exists()


BROKEN = [*RECORDS[:14], data.UnreadableRecord("a.txt:15", "a.txt:15: not UTF-8"), *RECORDS[15:30]]


def test_what_cannot_be_read_is_a_row(tmp_path):
    finished = run(tmp_path, corpus=source(BROKEN))
    found = rows(tmp_path)
    assert [row["index"] for row in found] == list(range(30))
    assert (found[14]["id"], found[14]["error"]) == ("a.txt:15", "a.txt:15: not UTF-8")
    assert found[14]["log_likelihood"] is None
    assert found[15]["log_likelihood"] == -1.5 * found[15]["num_tokens"]
    assert finished.summary["error_kinds"]["a.txt:N: not UTF-8"] == 1


def test_or_stops_the_job_which_can_be_gone_on_with(tmp_path):
    stop = scoring.JobConfig(part_documents=10, part_characters=400, on_error="stop")
    good = [record for record in RECORDS if len(record.text.split()) != 7]
    with pytest.raises(scoring.ScoreError, match=r"^a\.txt:11: 7 words: expected others; leave it out"):
        run(tmp_path / "a", config=stop)
    with pytest.raises(scoring.ScoreError, match=r"^x: gone"):
        run(tmp_path / "b", config=stop, corpus=source([*good, data.UnreadableRecord("x", "gone")]))
    assert list((tmp_path / "b" / "parts").iterdir())
    assert (
        run(tmp_path / "b", corpus=source([*good, data.UnreadableRecord("x", "gone")])).summary["errors"] == 1
    )


def test_bits(tmp_path):
    run(tmp_path / "e")
    config = scoring.JobConfig(part_documents=10, part_characters=400, base="2")
    summary = run(tmp_path / "2", config=config).summary
    nats, bits = (pq.read_table(tmp_path / base / "parts")["log_likelihood"][0].as_py() for base in "e2")
    assert bits == pytest.approx(nats / 0.6931471805599453)
    assert summary["corpus"]["nats_per_token"] == pytest.approx(1.5)


def test_an_object_store(whole):
    fsspec = pytest.importorskip("fsspec")
    with pytest.raises(RuntimeError, match="the power went"):
        run("memory://scores/a", scorer=Stops())
    run("memory://scores/a", config=shard(2, 2))
    finished = run("memory://scores/a")
    assert finished.summary["documents"] == len(RECORDS)
    stored = fsspec.filesystem("memory")
    found = {name.partition("scores/a/")[2]: stored.cat(name) for name in stored.find("/scores/a")}
    assert found == whole
    with pytest.raises(ValueError, match="another job"):
        run("memory://scores/a", scorer=Fake(model="b"))


@pytest.mark.parametrize("is_late", [False, True])
def test_a_crash_at_every_put(whole, is_late, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    stored, puts = fsspec.filesystem("memory"), 0
    put = io.RemoteStore.put
    for puts in range(100):
        place, left = f"scores/{is_late}-{puts}", [puts]

        def dies(self, name, payload, left=left):
            left[0] -= 1
            if left[0] < 0 and not is_late:
                raise Dead
            put(self, name, payload)
            if left[0] < 0:
                raise Dead

        with monkeypatch.context() as patched:
            patched.setattr(io.RemoteStore, "put", dies)
            try:
                run(f"memory://{place}")
                break
            except Dead:
                pass
        run(f"memory://{place}")
        found = {name.partition(f"{place}/")[2]: stored.cat(name) for name in stored.find(f"/{place}")}
        assert found == whole
    assert puts == len(whole)


def test_documents_of_one_byte_and_of_fifty_megabytes(tmp_path):
    records = [data.Record(str(n), text, {}) for n, text in enumerate(["a", "word " * 10_000_000, "b"])]
    run(tmp_path, corpus=source(records))
    assert [row["num_tokens"] for row in rows(tmp_path)] == [1, 10_000_000, 1]


class Editing(Fake):
    """Does something to a file while the last document is scored."""

    def __init__(self, edit):
        super().__init__()
        self._edit = edit

    def __call__(self, records):
        for row in super().__call__(records):
            if len(self.seen) == 3:
                self._edit()
            yield row


@pytest.mark.parametrize("edit", ["grows", "same size", "gone"])
def test_a_corpus_that_changes_is_not_finished(tmp_path, edit):
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\nsix\n")
    old = path.stat().st_mtime_ns - 10**9
    os.utime(path, ns=(old, old))
    edits = {
        "grows": lambda: path.write_text("one\ntwo\nsix\nten\n"),
        "same size": lambda: path.write_text("one\ntwo\nten\n"),
        "gone": path.unlink,
    }
    corpus = scoring.file_source([str(path)])
    with pytest.raises(data.CorpusError, match=r"a\.txt changed while the corpus was scored"):
        run(tmp_path / "out", corpus=corpus, scorer=Editing(edits[edit]))
    assert not (tmp_path / "out" / "manifest.json").exists()
    if edit != "gone":
        with pytest.raises(ValueError, match=r"another job.*a\.txt"):
            run(tmp_path / "out", corpus=scoring.file_source([str(path)]))


@pytest.mark.parametrize("edit", ["grows", "gone"])
def test_nor_is_one_at_a_url(tmp_path, edit):
    fsspec = pytest.importorskip("fsspec")
    stored, name = fsspec.filesystem("memory"), f"/{tmp_path.name}/a.txt"
    stored.pipe_file(name, b"one\ntwo\nsix\n")
    edits = {"grows": lambda: stored.pipe_file(name, b"one\ntwo\nten\n"), "gone": lambda: stored.rm(name)}
    corpus = scoring.file_source([f"memory:/{name}"])
    with pytest.raises(data.CorpusError, match=r"memory:/.*/a\.txt changed while the corpus was scored"):
        run(tmp_path / "out", corpus=corpus, scorer=Editing(edits[edit]))
    assert not (tmp_path / "out" / "manifest.json").exists()
    if edit != "gone":
        with pytest.raises(ValueError, match=r"another job.*a\.txt"):
            run(tmp_path / "out", corpus=scoring.file_source([f"memory:/{name}"]))


def test_a_remote_corpus_is_read_once_and_its_rows_are_those_of_a_local_one(tmp_path, monkeypatch):
    """By any number of shards, each; whatever it is described and checked by is no reading."""
    fsspec = pytest.importorskip("fsspec")
    for number in range(3):
        text = "".join(f"{record.text}\n" for record in RECORDS[number::3])
        (tmp_path / f"{number}.jsonl").write_text(
            "".join(f'{{"text": "{line}"}}\n' for line in text.splitlines())
        )
        fsspec.filesystem("memory").put(str(tmp_path / f"{number}.jsonl"), f"/{tmp_path.name}/{number}.jsonl")
    run(tmp_path / "here", corpus=scoring.file_source([f"{tmp_path}/*.jsonl"]))
    opened, real = [], data.RemotePath.open
    monkeypatch.setattr(data.RemotePath, "open", lambda self: (opened.append(self.name), real(self))[1])
    for i in (2, 1):
        source = scoring.file_source([f"memory://{tmp_path.name}/*.jsonl"])._replace(estimate=lambda: None)
        run(tmp_path / "there", corpus=source, config=shard(i, 2))
    assert opened == ["0.jsonl", "1.jsonl", "2.jsonl"] * 2
    assert rows(tmp_path / "there") == rows(tmp_path / "here")
    described = json.loads((tmp_path / "there" / "job.json").read_text())["corpus"]["files"]
    assert all(words.partition(", modified ")[1] for words in described.values())


@pytest.fixture
def many(tmp_path):
    """A corpus of twelve files, one of them empty."""
    (tmp_path / "corpus").mkdir()
    for number in range(12):
        lines = "".join(f"{record.text}\n" for record in RECORDS[number * 5 : number * 5 + 5])
        (tmp_path / "corpus" / f"{number:02}.txt").write_text(lines if number != 4 else "\n")
    return scoring.file_source([str(tmp_path / "corpus")])


def watched(corpus, read):
    """The same, which notes the files that are read."""

    def noted(number, file):
        read.append(number)
        return file()

    files = [functools.partial(noted, number, file) for number, file in enumerate(corpus.files)]
    return corpus._replace(files=files)


@pytest.mark.parametrize("shards", [(1, 1), (2, 3), (5, 8)])
def test_files_without_a_wanted_part_are_read_by_the_first_process_alone(tmp_path, many, shards):
    i, n = shards
    run(tmp_path / "whole", corpus=many)
    expected = contents(tmp_path / "whole")
    read = []
    run(tmp_path / "out", corpus=watched(many, read), config=shard(1, 3))
    # Its first document, by which a corpus is found not to be empty, is no second reading.
    assert read == list(range(12))
    read.clear()
    (tmp_path / "out" / "manifest.json").unlink(missing_ok=True)
    run(tmp_path / "out", corpus=watched(many, read), config=shard(3, 3))
    assert 0 < len(read) < 12
    run(tmp_path / "out", corpus=watched(many, read))
    assert contents(tmp_path / "out") == expected
    read.clear()
    finished = run(tmp_path / "out", corpus=watched(many, read), config=shard(i, n))
    assert read == [] and finished.summary["documents"] == json.loads(expected["summary.json"])["documents"]
    assert contents(tmp_path / "out") == expected


@pytest.mark.long
@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_crash_at_every_step_of_a_plan(tmp_path, many, monkeypatch, seconds):
    """With a plan that grows with each part, or that comes at the end: what goes on leaves the same files."""
    run(tmp_path / "whole", corpus=many)
    expected = contents(tmp_path / "whole")
    monkeypatch.setattr(_job, "SECONDS_BETWEEN_PLANS", seconds)
    for steps in range(0, 1000, 3):
        folder = tmp_path / str(steps)
        with monkeypatch.context() as patched:
            patched.setattr(_atomic, "os", Dying(steps))
            try:
                run(folder, corpus=many)
                break
            except Dead:
                pass
        run(folder, corpus=many, config=shard(2, 2))
        run(folder, corpus=many)
        assert contents(folder) == expected, f"after {steps} steps"
    assert steps > 5 * len(expected)


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"job":"another"}', b'{"job":null,"stands":[],"sizes":[]}', "other", "shorter"]
)
def test_a_plan_that_is_damaged_another_jobs_or_shorter_is_made_again(tmp_path, many, damage):
    run(tmp_path / "out", corpus=many)
    expected = contents(tmp_path / "out")
    kept = json.loads(expected["plan.json"])
    assert len(kept["stands"]) == 13
    if damage == "other":
        damage = json.dumps(kept | {"job": "another", "sizes": [1] * len(kept["sizes"])}).encode()
    elif damage == "shorter":
        stands = kept["stands"][:6]
        damage = json.dumps(kept | {"stands": stands, "sizes": kept["sizes"][: stands[-1][0]]}).encode()
    (tmp_path / "out" / "plan.json").write_bytes(damage)
    for name in ("part-000001", "part-000004"):
        (tmp_path / "out" / "parts" / f"{name}.parquet").unlink()
    run(tmp_path / "out", corpus=many)
    assert contents(tmp_path / "out") == expected


@pytest.mark.parametrize("name", ["plan.json", "job.json", "parts/part-000000.parquet"])
def test_a_file_that_the_disk_does_not_give_is_no_damage(tmp_path, whole, name):
    """It may be whole: nothing is made anew in its place."""
    run(tmp_path)
    path = tmp_path / name
    path.unlink()
    # Listed, and not there when it is read.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io.LocalStore, "names", lambda self: set(whole))
        with pytest.raises(io.ReadError, match=name):
            run(tmp_path)
    assert sorted(contents(tmp_path)) == sorted(set(whole) - {name})


def test_a_job_that_is_stopped_knows_no_file_that_it_has_not_read(tmp_path, many):
    store = io.open_store(tmp_path / "out")
    stopped = _job._ShardRun(Fake(), many, store, _job.make_job(Fake(), many, SMALL), SMALL)
    parts = stopped._planned(many.readers())
    next(parts)
    stopped._stopped.set()
    with pytest.raises(CancelledError):
        list(parts)
    whole = Plan()
    list(plan_parts(many.readers(), part_documents=10, part_characters=400, plan=whole))
    known = stopped._plan.cuts
    assert 1 < len(known) < 13 and known == whole.cuts[: len(known)]


def test_no_part_is_cut_from_a_file_that_is_being_changed(tmp_path):
    """The old bytes are back when the job goes on, and none of what was read meanwhile is in its parts."""
    path = tmp_path / "corpus.txt"
    path.write_text("".join(f"{record.text}\n" for record in RECORDS))
    corpus = scoring.file_source([str(path)])
    run(tmp_path / "whole", corpus=corpus)
    payload, status = path.read_bytes(), path.stat()

    def changing():
        for place, record in enumerate(corpus.files[0]()):
            if place == 15:
                path.write_bytes(payload.replace(b"a", b"b"))
            yield record._replace(text="b") if place > 15 else record

    with pytest.raises(data.CorpusError, match=r"corpus\.txt changed while the corpus was scored"):
        run(tmp_path / "out", corpus=corpus._replace(files=[changing]))
    there = {name for name in contents(tmp_path / "out") if name.startswith("parts/")}
    assert there <= {"parts/part-000000.parquet"}
    path.write_bytes(payload)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    run(tmp_path / "out", corpus=corpus)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_documents_of_no_file_are_checked_as_a_whole(tmp_path):
    """By a function of no arguments, as it may be where there are no files."""
    asked = []
    run(tmp_path, corpus=source()._replace(check=lambda: asked.append("all")))
    assert asked == ["all"]


def test_the_reader_of_a_cluster_cuts_no_part_from_a_file_that_is_being_changed_and_keeps_its_plan(
    many, monkeypatch
):
    def parts(check):
        kept.clear()
        read = _ray._read(many.readers(), check, SMALL, set(), Plan(), keep)
        return [pickle.loads(row["part"][0].as_py()) for row in read]

    def keep(plan):
        kept.append(len(plan.cuts))
        return kept[-1]

    def changed(place):
        if place == 3:
            raise data.CorpusError("03.txt changed")

    kept = []
    whole = parts(many.file_check())
    assert sum(part.size for part in whole) == 52 and kept == [13]
    *some, refused = parts(changed)
    assert refused == "03.txt changed" and kept == []
    assert [part[:3] for part in some] == [part[:3] for part in whole[: len(some)]] and some
    monkeypatch.setattr(_ray, "SECONDS_BETWEEN_PLANS", 0.0)
    parts(many.file_check())
    assert len(kept) > 1 and kept == sorted(set(kept)) and kept[-1] == 13


def test_of_a_file_that_was_another_while_it_was_read_nothing_is_kept(tmp_path, many):
    """Once it is there again, no document of it is left out."""
    run(tmp_path / "whole", corpus=many)
    path = tmp_path / "corpus" / "05.txt"
    payload, status = path.read_bytes(), path.stat()
    path.write_bytes(b"")
    with pytest.raises(data.CorpusError, match=r"05\.txt changed while the corpus was scored"):
        run(tmp_path / "out", corpus=many, config=shard(1, 2))
    path.write_bytes(payload)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for i in (2, 1):
        run(tmp_path / "out", corpus=many, config=shard(i, 2))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_configs_that_cannot_be():
    for options, said in (({"shard": (0, 2)}, "got 0/2"), ({"part_documents": 0}, "part_documents")):
        with pytest.raises(ValueError, match=said):
            scoring.JobConfig(**options)
    assert SMALL.shard == (1, 1)
