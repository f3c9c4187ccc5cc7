import itertools
import json
import re

import numpy as np
import pytest

from jaxlm import data, tokenizers

RESIDUES = tokenizers.TokenizerConfig(kind="residues")
WILD = "MKTAYIAKQRQISFVKSHFSRQ"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXLM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def variants(tmp_path):
    """Every position as it is and mutated to five residues; its fitness is 100 position + place."""
    lines = []
    for position, old in enumerate(WILD):
        for place, new in enumerate(dict.fromkeys([old, *"AGKLW"])):
            sequence = WILD[:position] + new + WILD[position + 1 :]
            lines.append(f">{len(lines)}|x_{old}{position + 1}{new}|{100 * position + place}\n{sequence}")
    path = tmp_path / "variants.fasta"
    path.write_text("\n".join(lines))
    return path


def config(path, **fields):
    fields = {"group_pattern": r"_[A-Z](\d+)[A-Z]", "label_pattern": r"\|([^|]+)$"} | fields
    return data.DataConfig(paths=(str(path),), validation_share=0.2, test_share=0.2, **fields)


def table(prepared):
    """(split, text, label, id) of every record."""
    return [
        (split, prepared.tokenizer.decode(cache[index]), float(cache.labels[index]), cache.ids(index))
        for split, cache in prepared.caches.items()
        for index in range(len(cache))
    ]


def test_positions_stay_together_and_duplicates_are_merged(variants):
    prepared = data.prepare(config(variants), RESIDUES)
    rows = table(prepared)
    texts = [text for _, text, _, _ in rows]
    assert len(texts) == len(set(texts)) and WILD in texts
    of_position = {}
    for split, text, label, _ in rows:
        if text != WILD:
            (position,) = [
                place for place, pair in enumerate(zip(text, WILD, strict=True)) if len(set(pair)) == 2
            ]
            of_position.setdefault(position, set()).add(split)
            assert label // 100 == position
    assert len(of_position) == len(WILD) and all(len(splits) == 1 for splits in of_position.values())
    (label,) = [label for _, text, label, _ in rows if text == WILD]
    assert label == np.mean([100 * position for position in range(len(WILD))])
    assert f"merged {len(WILD) - 1} exact duplicates into one record each, with one label" in prepared.notes
    assert prepared.label_names is None


def test_what_is_not_merged_is_in_one_split_and_keeps_its_labels(variants):
    rows = table(data.prepare(config(variants, deduplicate=False), RESIDUES))
    again = [(split, label) for split, text, label, _ in rows if text == WILD]
    assert len({split for split, _ in again}) == 1
    assert sorted(label for _, label in again) == [100.0 * position for position in range(len(WILD))]
    assert all(int(name.split("|")[2]) == label for _, _, label, name in rows)


def test_the_order_of_the_file_does_not_divide(variants):
    first = {text: split for split, text, _, _ in table(data.prepare(config(variants), RESIDUES))}
    lines = variants.read_text().split("\n")
    pairs = [lines[start : start + 2] for start in range(0, len(lines), 2)]
    variants.write_text("\n".join(itertools.chain.from_iterable(pairs[::-1])))
    assert {text: split for split, text, _, _ in table(data.prepare(config(variants), RESIDUES))} == first


def test_classes_by_name(tmp_path):
    rows = [{"text": f"animal {number}", "kind": ["dog", "cat", "cow"][number % 3]} for number in range(60)]
    rows += [{"text": "animal 0", "kind": "cow"}] * 2
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    asked = data.DataConfig(paths=(str(path),), label_field="kind")
    bytes_kind = tokenizers.TokenizerConfig(kind="bytes")
    for _ in range(2):
        prepared = data.prepare(asked, bytes_kind)
        assert prepared.label_names == ("cat", "cow", "dog") and "labels: 3 classes" in prepared.notes
    found = {text: prepared.label_names[int(label)] for _, text, label, _ in table(prepared)}
    assert found == {row["text"]: row["kind"] for row in rows}
    assert all(cache.labels.dtype == np.float64 for cache in prepared.caches.values())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label_pattern": r"x_(\w+)"}, None),
        (
            {"label_pattern": r"x_(\w+)", "label_kind": "number"},
            r"variants.fasta:1: record 0\|x_M1M\|0: the label",
        ),
        ({"label_pattern": r"fitness (\d+)"}, "label_pattern .* finds nothing in"),
        ({"label_pattern": None, "label_field": "score"}, "a file of format 'fasta' has no field 'score'"),
    ],
)
def test_labels_that_cannot_be_read_leave_no_cache(variants, tmp_path, fields, message):
    if message is None:
        assert len(data.prepare(config(variants, **fields), RESIDUES).label_names) > 100
        return
    with pytest.raises(data.CorpusError, match=message) as caught:
        data.prepare(config(variants, **fields), RESIDUES)
    assert "\n" not in str(caught.value)
    assert not [one for one in tmp_path.glob("cache/*/*") if one.suffix != ".lock"]


def test_embedded_corpora_have_no_fields():
    with pytest.raises(data.CorpusError, match="group_field and label_field are of JSONL, CSV and Parquet"):
        data.prepare(data.DataConfig(label_field="kind"), RESIDUES)


def test_one_family_cannot_be_divided_by_similarity(variants):
    asked = config(variants, group_pattern=None, label_pattern=None, split="similarity")
    with pytest.raises(
        data.CorpusError, match=r"finds 1 clusters at similarity 0.2, .* raise similarity, or"
    ):
        data.prepare(asked, RESIDUES)


def test_the_fingerprint_follows_division_labels_and_ends(variants):
    fields = [{}, {"ends": True}, {"group_pattern": None}, {"label_kind": "class"}, {"similarity": 0.5}]
    prepared = [data.prepare(config(variants, **one), RESIDUES) for one in fields]
    assert len({one.fingerprint for one in prepared}) == 5


def test_the_texts_of_a_split_are_those_of_its_cache(variants):
    asked = config(variants, ends=True)
    prepared = data.prepare(asked, RESIDUES)
    for split, cache in prepared.caches.items():
        kept = [prepared.tokenizer.decode(cache[index][1:-1]) for index in range(len(cache))]
        assert list(data.split_texts(asked, split)) == kept
        assert cache.num_bytes == sum(map(len, kept))


def test_windows_are_cut_after_duplicates_are_merged(variants):
    rows = table(data.prepare(config(variants), RESIDUES))
    asked = config(variants, window=5, center_pattern=r"_[A-Z](\d+)[A-Z]")
    cut = table(data.prepare(asked, RESIDUES))
    # The order within a split is the file's, so that the two agree record by record.
    for (split, text, label, name), (*again, other) in zip(rows, cut, strict=True):
        place = int(re.search(r"_[A-Z](\d+)", name)[1])
        assert other == name and again == [split, text[max(0, place - 3) : place + 2], label]
