"""Attention with intervals, forwards and back.

TiSASRec (section 3.4) adds a learned vector for the interval between i and j to the key and to the
value that i sees of j: two tensors of shape (B, T, T, D), 64 MB each at the paper's sizes. Here

    q_i · (k_j + E_K[r_ij])       Σ_j a_ij (v_j + E_V[r_ij])

are taken apart. The last row of the tables, what lies farthest back, is added to every value (on
keys it would add the same to all that i sees, which softmax ignores), and the other rows less the
last one are summed over the pairs that are near (`fpt_model.engines.cpu.unclipped`).

Letters: B batch, H heads, N queries of a window, T sequence, W width of a head, D = H·W.
"""

import torch
from torch import Tensor

from fpt_model.engines.cpu.layers import Dropout, PositionalLinear
from fpt_model.engines.cpu.rng import Rng
from fpt_model.engines.cpu.unclipped import UnclippedPairs


class Attention:
    """Used once, like the layers.

    Args:
        heads: H.
        mask: (B·H, N, T), zero where a query may look, else minus infinity.
        unclipped: unclipped pairs, None without intervals.
        keys, values: rows of the interval tables less the last, (H·(R - 1), W).
        rng: of dropout; None outside of training.
    """

    def __init__(
        self,
        heads: int,
        mask: Tensor,
        unclipped: UnclippedPairs | None,
        keys: Tensor,
        values: Tensor,
        rng: Rng | None,
    ) -> None:
        self.heads, self.mask, self.unclipped = heads, mask, unclipped
        self.keys, self.values, self.dropout = keys, values, Dropout(rng)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries (B, N, D), scaled by 1/√W, keys and values (B, T, D) to (B, N, D)."""
        self.q, self.k, self.v = (self._split(x) for x in (q, k, v))

        # scores, masked by what is added to; unclipped pairs have interval vectors beside
        scores = torch.baddbmm(self.mask, self.q, self.k.transpose(1, 2))
        if self.unclipped is not None:
            self.unclipped.add_products(scores, _rows(self.q), self.keys)

        # softmax, dropout
        self.weights = scores.softmax(2)
        self.dropped_weights = self.dropout.applied(self.weights)

        # weighted sums of values, and of interval vectors over unclipped pairs
        if self.unclipped is None:
            return self._join(torch.bmm(self.dropped_weights, self.v))
        self.dropped_unclipped = self.unclipped.by_group(self.dropped_weights)
        extra = self.unclipped.sums_by_query(self.dropped_unclipped, self.values).view_as(self.q)
        return self._join(extra.baddbmm_(self.dropped_weights, self.v))

    def latest(
        self, q: Tensor, x: Tensor, key: PositionalLinear, value: PositionalLinear
    ) -> Tensor:
        """What `forward` gives for one query of each window, (B, D) to (B, D).

        q · (K x_j + p_j) = Kᵀq · x_j + q · p_j, and Σ a_j (V x_j + p_j) = V Σ a_j x_j + Σ a_j p_j:
        products once a window instead of once a token.

        Args:
            q: scaled likewise.
            x: (B, T, D), what keys and values are made of.
            key, value: by these.
        """
        (batch, length, _), heads = x.shape, (self.heads, -1)

        # weights and position vectors by head
        q = q.unflatten(1, heads)  # (B, H, W)
        k, v = (layer.weight.unflatten(0, heads) for layer in (key, value))  # (H, W, D)
        k_positions, v_positions = (
            layer.positions[-length:].unflatten(1, heads) for layer in (key, value)
        )

        # scores of every key
        scores = torch.einsum("bhw,hwd->bhd", q, k) @ x.transpose(1, 2)  # (B, H, T)
        scores += torch.einsum("bhw,thw->bht", q, k_positions)
        scores = scores.view(self.mask.shape).add_(self.mask)
        if self.unclipped is not None:
            self.unclipped.add_products(scores, _rows(q), self.keys)

        # softmax, weighted sums
        weights = scores.softmax(2).view(batch, self.heads, length)
        out = torch.einsum("bhd,hwd->bhw", weights @ x, v)
        out += torch.einsum("bht,thw->bhw", weights, v_positions)
        if self.unclipped is not None:
            out += self.unclipped.sums_by_query(
                self.unclipped.by_group(weights), self.values
            ).view_as(out)
        return out.flatten(1)

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients (B·T, D) of the output to those of q, k and v, (B, T, D) each."""
        unclipped = self.unclipped

        # gradients of values and of weights
        d_out = self._split(grad.view(-1, self.mask.shape[1], grad.shape[1]))
        dv = torch.bmm(self.dropped_weights.transpose(1, 2), d_out)
        d_scores = torch.bmm(d_out, self.v.transpose(1, 2))
        if unclipped is not None:
            unclipped.add_products(d_scores, _rows(d_out), self.values)

        # back through dropout and softmax
        d_scores = self.dropout.backward(d_scores)
        d_scores = torch.ops.aten._softmax_backward_data(d_scores, self.weights, 2, d_scores.dtype)

        # gradients of keys and queries, and of the interval tables over unclipped pairs
        dk = torch.bmm(d_scores.transpose(1, 2), self.q)
        if unclipped is None:
            dq = torch.bmm(d_scores, self.k)
            self.grads = torch.zeros_like(self.keys), torch.zeros_like(self.values)
        else:
            d_unclipped = unclipped.by_group(d_scores)
            dq = unclipped.sums_by_query(d_unclipped, self.keys).view_as(self.q)
            dq.baddbmm_(d_scores, self.k)
            self.grads = (
                unclipped.sums_by_row(d_unclipped, _rows(self.q)),
                unclipped.sums_by_row(self.dropped_unclipped, _rows(d_out)),
            )
        return self._join(dq), self._join(dk), self._join(dv)

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B·H, T, W)."""
        if self.heads == 1:
            return x
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2).flatten(0, 1)

    def _join(self, x: Tensor) -> Tensor:
        """(B·H, T, W) to (B, T, D)."""
        if self.heads == 1:
            return x
        return x.unflatten(0, (-1, self.heads)).transpose(1, 2).flatten(2)


def _rows(x: Tensor) -> Tensor:
    """(B·H, N, W) to (B·H·N, W)."""
    return x.flatten(0, 1)


def attention_mask(
    padded: Tensor, length: int, latest: int, heads: int, dtype: torch.dtype
) -> Tensor:
    """(B·H, N, T): zero where i may look at j, else minus infinity.

    Args:
        padded: (B,) number of padded places, which see only themselves and are seen by no other.
        length: T.
        latest: N.
        heads: H.
        dtype: of the scores.
    """
    place = torch.arange(length)
    ahead = torch.full((length, length), float("-inf"), dtype=dtype).triu(1)  # (T, T)
    if not padded.any():
        return ahead[-latest:].expand(len(padded) * heads, -1, -1)

    # padded keys are hidden, but each place sees itself: a row without any key has no softmax
    padding = torch.zeros(len(padded), length, dtype=dtype)
    padding.masked_fill_(place < padded[:, None], float("-inf"))  # (B, T)
    mask = ahead[-latest:] + padding[:, None]  # (B, N, T)
    mask.diagonal(length - latest, dim1=1, dim2=2).zero_()
    return mask.repeat_interleave(heads, 0) if heads > 1 else mask
