"""The decoder layer against the formulas, and nothing in it has a bias."""

import torch

from vab.nn.llama import LlamaBlock, SwiGLU


def test_a_layer_is_norms_attention_and_a_gated_network() -> None:
    torch.manual_seed(0)
    block, x, times = LlamaBlock(8, 2, 12), torch.randn(2, 5, 8), torch.arange(5) / 50
    torch.nn.init.normal_(block.attention_norm.weight)

    def norm(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        eps = torch.finfo(torch.float32).eps
        return weight * values / (values.pow(2).mean(-1, keepdim=True) + eps).sqrt()

    after = x + block.attention(norm(x, block.attention_norm.weight), times)
    normed = norm(after, block.feed_forward_norm.weight)
    gated = block.feed_forward
    gate = normed @ gated.gate.weight.T
    expected = after + (gate * gate.sigmoid() * (normed @ gated.inner.weight.T)) @ gated.out.weight.T
    torch.testing.assert_close(block(x, times), expected)
    assert not [name for name, _ in block.named_parameters() if "bias" in name]
    assert isinstance(gated, SwiGLU)
