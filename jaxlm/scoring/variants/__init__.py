"""Mutants of a wild type: how they are written, what a model reads of them, and their scores."""

from jaxlm.scoring.variants._mutations import Substitution, Variant, parse_variant
from jaxlm.scoring.variants._single_mutants import single_mutant_scores, single_mutants
from jaxlm.scoring.variants._variant_effect import VariantEffect
from jaxlm.scoring.variants._variant_files import find_variant_column, read_wild_type

__all__ = [
    "Substitution",
    "Variant",
    "VariantEffect",
    "find_variant_column",
    "parse_variant",
    "read_wild_type",
    "single_mutant_scores",
    "single_mutants",
]
