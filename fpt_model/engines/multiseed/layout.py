"""All weights of S seeds as one (S, P) tensor: every tensor padded to what kernels like.

The last dimension becomes a power of two, rows a multiple of a tile's, a tensor a multiple of
`BLOCK`. Padding is zero, its gradient is zero, so Adam leaves it zero. Tables that are looked up
come first: their gradients are scattered, all others are sums of partial sums. Tables that all
blocks use, positions and intervals, come last. Blocks follow one another, each with its tensors in
the order of the model: kernels reckon with it (`multiseed.tiles`).
"""

from fpt_model.engines.gpu.features import inputs_of, of_items
from fpt_model.engines.gpu.layout import EMBEDDINGS, Layout, power_of_two
from fpt_model.model.encoder import Encoder

MOST_ROWS = 64  # of the interval table, that a program takes at a time
SHARED = ("positions", "intervals")


def chunked(n_rows: int) -> tuple[int, int]:
    """Interval rows with padding, and how many of them a program takes at a time.

    >>> [chunked(n) for n in (10, 41, 100, 257, 260)]
    [(16, 16), (48, 32), (112, 64), (272, 64), (272, 64)]
    """
    chunk = min(MOST_ROWS, max(16, 1 << n_rows.bit_length() - 1))
    return -(-n_rows // 16) * 16, chunk


class PaddedLayout(Layout):
    """Places of a model's tensors; see `Layout`.

    Args:
        model: gives names and shapes.

    Attributes:
        embedding_size: elements of the tables that come first.
        shared: elements of those that come last.
        width, length, rows: padded D, T and R.
        chunk: see `chunked`.
        blocks: the first element of the first block.
        inputs: as kernels take them; `of_items`: what they look up of items, by name.
    """

    def __init__(self, model: Encoder) -> None:
        super().__init__()
        config = model.config
        self.width, self.length = power_of_two(config.width), power_of_two(config.max_length)
        n_rows = config.time_span + 1 + len(model.edges) if config.intervals else 1
        self.rows, self.chunk = chunked(n_rows)
        shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
        ordered = sorted(shapes, key=lambda name: (name.startswith(SHARED), name not in EMBEDDINGS))
        self.embedding_size = self.shared = 0
        for name in ordered:
            self._add_slot(name, shapes[name])
            if name in EMBEDDINGS:
                self.embedding_size = self.size
            if name.startswith(SHARED):
                self.shared += self.slots[name].size
        self.blocks = self.offset("blocks.0.norm_attention.weight")
        self.inputs = inputs_of(model, self)
        self.item_features = {
            feature.name: of_items(model, feature)
            for feature, _ in model.tables()
            if feature.per == "item"
        }

    def _add_slot(self, name: str, shape: tuple[int, ...]) -> None:
        """Positions lie at the end of theirs, as windows do."""
        if name in EMBEDDINGS:
            self.add(name, shape, power_of_two(shape[1]))
        elif name.startswith("positions"):
            self.add(name, shape, self.width, self.length, self.length - shape[0])
        elif name.startswith("intervals"):
            self.add(name, shape, self.width, self.rows)
        elif len(shape) == 2:
            self.add(name, shape, self.width, self.width)
        else:
            self.add(name, shape, 1, self.width)
