"""How the work of scoring is cut into batches, and what has been done of it."""

import dataclasses
from typing import NamedTuple

import jax

from jaxlm import models, pretrained
from jaxlm.devices import local_layout
from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers
from jaxlm.scoring.engine._forward_contract import COMBINES, CombineMembers

# Attention over fewer keys takes no less.
MIN_ROW_LENGTH = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How the work is cut; beyond rounding no number depends on it, but for `combine`.

    Attributes:
      row_length: tokens of a row, and the most that a piece may have; None: the model's `max_length`, at most
        1,024 on a CPU and 2,048 elsewhere.
      rows: of a batch, over all devices; None: some 1,024 positions a device on a CPU, 65,536 elsewhere,
        fewer for models wider than 1,024.
      buffer: pieces that are looked at together to fill rows; None: 1,024, and 16,384 of a masked LM, whose
        copies of a text are all of one length.
      tile: places whose logits are held at once, or a part of those of more places; None: as many as 32 MiB
        of logits are on a CPU, 512 MiB elsewhere, and of a masked LM, which is asked few, at most a 32nd of a
        device's positions.
      combine: parameters are those of stacked members, whose predictions become one by the mean of "probs"
        or of "log_probs" (renormalised), or of the log-"scores" of what is asked; None: one model,
        and of an ensemble that `pretrained.load_ensemble` opened "probs".
      devices: local devices; None: all of them.

    Raises:
      ConfigError: if a number is not positive or a word unknown.

    Example:
      >>> EngineConfig(rows=0)
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


class WorkCounts(NamedTuple):
    """What an engine has done so far.

    Attributes:
      pieces: answered.
      batches: computed.
      tokens: that were read; fewer than the pieces have where they share.
      positions: that were computed, padding among them, and those of contrasts.
      scored: places that were asked.
      traces: how often the computation was traced, each of which is a compilation.
    """

    pieces: int = 0
    batches: int = 0
    tokens: int = 0
    positions: int = 0
    scored: int = 0
    traces: int = 0

    @property
    def padding_share(self) -> float:
        """Share of the computed positions that held no token."""
        return 1 - self.tokens / self.positions if self.positions else 0.0


def can_share_contexts(loaded: pretrained.Loaded) -> bool:
    """Returns whether what a model makes of a context is the same whatever is laid out behind it.

    A window counts places, which a tree moves apart, and some positions depend on the whole text.

    Args:
      loaded: the model.
    """
    config = loaded.config
    moved = config.window is not None or config.is_dynamic or isinstance(config.position, models.Instruction)
    return loaded.kind.next_token and config.causal and not moved


def longest_query(config: EngineConfig, loaded: pretrained.Loaded) -> int:
    """Returns the most tokens that a piece may have.

    Args:
      config: of rows whose length is known.
      loaded: the model; a table of learned positions ends with its `max_length`.
    """
    is_learned = isinstance(loaded.config.position, models.Learned)
    return min(config.row_length, loaded.config.max_length) if is_learned else config.row_length


def filled(config: EngineConfig | None, loaded: pretrained.Loaded) -> EngineConfig:
    """Returns the config with numbers for what was left to model and device.

    Args:
      config: None: all of it.
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
    tile = max(budget // (loaded.config.vocab_size * members), 16)
    tile = min(tile, max(rows * row_length // len(devices) // 32, 16)) if is_masked else tile
    return dataclasses.replace(
        config,
        row_length=row_length,
        rows=rows,
        buffer=config.buffer or (16_384 if is_masked else 1024),
        tile=config.tile or _rounded(tile),
        combine=combine,
        devices=devices,
    )


def shorter_rows(config: EngineConfig) -> tuple[int, ...]:
    """Returns the lengths that rows of short pieces may have: on a CPU, where attention reads all of a row.

    Args:
      config: with everything filled in.
    """
    if config.devices[0].platform != "cpu":
        return ()
    halves = (config.row_length >> times for times in (1, 2, 3))
    return tuple(length for length in halves if length >= MIN_ROW_LENGTH and config.row_length % length == 0)


def _rounded(tile: int) -> int:
    """A number of positions that vectors are full of."""
    each = 64 if tile >= 64 else 16
    return max(tile // each, 1) * each
