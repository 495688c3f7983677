"""What is known of the built-in data sets without opening them: the API answers from here. Loads nothing heavy."""

import hashlib
from typing import NamedTuple

from search.space import Input

FASHION_MNIST_SHA256 = {  # of the compressed IDX files, as the authors publish them
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
DIGITS_SHA256 = (
    "65e5b4619795efb40c1082f4c350c049e4ad552200d369b6ae99e21eef5e72c5"  # pixels as uint8, then labels as int64
)


class DatasetFacts(NamedTuple):
    """Shape and size of a data set; `content_hash` is what a job pins."""

    name: str
    input: Input
    classes: int
    class_names: tuple[str, ...]
    train_examples: int
    test_examples: int
    content_hash: str
    note: str


BUILT_IN = {
    facts.name: facts
    for facts in (
        DatasetFacts(
            "fashion-mnist",
            Input(channels=1, height=28, width=28),
            10,
            ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
            60_000,
            10_000,
            hashlib.sha256("".join(FASHION_MNIST_SHA256.values()).encode()).hexdigest(),
            "Fashion-MNIST (Xiao 2017), MIT licence; a worker fetches it when a job first needs it.",
        ),
        DatasetFacts(
            "digits",
            Input(channels=1, height=8, width=8),
            10,
            tuple("0123456789"),
            1_438,
            359,
            DIGITS_SHA256,
            "Handwritten digits (Alpaydin 1998), as scikit-learn carries them; every fifth is a test picture.",
        ),
    )
}
