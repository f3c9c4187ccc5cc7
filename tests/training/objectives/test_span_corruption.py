"""The objective of encoder-decoders against texts taken one by one, and a run from text to a folder."""

import dataclasses
import functools
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers as huggingface
from tokenizers import processors

from jaxlm import corruption, data, models, ops, pretrained, tokenizers, training

V, START, END = 24, 0, 1
SENTINELS = (20, 21, 22, 23)
RNGS = {"mask": jax.random.key(3), "dropout": jax.random.key(4)}
CONFIG = models.TransformerConfig(
    vocab_size=V,
    width=16,
    depth=1,
    num_heads=2,
    max_length=16,
    position=models.Relative(buckets=8, distance=8),
    decoder=models.DecoderConfig(start_id=START),
    init_std=0.5,
)
DOCUMENTS = ((5, 7, 12, 2, 9, 3), (3, 8, 8, 19), (8, 6, 4, 11, 10, 15, 17, 2))
SPANS = training.SpanPlan(
    rate=0.3,
    mean_span=2.0,
    sentinel_ids=SENTINELS,
    forbidden=np.isin(np.arange(V), [START, END, *SENTINELS]),
    start_id=START,
    end_id=END,
    target_length=16,
)


def packed(rows, length=12):
    names = ("tokens", "segments", "positions", "example_ids", "offsets")
    arrays = {name: np.zeros((len(rows), length), np.int32) for name in names}
    for row, numbers in enumerate(rows):
        column = 0
        for segment, number in enumerate(numbers, start=1):
            place = (row, slice(column, column + len(DOCUMENTS[number])))
            arrays["tokens"][place], arrays["segments"][place] = DOCUMENTS[number], segment
            arrays["example_ids"][place] = number
            arrays["positions"][place] = arrays["offsets"][place] = np.arange(len(DOCUMENTS[number]))
            column += len(DOCUMENTS[number])
    return data.Batch(**arrays, epochs=np.zeros(len(rows), np.int32))


@pytest.fixture(scope="module")
def model():
    return models.build(CONFIG, "seq2seq_lm")


@pytest.fixture(scope="module")
def params(model):
    return jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]


@pytest.fixture(scope="module")
def sums(model, params):
    @functools.cache
    def compiled(deterministic):
        objective = training.span_corruption_loss(SPANS, deterministic=deterministic)
        return jax.jit(lambda batch: objective(model.apply, params, batch, RNGS))

    return lambda batch, deterministic=False: compiled(deterministic)(batch)


def test_the_loss_is_that_of_every_text_by_itself(model, params, sums):
    batch = packed(((0, 1), (2,)))
    spans = training.corrupt_span_batch(RNGS["mask"], batch, SPANS)
    nats, count = 0.0, 0
    for row, segment in ((0, 1), (0, 2), (1, 1)):
        read = np.asarray(spans.tokens)[row][np.asarray(spans.segments)[row] == segment]
        wanted = np.asarray(spans.targets)[row][np.asarray(spans.target_segments)[row] == segment]
        assert wanted[-1] == END and wanted[0] == SENTINELS[0] and SENTINELS[0] in read
        written = jnp.asarray([[START, *wanted[:-1]]])
        source = models.Inputs(tokens=jnp.asarray(read)[None])
        inputs = models.Inputs(tokens=written, encoder=source)
        hidden = model.apply({"params": params}, inputs).hidden
        logits = model.apply({"params": params}, hidden[0], method="logits")
        nats -= float(ops.gather_log_probs(logits, jnp.asarray(wanted)).sum())
        count += wanted.size
    for deterministic in (False, True):
        loss_sum, weight, metrics = sums(batch, deterministic)
        assert float(loss_sum) == pytest.approx(nats, rel=1e-5)
        assert float(weight) == count and int(metrics["tokens"]) == 18 and int(metrics["overflow"]) == 0


def test_packing_changes_nothing(sums):
    together = sums(packed(((0, 1), (2,))))
    apart = sums(packed(((2,), (1, 0))))
    assert float(together[0]) == pytest.approx(float(apart[0]), rel=1e-5)
    assert float(together[1]) == float(apart[1])


def test_the_decoder_s_rows_have_room():
    plan = data.plan_packing(np.array([6, 4, 8]), 12, long="split")
    room = training.target_capacity(plan, 0.3, 2.0)
    spans = training.corrupt_span_batch(
        RNGS["mask"], packed(((2, 1), (0,))), SPANS._replace(target_length=room)
    )
    assert room == 8 and int(spans.overflow) == 0
    # Of 8 tokens two are hidden, in one span, with a sentinel and an end; of 4 one
    assert (np.asarray(spans.target_segments)[0] > 0).sum() == 4 + 3


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    draw = random.Random(0)
    lines = [f"number {n} is {'odd' if n % 2 else 'even'} and {draw.randint(0, 9)}" for n in range(80)]
    path = tmp_path_factory.mktemp("texts") / "numbers.txt"
    path.write_text("\n".join(lines))
    return training.Experiment(
        objective="seq2seq_lm",
        data=data.DataConfig(paths=(str(path),), row_length=48, validation_share=0.2, test_share=0.2),
        tokenizer=tokenizers.TokenizerConfig(kind="bytes", sentinels=8),
        model=models.TransformerConfig(
            width=16,
            depth=1,
            num_heads=2,
            max_length=48,
            position="relative",
            norm="rms",
            attention_scale=1.0,
            use_bias=False,
            activation="geglu_tanh",
            head="linear",
            head_bias=False,
            tie_embeddings=False,
        ),
        spans=corruption.SpanConfig(rate=0.2),
        run=training.RunConfig(steps=8, batch_size=8, eval_every=4, save_every=4),
    )


@pytest.fixture(scope="module")
def run_folder(experiment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    *_, last = training.train(experiment, folder, devices=jax.local_devices()[:2])
    assert isinstance(last, training.Finished)
    return folder, last


def test_a_run_leaves_a_model_that_is_evaluated_again(experiment, run_folder):
    folder, last = run_folder
    loaded = pretrained.load(folder)
    assert loaded.kind.name == "seq2seq_lm" and loaded.config.decoder.start_id == 256
    assert tokenizers.sentinel_ids(loaded.tokenizer) == tuple(range(260, 268))
    cache = training.make_task(experiment).splits["test"].cache
    again = training.evaluate(
        loaded.model,
        loaded.params,
        loaded.tokenizer,
        cache,
        objective="seq2seq_lm",
        spans=experiment.spans,
        row_length=48,
        batch_size=4,
    )
    assert again.nll == pytest.approx(last.evaluation.nll, rel=1e-5)
    assert again.scored == last.evaluation.scored > 0 and np.isnan(again.unigram_nll)


def test_a_run_goes_back_to_transformers_as_t5(run_folder, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    loaded = pretrained.load(run_folder[0])
    assert pretrained.convert(run_folder[0], tmp_path / "out") == "T5ForConditionalGeneration"
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out").eval()
    assert theirs.lm_head.weight is not theirs.shared.weight and not theirs.config.scale_decoder_outputs
    tokens, written = np.array([[110, 117, 260, 98]]), np.array([[256, 260, 109]])
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor(tokens), decoder_input_ids=torch.tensor(written)).logits
    rows = [jnp.asarray(array, jnp.int32) for array in (tokens, written)]
    inputs = models.Inputs(tokens=rows[1], encoder=models.Inputs(tokens=rows[0]))
    hidden = loaded.model.apply({"params": loaded.params}, inputs).hidden
    found = loaded.model.apply({"params": loaded.params}, hidden, method="logits")
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-4)


def test_a_run_goes_on_from_a_model_its_decoder_s_last_block_alone(experiment, run_folder, tmp_path):
    begun = training.experiment_from_model(str(run_folder[0]), experiment)
    begun = dataclasses.replace(begun, run=dataclasses.replace(begun.run, train_last=0, steps=2))
    *_, last = training.train(begun, tmp_path / "on", devices=jax.local_devices()[:1])
    before, after = (pretrained.load(folder).params for folder in (run_folder[0], last.folder))
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
    assert not any(jax.tree.leaves((moved["encoder"], moved["decoder"]["block_00"])))
    assert moved["decoder"]["final_norm"]["scale"]


def test_texts_are_opened_and_closed_as_the_model_s_file_does_it(experiment, run_folder, tmp_path):
    loaded = pretrained.load(run_folder[0])
    backend = huggingface.Tokenizer.from_str(loaded.tokenizer.to_json())
    backend.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 257)])
    closing = tokenizers.Tokenizer.from_json(backend.to_str())
    assert closing.encode("a", add_specials=True).tolist() == [97, 257]
    pretrained.save_huggingface(tmp_path / "t5", loaded._replace(tokenizer=closing, extra={}))
    begun = training.experiment_from_model(str(tmp_path / "t5"), experiment)
    assert begun.data.ends and begun.ends == "file" and experiment.ends is False
    cache = training.make_task(begun).splits["train"].cache
    assert cache[0][:6].tobytes() == np.frombuffer(b"number", np.uint8).astype(cache[0].dtype).tobytes()
    assert cache[0][-1] == 257


def test_an_encoder_decoder_is_no_classifier_s_beginning(experiment, run_folder):
    with pytest.raises(ValueError, match=r"encoder-decoder and is trained as one: got objective='classif"):
        training.experiment_from_model(
            str(run_folder[0]), dataclasses.replace(experiment, objective="classification")
        )


def test_refusals(experiment):
    def changed(**options):
        return training.Experiment(**{**vars(experiment), **options})

    with pytest.raises(ValueError, match=r"got model\.causal=True with objective='seq2seq_lm'"):
        changed(model=models.TransformerConfig(causal=True))
    with pytest.raises(ValueError, match=r"got tokenizer\.sentinels=0"):
        changed(tokenizer=tokenizers.TokenizerConfig(kind="bytes"))
    with pytest.raises(ValueError, match="corrupts nothing else"):
        changed(input_noise=corruption.NoiseConfig(rate=0.1))
    with pytest.raises(ValueError, match="this tokenizer has none: take T5's"):
        training.make_span_plan(corruption.SpanConfig(), CONFIG, tokenizers.bytes_tokenizer(), [])
    with pytest.raises(ValueError, match=r"spans\.mean_span is at least 1"):
        corruption.SpanConfig(mean_span=0.5)
