"""How well scores rank what was measured."""

from jaxlm.scoring.statistics._rank_correlation import Interval, bootstrap_interval, spearman
from jaxlm.scoring.statistics._variant_ranking import rank_variants

__all__ = [
    "Interval",
    "bootstrap_interval",
    "rank_variants",
    "spearman",
]
