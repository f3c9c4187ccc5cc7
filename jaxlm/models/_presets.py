"""Named model sizes. Make variations with `dataclasses.replace`."""

from jaxlm.models._config import TransformerConfig
from jaxlm.models._config_parts import TransformHead
from jaxlm.models._position import Instruction

PRESETS: dict[str, TransformerConfig] = {
    "tiny": TransformerConfig(width=128, depth=2, num_heads=2),
    "small": TransformerConfig(width=512, depth=4, num_heads=8),
    "base": TransformerConfig(width=768, depth=12, num_heads=12, mlp_width=3072),
    "large": TransformerConfig(width=1024, depth=24, num_heads=16, mlp_width=4096),
    # Undertale's only size: LayerNorms of two epsilons, an untied head, and no norm after the last block.
    "undertale-medium": TransformerConfig(
        width=768,
        depth=12,
        num_heads=12,
        mlp_width=3072,
        max_length=512,
        position=Instruction(next_id=5),
        norm_epsilon=1e-5,
        final_norm=False,
        embedding_norm=True,
        embedding_norm_epsilon=1e-12,
        embedding_dropout=0.1,
        mlp_dropout=0.1,
        tie_embeddings=False,
        head=TransformHead(epsilon=1e-12),
    ),
}
