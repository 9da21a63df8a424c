"""Products of tokens with weights on this CPU: oneDNN's time beside MKL's, one thread.

    python benchmarks/cpu_products.py

Says whether `fpt_model/engines/cpu/products.py` chooses well here. A figure is the least over the
rounds of processor time per product, both libraries in turn, so that other programs disturb it
little; above 1 MKL is faster.
"""

import argparse
import time
from collections.abc import Callable
from itertools import product
from unittest import mock

import torch
from results import cpu

from fpt_model.engines.cpu import products

Product = Callable[[], object]
TOKENS, WIDTHS = (400, 1600, 3200), (50, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--times", type=int, default=100, help="products a round")
    asked = parser.parse_args()
    if not torch.backends.mkldnn.is_available():
        parser.exit(message="This PyTorch has no oneDNN, so MKL takes every product.\n")
    torch.set_num_threads(1)
    print(f"{cpu()}; the product takes {'oneDNN' if products.by_onednn() else 'MKL'} here")
    print("| tokens | width | with bias and ReLU | onto others | a weight's gradient |")
    print("|---|---|---|---|---|")
    for tokens, width in product(TOKENS, WIDTHS):
        found = (ratio(one, asked.rounds, asked.times) for one in products_of(tokens, width))
        print(f"| {tokens} | {width} |", " | ".join(f"{one:.2f}" for one in found), "|")


def products_of(tokens: int, width: int) -> tuple[Product, Product, Product]:
    """The three that a step takes, of numbers drawn anew."""
    x, grad, others = torch.randn(3, tokens, width)
    weight, bias = torch.randn(width, width), torch.randn(width)
    return (
        lambda: products.linear(x, weight, bias, relu=True),
        lambda: products.linear_onto(x, weight, others),
        lambda: products.outer_sum(grad, x),
    )


def ratio(one: Product, rounds: int, times: int) -> float:
    """oneDNN's time over MKL's."""
    least = dict.fromkeys((True, False), float("inf"))
    for _, onednn in product(range(rounds), least):
        with mock.patch.object(products, "by_onednn", lambda onednn=onednn: onednn):
            one()  # a new shape is compiled
            began = time.process_time()
            for _ in range(times):
                one()
            least[onednn] = min(least[onednn], (time.process_time() - began) / times)
    return least[True] / least[False]


if __name__ == "__main__":
    main()
