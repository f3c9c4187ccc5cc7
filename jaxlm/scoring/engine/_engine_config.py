"""How queries are cut into batches, and how much has been computed."""

import dataclasses
from typing import NamedTuple

import jax

from jaxlm import models, pretrained
from jaxlm.devices import local_layout
from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers
from jaxlm.scoring.engine._forward_contract import COMBINES, CombineMembers

# Rows are never made shorter than this: attention over fewer keys is not faster.
MIN_ROW_LENGTH = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How queries are packed into the rows of batches.

    The sizes and devices change the scores by rounding only; `combine` says which scores an ensemble has. A
    query is one sequence that the model reads; its places are the positions at which the model is asked about
    a target.

    Attributes:
      row_length: the number of tokens in a row, and thereby the largest number of tokens that a query may
        have; None: the model's `max_length`, at most 1,024 on a CPU and 2,048 elsewhere.
      rows: the number of rows in a batch over all devices, a multiple of the number of devices; None: as many
        rows as have about 1,024 positions on each device on a CPU, or 65,536 elsewhere, and fewer for models
        wider than 1,024.
      buffer: how many queries are collected before they are packed into rows together; None: 1,024, or 16,384
        for a masked LM, because the masked copies of a text all have the same length.
      tile: how many places have their logits in memory at once; None: as many as fill 32 MiB with logits on a
        CPU, or 512 MiB elsewhere. For a masked LM, which is asked at few places, None means at most 1/32 of a
        device's positions.
      combine: how the predictions of an ensemble's members, whose parameters are stacked, become one: by the
        mean of "probs" or of "log_probs" (renormalised), or of the log-probabilities of the targets
        ("scores"); None: "probs" for an ensemble that `pretrained.load_ensemble` opened, and nothing to
        combine for a single model.
      devices: the local devices that are used; None: all local devices.

    Raises:
      ConfigError: if a number is not positive, or `combine` is unknown.

    Example:
      >>> from jaxlm import scoring
      >>> scoring.EngineConfig(rows=0)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: rows: expected a whole number from 1, or None, got 0
    """

    row_length: int | None = None
    rows: int | None = None
    buffer: int | None = None
    tile: int | None = None
    combine: CombineMembers | None = None
    devices: tuple[jax.Device, ...] | None = None

    def __post_init__(self) -> None:
        check_numbers(self)
        for name in ("row_length", "rows", "buffer", "tile"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}: expected a whole number from 1, or None, got {value}")
        if self.combine is not None and self.combine not in COMBINES:
            raise ConfigError(
                f"combine: expected one of {', '.join(COMBINES)}, or None, got {self.combine!r}"
            )


class EngineSettings(NamedTuple):
    """An `EngineConfig` with a value for everything that depends on the model and the devices.

    Attributes:
      row_length, rows, buffer, tile, combine, devices: as of `EngineConfig`.
    """

    row_length: int
    rows: int
    buffer: int
    tile: int
    combine: CombineMembers | None
    devices: tuple[jax.Device, ...]


class WorkCounts(NamedTuple):
    """How much an engine has computed so far.

    Attributes:
      queries: the number of queries that were answered.
      batches: the number of batches that were computed.
      tokens: the number of tokens that were read. A prefix that several queries share is read once, so the
        number may be less than the sum of the queries' lengths.
      positions: the number of positions that were computed, with padding and with the sequences that queries
        are compared with.
      scored: the number of places, that is, positions at which the model was asked about a target.
      traces: how often JAX traced the computation, which is how often it was compiled.
    """

    queries: int = 0
    batches: int = 0
    tokens: int = 0
    positions: int = 0
    scored: int = 0
    traces: int = 0

    @property
    def padding_share(self) -> float:
        """The share of the computed positions that held no token, in [0, 1]; 0 if nothing is computed yet."""
        return 1 - self.tokens / self.positions if self.positions else 0.0


def can_share_contexts(loaded: pretrained.Loaded) -> bool:
    """Returns whether the hidden states of a context do not depend on what is laid out behind it.

    They do with a window of attention, which counts positions that a tree moves apart, and with positions
    that depend on the whole text.

    Args:
      loaded: the model.
    """
    config = loaded.config
    moved = config.window is not None or config.is_dynamic or isinstance(config.position, models.Instruction)
    return loaded.kind.next_token and config.causal and not moved


def longest_query(settings: EngineSettings, loaded: pretrained.Loaded) -> int:
    """Returns the most tokens that a query may have.

    Args:
      settings: of the engine.
      loaded: the model; a table of learned positions ends with its `max_length`.
    """
    is_learned = isinstance(loaded.config.position, models.Learned)
    return min(settings.row_length, loaded.config.max_length) if is_learned else settings.row_length


def complete_config(config: EngineConfig | None, loaded: pretrained.Loaded) -> EngineSettings:
    """Returns a config with a value for everything that it leaves to the model and the devices.

    Args:
      config: None: everything is left to them.
      loaded: the model.

    Raises:
      ConfigError: if rows do not divide over the devices, or members share a body.
    """
    if loaded.shared_body:
        raise ConfigError(
            "members are scored apart: got an ensemble on one body; load it without shared_body"
        )
    config = EngineConfig() if config is None else config
    layout = local_layout(config.devices)
    devices, on_cpu = layout.devices, layout.target.platform == "cpu"
    row_length = config.row_length or min(loaded.config.max_length, 1024 if on_cpu else 2048)
    positions = (1024 if on_cpu else 65536) * 1024 // max(loaded.config.width, 1024)
    rows = config.rows or len(devices) * max(positions // row_length, 1)
    if rows % len(devices):
        raise ConfigError(f"rows divide over the {len(devices)} devices: got {rows}")
    is_masked = loaded.kind.fill
    budget = (1 << 23) if on_cpu else (1 << 27)
    combine = config.combine or ("probs" if loaded.members else None)
    members = 1 if combine is None else jax.tree.leaves(loaded.params)[0].shape[0]
    tile = max(budget // (vocab_size_of(loaded.config) * members), 16)
    tile = min(tile, max(rows * row_length // len(devices) // 32, 16)) if is_masked else tile
    return EngineSettings(
        row_length=row_length,
        rows=rows,
        buffer=config.buffer or (16_384 if is_masked else 1024),
        tile=config.tile or _rounded(tile),
        combine=combine,
        devices=tuple(devices),
    )


def vocab_size_of(config: models.TransformerConfig) -> int:
    """Returns how many ids a model has.

    Args:
      config: of the model.

    Raises:
      ConfigError: if the config does not say so; no model can be built from it then.
    """
    if config.vocab_size is None:
        raise ConfigError("a model that is scored has a vocab_size: got None")
    return config.vocab_size


def shorter_rows(settings: EngineSettings) -> tuple[int, ...]:
    """Returns the lengths that rows of short queries may have: on a CPU, where attention reads the whole row.

    Args:
      settings: of the engine.
    """
    if settings.devices[0].platform != "cpu":
        return ()
    halves = (settings.row_length >> times for times in (1, 2, 3))
    return tuple(
        length for length in halves if length >= MIN_ROW_LENGTH and settings.row_length % length == 0
    )


def _rounded(tile: int) -> int:
    """The largest multiple of a vector's width that is not above `tile`, but at least one vector."""
    each = 64 if tile >= 64 else 16
    return max(tile // each, 1) * each
