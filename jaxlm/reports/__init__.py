"""Tables and pictures, drawn from result records only."""

from jaxlm.reports._classes import class_count_table, class_probability_table
from jaxlm.reports._curve import draw_curve
from jaxlm.reports._mutant_heat_map import mutant_heat_map_png
from jaxlm.reports._scores import corpus_line, histogram_png, ranking_table, score_table
from jaxlm.reports._tables import (
    byte_evaluation_table,
    evaluation_table,
    fill_table,
    level_table,
    next_bytes_table,
    next_table,
    printable_token,
)
from jaxlm.reports._vectors import similarity_table, vector_line

__all__ = [
    "byte_evaluation_table",
    "class_count_table",
    "class_probability_table",
    "corpus_line",
    "draw_curve",
    "evaluation_table",
    "fill_table",
    "histogram_png",
    "level_table",
    "mutant_heat_map_png",
    "next_bytes_table",
    "next_table",
    "printable_token",
    "ranking_table",
    "score_table",
    "similarity_table",
    "vector_line",
]
