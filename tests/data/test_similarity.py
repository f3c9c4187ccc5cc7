import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import data

RESIDUES = np.array(list("LAGVSERTIDPKQNFYMHWC"))


def protein(rng, length):
    return "".join(rng.choice(RESIDUES, length))


def mutated(rng, sequence, number):
    letters = list(sequence)
    for place in rng.permutation(len(letters))[:number]:
        letters[place] = rng.choice(RESIDUES[letters[place] != RESIDUES])
    return "".join(letters)


def runs(text, letters):
    units, size = (text, 4) if letters else (text.split(), 5)
    return {tuple(units[start : start + size]) for start in range(max(1, len(units) - size + 1))}


def brute_force(texts, share, *, letters):
    """Single linkage by looking at every pair again and again."""
    kmers = [runs(text, letters) for text in texts]
    cluster = list(range(len(texts)))
    for one in range(len(texts)):
        for other in range(one):
            if len(kmers[one] & kmers[other]) >= share * min(len(kmers[one]), len(kmers[other])):
                old, new = cluster[one], cluster[other]
                cluster = [new if name == old else name for name in cluster]
    return [cluster.index(name) for name in cluster]


@settings(deadline=None)
@given(
    st.lists(st.text("AG", min_size=1, max_size=12), max_size=9, unique=True),
    st.sampled_from([0.2, 0.5, 1.0]),
)
def test_every_pair_of_proteins_is_judged(texts, share):
    assert data.similar_clusters(texts, share, letters=True).tolist() == brute_force(
        texts, share, letters=True
    )


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=12), max_size=9),
    st.sampled_from([0.3, 1.0]),
)
def test_every_pair_of_texts_is_judged(texts, share):
    texts = [" ".join(words) for words in texts]
    assert data.similar_clusters(texts, share, letters=False).tolist() == brute_force(
        texts, share, letters=False
    )


def test_blocks_do_not_show(monkeypatch):
    rng = np.random.default_rng(0)
    texts = [protein(rng, 60) for _ in range(40)]
    texts += [mutated(rng, text, 12) for text in texts[:30] for _ in range(3)]
    whole = data.similar_clusters(texts, 0.2, letters=True)
    monkeypatch.setattr("jaxlm.data._similarity.PRODUCTS_AT_ONCE", 50)
    np.testing.assert_array_equal(data.similar_clusters(texts, 0.2, letters=True), whole)
    assert whole.tolist() == brute_force(texts, 0.2, letters=True)


def test_fragments_and_chains_of_relatives_are_together():
    rng = np.random.default_rng(1)
    whole = protein(rng, 200)
    cousins = [whole]
    for _ in range(6):
        cousins.append(mutated(rng, cousins[-1], 40))
    texts = [*cousins, whole[120:160], protein(rng, 200)]
    assert data.similar_clusters(texts, 0.2, letters=True).tolist() == [0] * 8 + [8]
    assert len(set(data.similar_clusters([cousins[0], cousins[-1]], 0.2, letters=True))) == 2


def test_no_texts_no_clusters():
    assert data.similar_clusters([], 0.5, letters=True).shape == (0,)


@pytest.mark.parametrize("seed", range(3))
def test_planted_near_duplicates_do_not_cross(seed, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXLM_CACHE", str(tmp_path / "cache"))
    from jaxlm import tokenizers

    rng = np.random.default_rng(seed)
    originals = [protein(rng, 120) for _ in range(120)]
    copies = [
        (family, mutated(rng, text, number))
        for family, text in enumerate(originals)
        for number in (0, *rng.integers(1, 24, int(rng.integers(0, 4))))
    ]
    lines = [f">{family}/{number}\n{text}" for number, (family, text) in enumerate(copies)]
    path = tmp_path / "families.fasta"
    path.write_text("\n".join(rng.permutation(lines)))

    def families(split):
        config = data.DataConfig(paths=(str(path),), split=split, validation_share=0.15, test_share=0.15)
        caches = data.prepare(config, tokenizers.TokenizerConfig()).caches.values()
        return [{cache.ids(index).split("/")[0] for index in range(len(cache))} for cache in caches], [
            len(cache) for cache in caches
        ]

    (train, validation, test), sizes = families("similarity")
    assert not train & validation and not train & test and not validation & test
    assert abs(sizes[1] / sum(sizes) - 0.15) < 0.02 and abs(sizes[2] / sum(sizes) - 0.15) < 0.02
    (train, validation, test), _ = families("record")
    assert train & validation and train & test


def test_words_of_scripts_without_spaces_are_compared_like_others():
    first = "".join(chr(0x4E00 + (n * 37) % 500) for n in range(60))
    texts = [first, first[:40] + "結局のところ", "".join(chr(0x6000 + n) for n in range(60))]
    assert data.similar_clusters(texts, 0.3, letters=False).tolist() == [0, 0, 2]
