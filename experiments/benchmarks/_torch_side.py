"""The peer: `transformers.BertForMaskedLM` in torch, its own collator, AdamW, autocast for bfloat16."""

import contextlib
import itertools

from _shape import FIRST_WORD, LEARNING_RATE, MASK_ID, VOCABULARY, WEIGHT_DECAY, step_flops
from _sides import serve


def start(options: dict):
    """Returns a step, eager or compiled, and what there is to tell about it."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    device = torch.device(options["device"])
    rate = options["dropout"]
    attention_rate = rate if options["attention_dropout"] is None else options["attention_dropout"]
    config = BertConfig(
        num_hidden_layers=options["depth"],
        hidden_dropout_prob=rate,
        attention_probs_dropout_prob=attention_rate,
    )
    model = BertForMaskedLM._from_config(config, attn_implementation="sdpa").to(device).train()
    forward = torch.compile(model, dynamic=options["data"] == "mixed") if options["compile"] else model
    batches, facts = (mixed if options["data"] == "mixed" else full)(options, device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return trained(options, model, forward, batches, device), facts | {"device": name}


def trained(options: dict, model, forward, batches, device):
    import torch

    decayed, rest = [], []
    for name, parameter in model.named_parameters():
        (decayed if parameter.ndim == 2 and "embeddings" not in name else rest).append(parameter)
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-8, fused=True)
    narrow = options["dtype"] == "bfloat16"

    def cast():
        return torch.autocast(device.type, torch.bfloat16) if narrow else contextlib.nullcontext()

    def once() -> int:
        batch = next(batches)
        with cast():
            loss = forward(**batch).loss
        loss.backward()
        if options["clip"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if not torch.isfinite(loss):  # waits for the device
            raise FloatingPointError("the loss is not finite")
        return int(batch["attention_mask"].sum())

    return once


def full(options: dict, device):
    """Rows without padding, of ids drawn at random, 15 % of each masked."""
    import torch

    batch, length = options["batch"], options["length"]
    generator = torch.Generator().manual_seed(0)
    clean = torch.randint(FIRST_WORD, VOCABULARY, (batch, length), generator=generator)
    chosen = torch.rand(batch, length, generator=generator).argsort(-1) < round(0.15 * length)
    rows = {
        "input_ids": clean.masked_fill(chosen, MASK_ID),
        "attention_mask": torch.ones_like(clean),
        "labels": clean.masked_fill(~chosen, -100),
    }
    flops = step_flops(batch, length, batch * length, options["depth"]).total
    facts = {"rows": [batch, length], "head_rows": batch * length, "flops": flops}
    return itertools.repeat({name: tensor.to(device) for name, tensor in rows.items()}), facts


def mixed(options: dict, device):
    """The embedded corpus's functions, 16 a batch, padded to the longest of the batch by the collator."""
    import torch
    from torch.utils.data import DataLoader, RandomSampler
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast
    from transformers.trainer_pt_utils import LengthGroupedSampler

    from jaxlm import data, tokenizers

    prepared = data.prepare(data.DataConfig(), tokenizers.TokenizerConfig())
    cache = prepared.caches["train"]
    examples = [{"input_ids": cache[index][: options["length"]].tolist()} for index in range(len(cache))]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=prepared.tokenizer.backend,
        pad_token="[PAD]",
        mask_token="[MASK]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        additional_special_tokens=["[NEXT]"],
    )
    lengths = [len(example["input_ids"]) for example in examples]
    generator = torch.Generator().manual_seed(0)
    sampler = (
        LengthGroupedSampler(options["batch"], lengths=lengths, generator=generator)
        if options["grouped"]
        else RandomSampler(examples, generator=generator)
    )
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    loader = DataLoader(examples, batch_size=options["batch"], sampler=sampler, collate_fn=collator)

    def batches():
        for batch in itertools.chain.from_iterable(itertools.repeat(loader)):
            yield {name: tensor.to(device) for name, tensor in batch.items()}

    return batches(), {"rows": [options["batch"], options["length"]]}


if __name__ == "__main__":
    serve(start)
