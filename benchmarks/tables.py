"""Tables of Markdown between two comments of a file: a script writes them, a test compares.

<!-- results: begin, made by python benchmarks/show_results.py -->
<!-- results: end -->
"""

import re
from collections.abc import Sequence
from statistics import mean, stdev


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown.

    >>> print(table(["model", "NDCG"], [["SASRec", ".57"]]))
    | model | NDCG |
    |---|---|
    | SASRec | .57 |
    """
    lines = [header, *rows]
    texts = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([texts[0], "|" + "---|" * len(header), *texts[1:]])


def replaced(text: str, name: str, body: str) -> str:
    """The text with another body between the comments of that name.

    Raises:
        ValueError: the text has no such comments.
    """
    found = re.compile(rf"(<!-- {name}: begin[^>]*-->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    if not found.search(text):
        raise ValueError(f"No comments <!-- {name}: begin --> and <!-- {name}: end -->")
    return found.sub(lambda match: f"{match[1]}\n{body}\n\n{match[2]}", text)


def over_seeds(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation; of one value, itself.

    >>> over_seeds([0.57, 0.59]), over_seeds([0.5])
    ('.5800 ± .0141', '.5000')
    """
    spread = f" ± {short(stdev(values))}" if len(values) > 1 else ""
    return short(mean(values)) + spread


def short(value: float) -> str:
    """Four digits, without a zero before the point.

    >>> short(0.56789), short(-0.0312), short(1.0)
    ('.5679', '-.0312', '1.0000')
    """
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.4f}")
