"""What a GPU replays is what it would have computed."""

import pytest
import torch

from vab.decoding.replay import replayed


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
def test_every_call_gives_the_function_of_its_input() -> None:
    weights = torch.randn(8, 8, device="cuda")

    def passes(codes: torch.Tensor) -> torch.Tensor:
        return (codes @ weights).softmax(dim=-1)

    replay = replayed(passes)
    with torch.inference_mode():
        for _ in range(4):
            codes = torch.randn(3, 8, device="cuda")
            assert torch.equal(replay(codes), passes(codes))
