"""Attention with intervals, forwards and back.

TiSASRec (section 3.4) adds a learned vector for the interval between i and j to the key and to the
value that i sees of j: two tensors of shape (B, T, T, D), 64 MB each at the paper's sizes. Here

    q_i · (k_j + E_K[r_ij])       Σ_j a_ij (v_j + E_V[r_ij])

are taken apart. The last row of the tables, what lies farthest back, is added to every value (on
keys it would add the same to all that i sees, which softmax ignores), and the other rows less the
last one are summed over the pairs that are near (`fpt_model.engines.cpu.near`).

Letters: B batch, H heads, N queries of a window, T sequence, W width of a head, D = H·W.
"""

import torch
from torch import Tensor

from fpt_model.engines.cpu.chance import Chance
from fpt_model.engines.cpu.layers import Dropout, Placed
from fpt_model.engines.cpu.near import Near


class Attention:
    """Used once, like the layers.

    Args:
        heads: H.
        mask: (B·H, N, T), zero where a query may look, else minus infinity.
        near: near pairs, None without intervals.
        keys, values: rows of the interval tables less the last, (H·(R - 1), W).
        chance: of dropout; None outside of training.
    """

    def __init__(
        self,
        heads: int,
        mask: Tensor,
        near: Near | None,
        keys: Tensor,
        values: Tensor,
        chance: Chance | None,
    ) -> None:
        self.heads, self.mask, self.near = heads, mask, near
        self.keys, self.values, self.dropout = keys, values, Dropout(chance)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries (B, N, D), scaled by 1/√W, keys and values (B, T, D) to (B, N, D)."""
        self.q, self.k, self.v = (self._split(x) for x in (q, k, v))

        # scores, masked by what is added to; near pairs have interval vectors beside
        scores = torch.baddbmm(self.mask, self.q, self.k.transpose(1, 2))
        if self.near is not None:
            self.near.add_products(scores, _rows(self.q), self.keys)

        # softmax, dropout
        self.weights = scores.softmax(2)
        self.kept = self.dropout.copied(self.weights)

        # weighted sums of values, and of interval vectors over near pairs
        if self.near is None:
            return self._join(self.kept @ self.v)
        self.kept_near = self.near.by_group(self.kept)
        extra = self.near.sums_by_query(self.kept_near, self.values).view_as(self.q)
        return self._join(extra.baddbmm_(self.kept, self.v))

    def latest(self, q: Tensor, x: Tensor, key: Placed, value: Placed) -> Tensor:
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
        of_k, of_v = (layer.places[-length:].unflatten(1, heads) for layer in (key, value))

        # scores of every key
        scores = torch.einsum("bhw,hwd->bhd", q, k) @ x.transpose(1, 2)  # (B, H, T)
        scores += torch.einsum("bhw,thw->bht", q, of_k)
        scores = scores.view(self.mask.shape).add_(self.mask)
        if self.near is not None:
            self.near.add_products(scores, _rows(q), self.keys)

        # softmax, weighted sums
        weights = scores.softmax(2).view(batch, self.heads, length)
        out = torch.einsum("bhd,hwd->bhw", weights @ x, v)
        out += torch.einsum("bht,thw->bhw", weights, of_v)
        if self.near is not None:
            out += self.near.sums_by_query(self.near.by_group(weights), self.values).view_as(out)
        return out.flatten(1)

    def back(self, slopes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Slopes (B·T, D) of the output to those of q, k and v, (B, T, D) each."""
        near = self.near

        # gradients of values and of weights
        above = self._split(slopes.view(-1, self.mask.shape[1], slopes.shape[1]))
        of_v = self.kept.transpose(1, 2) @ above
        inner = above @ self.v.transpose(1, 2)
        if near is not None:
            near.add_products(inner, _rows(above), self.values)

        # back through dropout and softmax
        inner = self.dropout.back(inner)
        inner = torch.ops.aten._softmax_backward_data(inner, self.weights, 2, inner.dtype)

        # gradients of keys and queries, and of the interval tables over near pairs
        of_k = inner.transpose(1, 2) @ self.q
        if near is None:
            of_q = inner @ self.k
            self.slopes = torch.zeros_like(self.keys), torch.zeros_like(self.values)
        else:
            inner_near = near.by_group(inner)
            of_q = near.sums_by_query(inner_near, self.keys).view_as(self.q)
            of_q.baddbmm_(inner, self.k)
            self.slopes = (
                near.sums_by_row(inner_near, _rows(self.q)),
                near.sums_by_row(self.kept_near, _rows(above)),
            )
        return self._join(of_q), self._join(of_k), self._join(of_v)

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
