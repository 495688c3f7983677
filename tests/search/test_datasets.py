"""Data sets: the catalogue tells the truth, readers refuse what is wrong, fetching leaves nothing half done."""

import gzip
import socketserver
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from search.batches import Batches, harmless_shift, shifted, split_for_search, tensors
from search.datasets import BUILT_IN, DatasetError, DatasetOutOfReach, ImageData, load
from search.datasets.catalog import FASHION_MNIST_SHA256
from search.datasets.data import load_digits, load_npz, read_idx
from search.datasets.fetch import fashion_mnist
from search.space import Input
from search.spec import Search
from tests.search.builders import tiny_digits


def test_the_catalogue_knows_the_digits_that_scikit_learn_carries() -> None:
    digits, facts = load_digits(), BUILT_IN["digits"]
    assert (digits.input, len(digits.y_train), len(digits.y_test)) == (
        facts.input,
        facts.train_examples,
        facts.test_examples,
    )
    assert digits.x_train.max() == 255


def test_an_idx_file_is_read_and_a_cut_off_one_refused(tmp_path: Path) -> None:
    header = b"\x00\x00\x08\x03" + np.array([2, 3, 4], ">u4").tobytes()
    (tmp_path / "whole.gz").write_bytes(gzip.compress(header + bytes(range(24))))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(header + bytes(range(20))))
    (tmp_path / "text.gz").write_bytes(gzip.compress(b"hello"))
    assert read_idx(tmp_path / "whole.gz").shape == (2, 3, 4)
    with pytest.raises(DatasetError, match="holds 20 values, its header promises 24"):
        read_idx(tmp_path / "cut.gz")
    with pytest.raises(DatasetError, match="no IDX file"):
        read_idx(tmp_path / "text.gz")


def test_files_with_another_checksum_are_refused_and_not_kept(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "kept"
    source.mkdir()
    for file in FASHION_MNIST_SHA256:
        (source / file).write_bytes(b"something else")
    with pytest.raises(DatasetOutOfReach, match=r"another checksum.*LUTNAS_FASHION_MNIST"):
        fashion_mnist(folder, print, source=str(source))
    assert list(folder.iterdir()) == []


def test_a_source_out_of_reach_says_what_was_tried(tmp_path: Path) -> None:
    with pytest.raises(DatasetOutOfReach, match=r"http://127\.0\.0\.1:9/data: .*refused"):
        load("fashion-mnist", folder=tmp_path, say=print, source="http://127.0.0.1:9/data")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf", "IncompleteRead"),
    ],
)
def test_a_source_that_speaks_no_whole_http_is_told_as_tried(tmp_path: Path, answer: bytes, said: str) -> None:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        server.timeout = 10
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(DatasetOutOfReach, match=said):
            fashion_mnist(tmp_path, print, source=f"http://127.0.0.1:{server.server_address[1]}")
        thread.join()


def test_an_unknown_name_lists_the_built_in_sets(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="fashion-mnist, digits"):
        load("imagenet", folder=tmp_path, say=print)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"x_train": np.zeros((4, 8, 8), np.uint8)}, "x_train"),
        ({"x_test": np.zeros((2, 1, 8, 9), np.uint8)}, "x_test"),
        ({"y_train": np.array([0, 1, 2, 3], np.int64)}, "y_train: needs labels from 0 to 2"),
        ({"y_test": np.array([0], np.int64)}, "y_test"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused_by_name(
    change: dict[str, np.ndarray], named: str, tmp_path: Path
) -> None:
    arrays: dict[str, np.ndarray] = {
        "x_train": np.zeros((4, 1, 8, 8), np.uint8),
        "y_train": np.array([0, 1, 2, 0], np.int64),
        "x_test": np.zeros((2, 1, 8, 8), np.uint8),
        "y_test": np.array([0, 1], np.int64),
    }
    np.savez(tmp_path / "good.npz", allow_pickle=False, **arrays)
    assert load_npz("mine", tmp_path / "good.npz", 3).classes == 3
    np.savez(tmp_path / "bad.npz", allow_pickle=False, **(arrays | change))
    with pytest.raises(DatasetError, match=named):
        load_npz("mine", tmp_path / "bad.npz", 3)


def test_weights_and_theta_learn_from_different_pictures_that_are_all_used() -> None:
    x = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    data = ImageData("counted", x, np.zeros(100, np.int64), x, np.zeros(100, np.int64), 10)
    weights, theta = split_for_search(data, sides=(80, 20), batch_size=10, seed=0)
    seen = [set(batches.x_NCHW.flatten().tolist()) for batches in (weights, theta)]
    assert (len(seen[0]), len(seen[1])) == (80, 20)
    assert seen[0] | seen[1] == set(range(100))


def test_an_epoch_shows_each_picture_once_in_an_order_of_its_own() -> None:
    x, y = tensors(np.zeros((30, 1, 2, 2), np.uint8), np.arange(30))
    batches = Batches(x, y, 10, 0, "test")
    epochs = [torch.cat([batches.batch(batches.order(epoch), n)[1] for n in range(3)]).tolist() for epoch in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(30))
    assert epochs[0] != epochs[1]


def test_batches_are_the_same_from_however_many_threads_and_in_whatever_order() -> None:
    x, y = tensors(np.arange(120, dtype=np.uint8).reshape(30, 1, 2, 2), np.arange(30))
    batches = Batches(x, y, 10, 0, "test")
    alone = [batches.batch(batches.order(3), number) for number in range(3)]
    with ThreadPoolExecutor(4) as pool:
        many = [*pool.map(lambda number: batches.batch(batches.order(3), number), [2, 0, 1])]
    for number, (x_NCHW, y_N) in zip([2, 0, 1], many, strict=True):
        assert torch.equal(x_NCHW, alone[number][0])
        assert torch.equal(y_N, alone[number][1])


def test_pictures_that_are_not_square_shift_by_a_share_of_either_side() -> None:
    assert harmless_shift(Input(channels=1, height=224, width=32)) == (16, 2)
    x = torch.ones(64, 1, 8, 40)
    moved = shifted(x, (0, 2), seed=0, index=0)
    assert bool((moved.amax(3) == 1).all())  # no row was lost
    left = moved[:, 0, 0].sum(1)
    assert set(left.tolist()) == {38.0, 39.0, 40.0}


def test_a_search_needs_two_pictures_on_either_side() -> None:
    sides = Search(examples=10, theta_share=0.1).sides(1000)
    assert sides == (9, 1)
    with pytest.raises(ValueError, match=r"theta_share: leaves 9 examples for weights and 1 for theta: too few"):
        split_for_search(tiny_digits(), sides=sides, batch_size=4, seed=0)


def test_shifting_moves_whole_pictures_and_fills_with_black() -> None:
    x = torch.rand(50, 2, 6, 5) + 0.1
    moved = shifted(x, (1, 1), seed=0, index=3)
    assert moved.shape == x.shape
    kept = [torch.equal(a, b) for a, b in zip(moved, x, strict=True)]
    assert 0 < sum(kept) < 50
    assert torch.equal(moved, shifted(x, (1, 1), seed=0, index=3))
