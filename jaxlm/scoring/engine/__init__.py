"""From queries to what a model answers: packed into rows on the host while all local devices work."""

from jaxlm.scoring.engine._asked_models import check_answers
from jaxlm.scoring.engine._block_answers import BlockAnswers
from jaxlm.scoring.engine._device_rows import ContrastRows, DeviceRows
from jaxlm.scoring.engine._engine import Engine, score_queries
from jaxlm.scoring.engine._engine_config import (
    EngineConfig,
    EngineSettings,
    WorkCounts,
    complete_config,
    longest_query,
    vocab_size_of,
)
from jaxlm.scoring.engine._forward import LogProbForward
from jaxlm.scoring.engine._forward_contract import Forward, ForwardSetting, hidden_states, query_sums
from jaxlm.scoring.engine._instruction_positions import instruction_positions_on_host
from jaxlm.scoring.engine._output_forward import OutputForward
from jaxlm.scoring.engine._prefetch import map_ahead, prefetch
from jaxlm.scoring.engine._queries import (
    LazyQueries,
    Query,
    QueryBlock,
    QueryContrast,
    QueryExtent,
    QueryScores,
    extent,
    extent_of_block,
    joined_scores,
    query_blocks,
    run_indices,
    scores_between,
    starts_of,
)
from jaxlm.scoring.engine._query_engine import QueryEngine
from jaxlm.scoring.engine._step_forward import StepForward
from jaxlm.scoring.engine._vector_forward import PooledForward, VectorForward, layer_number

__all__ = [
    "BlockAnswers",
    "ContrastRows",
    "DeviceRows",
    "Engine",
    "EngineConfig",
    "EngineSettings",
    "Forward",
    "ForwardSetting",
    "LazyQueries",
    "LogProbForward",
    "OutputForward",
    "PooledForward",
    "Query",
    "QueryBlock",
    "QueryContrast",
    "QueryEngine",
    "QueryExtent",
    "QueryScores",
    "StepForward",
    "VectorForward",
    "WorkCounts",
    "check_answers",
    "complete_config",
    "extent",
    "extent_of_block",
    "hidden_states",
    "instruction_positions_on_host",
    "joined_scores",
    "layer_number",
    "longest_query",
    "map_ahead",
    "prefetch",
    "query_blocks",
    "query_sums",
    "run_indices",
    "score_queries",
    "scores_between",
    "starts_of",
    "vocab_size_of",
]
