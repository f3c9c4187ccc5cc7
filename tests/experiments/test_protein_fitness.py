"""What a fitness run is compared with: the ridges against least squares, and the report of a small run."""

import dataclasses
import importlib
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxlm import training

FOLDER = Path(__file__).parents[2] / "experiments" / "protein_fitness"
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


@pytest.fixture(scope="module")
def load():
    """Imports a file of the experiment as its own script does."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))
    for name in [name for name, module in sys.modules.items() if str(FOLDER) in str(module)]:
        del sys.modules[name]


@pytest.fixture
def variants(tmp_path):
    """Twelve exchanges at each of forty positions; the two residues decide nearly all of the fitness."""
    draw = random.Random(0)
    wild = "".join(draw.choices(RESIDUES, k=40))
    worth = {letter: draw.gauss(0, 1) for letter in RESIDUES}
    lines = [f">{number}|wild_{wild[0]}1{wild[0]}|0.0\n{wild}" for number in range(3)]
    for place, old in enumerate(wild):
        for new in draw.sample(RESIDUES.replace(old, ""), 12):
            name, fitness = f"{old}{place + 1}{new}", worth[new] - worth[old] + draw.gauss(0, 0.1)
            lines.append(f">{len(lines)}|wild_{name}|{fitness:.4f}\n{wild[:place]}{new}{wild[place + 1 :]}")
    path = tmp_path / "variants.fasta"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("width", "spread"), [(4, 40.0), (90, 9.0)])
def test_a_ridge_is_least_squares_with_a_row_a_feature_more(load, width, spread):
    """Fewer features than variants and more, at the penalty that validation likes."""
    ranking, draw = load("ranking"), np.random.default_rng(width)
    parts = [draw.normal(size=(number, width)) * 3 + 1 for number in (60, 40, 20)]
    for part in parts:
        part[:, -1] = 7.0  # says nothing
    slopes = draw.normal(size=width)
    train, validation = (part @ slopes + draw.normal(size=len(part)) * spread for part in parts[:2])
    found = ranking.ridge(*parts, train, validation)

    scaled = [(part[:, :-1] - parts[0][:, :-1].mean(0)) / parts[0][:, :-1].std(0) for part in parts]

    def fitted(penalty):
        rows = np.concatenate([scaled[0], np.sqrt(penalty) * np.eye(width - 1)])
        values = np.concatenate([train - train.mean(), np.zeros(width - 1)])
        weights = np.linalg.lstsq(rows, values)[0]
        return [part @ weights + train.mean() for part in scaled[1:]]

    fits = [fitted(10.0**power) for power in range(-2, 6)]
    best = min(fits, key=lambda fit: np.square(fit[0] - validation).mean())
    assert best is not fits[0] and best is not fits[-1]
    np.testing.assert_allclose(found, best[1], atol=1e-6)


def test_features_say_what_was_exchanged(load):
    features = load("features")
    wild, variant = "MKVLA", "MKWLA"
    assert features.position(wild, variant) == 2 and features.position(wild, wild) == -1
    one_hot = features.one_hot(wild, variant).reshape(5, 20)
    assert "".join(RESIDUES[row.argmax()] for row in one_hot) == variant and (one_hot.sum(1) == 1).all()
    old, new = features.exchange(wild, variant).reshape(2, 20)
    assert (RESIDUES[old.argmax()], RESIDUES[new.argmax()]) == ("V", "W") and old.sum() == new.sum() == 1
    assert not features.exchange(wild, wild).any()
    chemistry = features.exchange_properties(wild, variant)
    assert chemistry[:2].tolist() == [4.2, 140.0]  # valine's hydropathy and volume
    assert chemistry[10:12].tolist() == [-0.9, 227.8]
    np.testing.assert_allclose(chemistry[20:22], [-0.9 - 4.2, 227.8 - 140.0])
    assert chemistry[-2:].tolist() == [-3.0, 1.0]  # BLOSUM62 of V and W


def test_a_run_reports_rho_at_held_out_positions_beside_the_ridges(load, variants, tmp_path):
    module = load("config")
    experiment = module.get_experiment()
    tiny = dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, paths=(str(variants),)),
        model=dataclasses.replace(experiment.model, width=16, depth=1, num_heads=2),
        run=dataclasses.replace(experiment.run, steps=2),
    )
    *_, last = training.train(tiny, tmp_path / "run")
    assert isinstance(last, training.Finished)
    ranked = load("ranking").rank(tiny.data, {"transformer": tmp_path / "run"})
    cache = training.make_task(tiny).splits["test"].cache
    assert len(ranked.positions) == len(cache) == last.evaluation.records
    known = training.make_task(tiny).splits["train"].cache
    ids = [[one.ids(index) for index in range(len(one))] for one in (cache, known)]
    names = [[one.split("_")[1].split("|")[0] for one in part] for part in ids]
    held_out, seen = ({int(name[1:-1]) for name in part} for part in names)
    assert not held_out & seen
    exchanged = {int(name[1:-1]) for name in names[0] if name[0] != name[-1]}
    assert exchanged == {int(place) + 1 for place in ranked.positions if place >= 0}
    assert len(cache) + len(known) < 40 * 12 + 1  # the wild type counts once, and validation has its share
    rho = {name: ranked.interval(name, samples=50).estimate for name in ranked.predicted}
    assert rho["ridge, one-hot of the exchange"] > 0.8  # what decides the fitness
    shown = module.report(tmp_path / "run")
    assert f"{len(cache):,} variants at {len(set(ranked.positions.tolist())):,} held-out positions" in shown
    assert f"| transformer | {rho['transformer']:.3f} |" in shown and shown.count("| ridge") == 4
