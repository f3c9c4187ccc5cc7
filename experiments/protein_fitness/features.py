"""What a ridge regression reads of a variant: one-hot residues, or what chemistry knows of the exchange."""

import numpy as np

from jaxlm import corruption

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
WINDOW = 5
# In the order of RESIDUES. Kyte and Doolittle 1982 (hydropathy), Zamyatnin 1972 (volume, cubic angstrom),
# Grantham 1974 (polarity), Pace and Scholtz 1998 (what a residue costs a helix, kcal/mol).
HYDROPATHY = "1.8 2.5 -3.5 -3.5 2.8 -0.4 -3.2 4.5 -3.9 3.8 1.9 -3.5 -1.6 -3.5 -4.5 -0.8 -0.7 4.2 -0.9 -1.3"
VOLUME = (
    "88.6 108.5 111.1 138.4 189.9 60.1 153.2 166.7 168.6 166.7 "
    "162.9 114.1 112.7 143.8 173.4 89.0 116.1 140.0 227.8 193.6"
)
POLARITY = "8.1 5.5 13.0 12.3 5.2 9.0 10.4 5.2 11.3 4.9 5.7 11.6 8.0 10.5 10.5 9.2 8.6 5.9 5.4 6.2"
HELIX = "0 0.68 0.69 0.40 0.54 1 0.61 0.41 0.26 0.21 0.24 0.65 3.16 0.39 0.21 0.50 0.66 0.61 0.49 0.53"
# Charges at neutral pH; aromatic side chains; those that branch at the beta carbon; the two odd ones.
CLASSES = ("KR", "DE", "FWYH", "ITV", "P", "G")
TABLE = np.stack(
    [
        *(np.array(column.split(), float) for column in (HYDROPATHY, VOLUME, POLARITY, HELIX)),
        *(np.array([residue in members for residue in RESIDUES], float) for members in CLASSES),
    ],
    axis=1,
)


def properties(residue: str) -> np.ndarray:
    """Returns the properties of a residue; of one that is none of the twenty, their mean.

    Example:
        >>> properties("W")[:2].tolist()
        [-0.9, 227.8]
    """
    place = RESIDUES.find(residue)
    return TABLE.mean(axis=0) if place < 0 else TABLE[place]


def blosum62(old: str, new: str) -> float:
    """Returns BLOSUM62's score of an exchange; 0 where one is none of the twenty."""
    places = [corruption.BLOSUM62_ORDER.find(residue) for residue in (old, new)]
    return 0.0 if -1 in places else float(corruption.BLOSUM62[places[0], places[1]])


def position(wild: str, sequence: str) -> int:
    """Returns the first position at which a sequence differs from the wild type; -1 for the wild type.

    Example:
        >>> position("MKV", "MRV"), position("MKV", "MKV")
        (1, -1)
    """
    pairs = enumerate(zip(wild, sequence, strict=True))
    return next((place for place, (old, new) in pairs if old != new), -1)


def one_hot(wild: str, sequence: str) -> np.ndarray:
    """Returns which residue stands at which position: what is the same as in the wild type wherever training
    has seen no variant.
    """
    return (np.array(list(sequence))[:, None] == np.array(list(RESIDUES))).astype(float).ravel()


def exchange(wild: str, sequence: str) -> np.ndarray:
    """Returns which residue was exchanged for which, wherever: one-hot of both; zeros for the wild type."""
    place = position(wild, sequence)
    sides = [wild[place], sequence[place]] if place >= 0 else ["", ""]
    return np.array([side == residue for side in sides for residue in RESIDUES], float)


def exchange_properties(wild: str, sequence: str) -> np.ndarray:
    """Returns the properties of both residues, their difference, its size, BLOSUM62's score, and whether
    anything was exchanged.
    """
    place = position(wild, sequence)
    old, new = wild[max(place, 0)], sequence[max(place, 0)]
    one, other = properties(old), properties(new)
    return np.concatenate(
        [one, other, other - one, np.abs(other - one), [blosum62(old, new), float(place >= 0)]]
    )


def neighbour_properties(wild: str, sequence: str) -> np.ndarray:
    """Returns `exchange_properties`, and the properties of the residues around the exchange."""
    place = max(position(wild, sequence), 0)
    nearby = [at for at in range(place - WINDOW, place + WINDOW + 1) if at != place]
    around = [properties(wild[at] if 0 <= at < len(wild) else "-") for at in nearby]
    return np.concatenate([exchange_properties(wild, sequence), *around])


FEATURES = {
    "ridge, one-hot of every position": one_hot,
    "ridge, one-hot of the exchange": exchange,
    "ridge, properties of the exchange": exchange_properties,
    f"ridge, and of {WINDOW} neighbours each side": neighbour_properties,
}
