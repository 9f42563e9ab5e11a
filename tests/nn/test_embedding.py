"""Code embedding: the codec's vectors, [MASK], one linear a level."""

import pytest
import torch

from vab.nn.embedding import CodeEmbedding


def test_embedding_is_the_sum_of_each_levels_linear() -> None:
    embedding = CodeEmbedding(num_codebooks=3, codebook_size=5, codebook_dim=2, width=7)
    codes = torch.randint(0, 6, (2, 3, 4))
    out = embedding(codes)
    weight = embedding.project.weight
    for b in range(2):
        for s in range(4):
            expected = embedding.project.bias.clone()
            for k in range(3):
                expected += weight[:, 2 * k : 2 * k + 2] @ embedding.tables[k, codes[b, k, s]]
            torch.testing.assert_close(out[b, s], expected)


def test_tables_start_as_the_codebooks_and_keep_a_mask_row() -> None:
    embedding = CodeEmbedding(num_codebooks=2, codebook_size=5, codebook_dim=3, width=7)
    mask_row = embedding.tables[:, -1].clone()
    codebooks = torch.randn(2, 5, 3) * torch.tensor([10.0, 0.1])[:, None, None]
    embedding.load_codebooks(codebooks)
    torch.testing.assert_close(embedding.tables[:, :-1].std(dim=(1, 2)), torch.ones(2))
    for level in range(2):
        distance = torch.cdist(codebooks[level], codebooks[level])
        ours = torch.cdist(embedding.tables[level, :-1], embedding.tables[level, :-1])
        torch.testing.assert_close(ours / ours.max(), distance / distance.max())
    assert torch.equal(embedding.tables[:, -1], mask_row)


def test_codebooks_of_another_shape_are_refused() -> None:
    embedding = CodeEmbedding(num_codebooks=2, codebook_size=5, codebook_dim=3, width=7)
    with pytest.raises(ValueError, match=r"\(2, 4, 3\)"):
        embedding.load_codebooks(torch.zeros(2, 4, 3))
