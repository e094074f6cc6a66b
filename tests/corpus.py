"""Files that once broke a reader, or would break a careless one: each is made of a whole file of the same reader."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import torch
from pyarrow import parquet

__all__ = ["CORPUS", "Kept"]


class Kept(NamedTuple):
    """A damage: the reader, its file, and what becomes of the file's bytes."""

    reader: str
    file: str
    change: Callable[[bytes], bytes]


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(share * len(content))]


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new)

    return change


def text(written: str) -> Callable[[bytes], bytes]:
    return lambda _: written.encode()


def with_value(value: Any, *keys: str | int) -> Callable[[bytes], bytes]:
    """A JSON file with one of its values another."""

    def change(content: bytes) -> bytes:
        values = holder = json.loads(content)
        for key in keys[:-1]:
            holder = holder[key]
        holder[keys[-1]] = value
        return json.dumps(values).encode()

    return change


def with_array(name: str, change: Callable[[np.ndarray], np.ndarray | bytes | None]) -> Callable[[bytes], bytes]:
    """An npz archive with one of its arrays another, or the bytes of none, or without it."""

    def changed(content: bytes) -> bytes:
        import zipfile

        found = zipfile.ZipFile(io.BytesIO(content))
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for each in found.namelist():
                data: Any = found.read(each)
                if each == f"{name}.npy":
                    data = change(np.load(io.BytesIO(data)))
                if isinstance(data, np.ndarray):
                    buffer = io.BytesIO()
                    np.save(buffer, data)
                    data = buffer.getvalue()
                if data is not None:
                    archive.writestr(each, data)
        return made.getvalue()

    return changed


def in_zip(local: int, central: int, value: int) -> Callable[[bytes], bytes]:
    """A zip archive with a field of both headers of each member another."""

    def change(content: bytes) -> bytes:
        made = bytearray(content)
        for mark, at in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
            place = content.find(mark)
            while place >= 0:
                made[place + at : place + at + 2] = struct.pack("<H", value)
                place = content.find(mark, place + 4)
        return bytes(made)

    return change


def lying(shape: tuple[int, ...]) -> Callable[[Any], bytes]:
    """An array that says that it has that shape."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return lambda _: b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"\0"


def unclosed(_: Any) -> bytes:
    """An array whose header opens a bracket and ends."""
    header = "{'descr': '|u1', 'shape': (".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


def spanning(content: bytes) -> bytes:
    """A zip archive that says that it is the last disk of several."""
    at = content.rfind(b"PK\x06\x07") + 4
    assert at > 4
    return content[:at] + b"\x09" + content[at + 1 :]


def with_column(name: str, change: Callable[[pyarrow.Array], pyarrow.Array]) -> Callable[[bytes], bytes]:
    """A Parquet file with one of its columns another."""

    def changed(content: bytes) -> bytes:
        table = parquet.read_table(io.BytesIO(content))
        made = change(table[name].combine_chunks())
        parquet.write_table(table.set_column(table.column_names.index(name), name, made), file := io.BytesIO())
        return file.getvalue()

    return changed


def no_text(column: pyarrow.Array) -> pyarrow.Array:
    """As many texts that are none."""
    return pyarrow.array([b"\x8b"] * len(column), pyarrow.binary()).view(pyarrow.string())


def enormous(_: bytes) -> bytes:
    """A PNG of a few bytes that says that it has 60000 × 60000 pixels."""
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"")))
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def around(_: bytes) -> bytes:
    """A TIFF whose first page is followed by itself."""
    return b"II*\0" + struct.pack("<IHHHIII", 8, 1, 256, 4, 1, 6, 8)


def without_weights(content: bytes) -> bytes:
    """A checkpoint of a run with the weights of another network."""
    state = torch.load(io.BytesIO(content), weights_only=True)
    buffer = io.BytesIO()
    torch.save({**state, "model": {"a": torch.zeros(1)}}, buffer)
    return buffer.getvalue()


DEEP = "[" * 100_000
ENCRYPTED, PACKED = in_zip(6, 8, 1), in_zip(8, 10, 99)
CORPUS: dict[str, Kept] = {
    "an enormous picture": Kept("picture.png", "a.png", enormous),
    "pages in a circle": Kept("picture.tif", "a.tif", around),
    "half a picture": Kept("picture.jpg", "a.jpg", cut(0.2)),
    "an array that is larger than its file": Kept("labelled", "*.npz", with_array("label", lying((10**12,)))),
    "an array of no shape": Kept("npz", "*.npz", with_array("offset", lying((-1,)))),
    "an array whose header has no end": Kept("labelled", "*.npz", with_array("label", unclosed)),
    "offsets that run backwards": Kept("labelled", "*.npz", with_array("offset", lambda offset: offset[::-1])),
    "a label without end": Kept("labelled", "*.npz", with_array("label", lambda label: label + 10**8)),
    "a label between two": Kept("labelled", "*.npz", with_array("label", lambda label: label + 0.7)),
    "an encrypted archive": Kept("labelled", "*.npz", ENCRYPTED),
    "an archive that is packed otherwise": Kept("labelled", "*.npz", PACKED),
    "classes from 1": Kept("class table", "classes.csv", text("label,words\n1,cat\n2,hen\n")),
    "a class twice": Kept("class table", "classes.csv", text("label,words\n0,cat\n0,hen\n")),
    "a class that is skipped": Kept("class table", "classes.csv", text("label,words\n0,cat\n2,hen\n")),
    "a class without end": Kept("class table", "classes.csv", text("label,words\n0,cat\n100000000,hen\n")),
    "no table of classes": Kept("class table", "classes.csv", lambda _: b"\xff\xfe\0,\0\n\0"),
    "a picture to learn from that is none": Kept("training folder", "train/cat/a.png", text("none")),
    "a picture without a name": Kept("cub", "images.txt", text("1")),
    "files of a run that are none": Kept("training", "manifest.json", with_value(None, "files", 0)),
    "an empty line among names": Kept("class names", "names.txt", text("cat\n\ndog\n")),
    "names that are no text": Kept("class names", "names.txt", lambda _: b"caf\xe9\n"),
    "runs without end": Kept(
        "scenes",
        "annotations/*.json",
        with_value({"size": [4, 6], "counts": [10**12]}, "annotations", 0, "segmentation"),
    ),
    "a scene of enormous size": Kept("scenes", "annotations/*.json", with_value(10**9, "images", 0, "width")),
    "a kind of objects without a name": Kept("scenes", "annotations/*.json", replaced(b'"name"', b'"nome"')),
    "a deep card": Kept("model", "model.json", text(DEEP)),
    "a network without end": Kept("model", "model.json", with_value(10**9, "arguments", "embed_dim")),
    "a network of no heads": Kept("model", "model.json", with_value(0, "arguments", "num_heads")),
    "weights with an endless head": Kept("model", "model.safetensors", lambda whole: b"\xff" * 8 + whole[8:]),
    "half the weights": Kept("model", "model.safetensors", cut(0.5)),
    "half a checkpoint": Kept("checkpoint", "a.pth", cut(0.5)),
    "a checkpoint on several disks": Kept("checkpoint", "a.pth", spanning),
    "a detector that is a classifier": Kept(
        "detector", "model.json", with_value("vit_tiny_patch16_224", "architecture")
    ),
    "a detector of no classes": Kept("detector", "model.json", with_value([], "class_names")),
    "a plan that runs code": Kept("plan", "plan.toml", replaced(b'["rollout"]', b'["subprocess:Popen"]')),
    "a plan whose data run code": Kept("plan", "plan.toml", replaced(b"folder:x", b"os.path:join:x")),
    "a deep plan": Kept("plan", "plan.toml", text(f"a = {DEEP}")),
    "a deep recipe": Kept("recipe", "recipe.toml", text(f"a = {DEEP}")),
    "a recipe of no number": Kept("recipe", "recipe.toml", text("epochs = nan")),
    "a detector's recipe of words": Kept("detection recipe", "recipe.toml", text('lr = "fast"')),
    "a manifest that leads elsewhere": Kept("ledger", "manifest.json", with_value({"../../b": "a.png"}, "files")),
    "a manifest of nothing": Kept("ledger", "manifest.json", text("null")),
    "a manifest that no JSON is": Kept("ledger", "manifest.json", text('{"job": "explain", "pictures": NaN}')),
    "a manifest that runs code": Kept(
        "manifest", "out/manifest.json", with_value({"subprocess:Popen": {"settings": {"args": "true"}}}, "methods")
    ),
    "a manifest of another device": Kept("manifest", "out/manifest.json", with_value("cuda:99", "device")),
    "a manifest of another picture": Kept("manifest", "out/manifest.json", with_value({"a": "nowhere.png"}, "files")),
    "a manifest of several commands": Kept("manifest", "out/manifest.json", with_value(["explain"], "job")),
    "a manifest whose model is a list": Kept("manifest", "out/manifest.json", with_value(["x"], "model")),
    "half a table of results": Kept("results", "results/*.parquet", cut(0.5)),
    "results that are no text": Kept("results", "results/*.parquet", with_column("model", no_text)),
    "results that are no numbers": Kept(
        "results", "results/*.parquet", with_column("values", lambda found: pyarrow.array(["x"] * len(found)))
    ),
    "results without a model": Kept(
        "results", "results/*.parquet", with_column("model", lambda found: pyarrow.nulls(len(found), pyarrow.string()))
    ),
    "half an index of cases": Kept("cases", "a.parquet", cut(0.5)),
    "an index of names that are no text": Kept("cases", "a.parquet", with_column("picture", no_text)),
    "an index of no pictures": Kept(
        "cases", "a.parquet", with_column("shown", lambda found: pyarrow.array([b"x"] * len(found)))
    ),
    "an explanation in whole numbers": Kept("explanation", "a.npz", with_array("heatmap", lambda it: it.astype("<i8"))),
    "a report of pictures that are none": Kept("report", "out/manifest.json", with_value(["x"], "pictures")),
    "a report of pictures in a table": Kept("report", "out/manifest.json", with_value({"a": 1}, "pictures")),
    "a report of a numbered picture": Kept("report", "out/manifest.json", with_value(None, "pictures", 0, "file")),
    "a report that leads elsewhere": Kept("report", "out/manifest.json", with_value("../../b", "pictures", 0, "name")),
    "a report without versions": Kept("report", "out/manifest.json", with_value(None, "versions")),
    "a plan of shards that is a word": Kept("batch", "out/manifest.json", with_value("x", "plan")),
    "a plan of many shards": Kept("batch", "out/manifest.json", with_value("many", "plan", "shards")),
    "a list of shards that are none": Kept("batch", "out/shards.jsonl", text("null")),
    "a shard of words": Kept(
        "batch", "out/shards.jsonl", text('{"kind": "files", "names": "ab", "count": 2, "first": 0}')
    ),
    "a benchmark of no models": Kept("benchmark", "manifest.json", with_value([], "models")),
    "a benchmark whose method is a number": Kept("benchmark", "manifest.json", with_value(1, "methods", "rollout")),
    "a benchmark whose failures are a number": Kept(
        "benchmark", "manifest.json", with_value(1, "models", "m", "unread")
    ),
    "an explanation without its map": Kept("explanation", "a.npz", with_array("heatmap", lambda _: None)),
    "an explanation of a deep text": Kept("explanation", "a.npz", with_array("about", lambda _: np.array(DEEP))),
    "a checkpoint of another network": Kept("training", "checkpoint.pt", without_weights),
    "a log of words": Kept("training", "log.csv", replaced(b"\r\n1,", b"\r\none,")),
    "answers of another shape": Kept("answers", "answers.npz", with_array("known", lambda known: known[:, 1:])),
    "answers that are numbers": Kept("answers", "answers.npz", with_array("known", lambda known: known + 0.5)),
    "answers without their end": Kept("answers", "answers.bin", cut(0.5)),
    "figures of others": Kept("figures", "evaluation.json", text('{"job": "detect evaluate"}')),
}
"""By what is the matter. Each is refused. What a fuzz test finds joins them."""
