"""What the tokenizer decides, and contradictions between model, tokenizer and data."""

import dataclasses

import numpy as np
import pytest

from jaxlm import corruption, data, tokenizers, training
from jaxlm.models import Instruction, TransformerConfig


def test_the_tokenizer_gives_vocabulary_and_next(task):
    assert task.config.vocab_size == task.tokenizer.vocab_size
    assert task.config.position.next_id == task.tokenizer.specials.next
    assert set(task.splits) == {"train", "validation", "test"}


def test_positions_by_instruction_need_the_tokenizers_own_next():
    with pytest.raises(ValueError, match="got a tokenizer without it; use"):
        training.model_config(TransformerConfig(position="instruction"), tokenizers.bytes_tokenizer())
    instructions = tokenizers.train_instructions(["ret [NEXT] nop"])
    with pytest.raises(ValueError, match="got 421 for 5; leave it out"):
        training.model_config(TransformerConfig(position=Instruction(next_id=421)), instructions)


def test_a_vocabulary_without_room_is_refused():
    with pytest.raises(ValueError, match="is at least the tokenizer's: got 9 for"):
        training.model_config(TransformerConfig(vocab_size=9), tokenizers.bytes_tokenizer())


def test_a_padded_vocabulary_never_draws_its_padding(experiment, task):
    config = dataclasses.replace(task.config, vocab_size=1000)
    noise = experiment.resolved_input_noise
    masking = training.make_masking(noise, config, task.tokenizer, task.splits["train"], 8)
    assert masking.noise.forbidden[task.tokenizer.vocab_size :].all()
    assert masking.noise.random_ids.max() < task.tokenizer.vocab_size


def test_the_capacity_holds_every_batch(experiment, masking, batches):
    """Exact counts: K is a bound that the fullest of many batches stays under, and not much above it."""
    forbidden, rate = masking.noise.forbidden, experiment.resolved_input_noise.rate
    allowed = [~forbidden[batch.tokens] & (batch.segments > 0) for batch in (batches[n] for n in range(40))]
    masked = []
    for mask, batch in zip(allowed, (batches[n] for n in range(40)), strict=True):
        count = 0
        for row_mask, segments in zip(mask, batch.segments, strict=True):
            for segment in range(1, segments.max() + 1):
                number = int((row_mask & (segments == segment)).sum())
                count += max(1, int(np.floor(rate * number + 0.5))) if number else 0
        masked.append(count)
    assert max(masked) <= masking.capacity <= 2 * max(masked)


def test_bernoulli_capacity_is_its_bound(task):
    config = corruption.NoiseConfig(rate=0.15, count="bernoulli")
    masking = training.make_masking(config, task.config, task.tokenizer, task.splits["train"], 8)
    assert masking.capacity == corruption.bernoulli_capacity(8 * 32, 0.15)


def test_a_rate_of_nothing_is_refused(task):
    config = corruption.NoiseConfig(rate=0.0)
    with pytest.raises(ValueError, match=r"nothing in this corpus may be masked: .* input_noise\.rate is 0"):
        training.make_masking(config, task.config, task.tokenizer, task.splits["train"], 8)


@pytest.mark.parametrize(
    ("letters", "row_length", "ends", "predicts"),
    [
        (1, 8, False, False),
        (1, 8, True, True),
        (2, 8, False, True),
        (5, 1, False, False),
        (5, 1, True, False),
    ],
)
def test_a_causal_corpus_in_which_nothing_is_predicted_is_refused(
    tmp_path, letters, row_length, ends, predicts
):
    path = tmp_path / "short.txt"
    path.write_text("\n".join(chr(33 + number) * letters for number in range(90)))
    experiment = training.Experiment(
        data=data.DataConfig(paths=(str(path),), row_length=row_length, ends=ends),
        tokenizer=tokenizers.TokenizerConfig(kind="bytes"),
        model=TransformerConfig(width=8, depth=1, num_heads=2, max_length=8, position="rotary", causal=True),
        objective="causal_lm",
    )
    if predicts:
        assert training.make_task(experiment).splits["train"].plan.length.max() > 1
        return
    with pytest.raises(ValueError, match=r"has a second; give longer records, data\.ends=True or a greater"):
        training.make_task(experiment)
