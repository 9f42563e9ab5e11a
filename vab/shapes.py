"""The one legend of axes and tensor names; every annotation in the package refers to it.

Axes
----
====  =====================================================================
B     batch
K     codebooks (residual levels of the codec, coarse first)
S     codec steps
V     entries of one codebook; the embedding table has V + 1 rows, row V is [MASK]
F     visual frames
E     width of a visual feature
D     model width
H     attention heads
N     joint length, visual frames first: N = F + S
C, L  audio channels, audio samples
P     width of an embedding
====  =====================================================================

Tensors
-------
==============  ===========  ============================================================
``codes``       [B, K, S]    int64, 0 <= code < V; V itself only where ``is_masked``
``logits``      [B, K, S, V] raw scores
``is_masked``   [B, K, S]    bool, True = masked, to predict
``is_valid``    [B, S]       bool, True = real, False = padding
``visual``      [B, F, E]    frame features, not normalised: the stream "clip"
``streams``     by name      "codes" [B, K, S], "clip" [B, F, E], any other [B, steps, ...]
``waveform``    [B, C, L]    float in [-1, 1]
``embedding``   [B, P]       unit norm
==============  ===========  ============================================================

Annotations are jaxtyping's, checked by beartype under pytest only (``tests/conftest.py``).
"""

from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

__all__ = ["Bool", "Float", "Int", "Num", "Tensor"]
