"""The peer of `generation.py`: `transformers.GPT2LMHeadModel` and its generate, in torch."""

import numpy as np
from _generation_shape import PROMPT_SEED, Shape
from _sides import serve


def start(options: dict):
    """Returns a step, which generates or prefills, and what there is to tell about it."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = Shape(*options["shape"])
    config = GPT2Config(
        vocab_size=shape.vocab_size,
        n_embd=shape.width,
        n_layer=shape.depth,
        n_head=shape.heads,
        n_positions=shape.context,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    device = torch.device(options["device"])
    dtype = getattr(torch, options["dtype"])
    model = GPT2LMHeadModel._from_config(config, attn_implementation="sdpa").to(device, dtype).eval()
    size = (options["batch"], options["prompt"])
    prompts = torch.tensor(np.random.default_rng(PROMPT_SEED).integers(0, shape.vocab_size, size)).to(device)

    @torch.inference_mode()
    def generate() -> int:
        written = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=options["new"],
            do_sample=False,
        )
        return written[:, prompts.shape[1] :].cpu().numel()

    @torch.inference_mode()
    def prefill() -> int:
        model(prompts, use_cache=True, logits_to_keep=1).logits.cpu()
        return prompts.numel()

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return prefill if options["task"] == "prefill" else generate, {"device": name}


serve(start)
