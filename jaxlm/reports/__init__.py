"""Tables and pictures, drawn from result records only."""

from jaxlm.reports._classes import class_count_table, class_probability_table
from jaxlm.reports._curve import draw_curve
from jaxlm.reports._scores import corpus_line, histogram_png, ranking_table, score_table
from jaxlm.reports._tables import evaluation_table, fill_table, level_table, next_table, printable_token
from jaxlm.reports._vectors import similarity_table, vector_line

__all__ = [
    "class_count_table",
    "class_probability_table",
    "corpus_line",
    "draw_curve",
    "evaluation_table",
    "fill_table",
    "histogram_png",
    "level_table",
    "next_table",
    "printable_token",
    "ranking_table",
    "score_table",
    "similarity_table",
    "vector_line",
]
