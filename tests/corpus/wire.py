"""Files whose bytes are no message, or not the message that they seem to be."""

from __future__ import annotations

import bz2
import lzma
import zlib

from tests.corpus.making import SOUND, Maker, field, length, of_bytes, varint

_GROUP, _END = 3, 4
TEXT = b'ir_version: 8\ngraph { node { input: "x" output: "y" op_type: "Relu" } name: "g" }\n'
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(64)


def _groups(depth: int) -> bytes:
    return field(999, _GROUP, b"") * depth + field(999, _END, b"") * depth


def _deep_type(depth: int) -> bytes:
    """A value_info of sequence of sequence of ..."""
    kind = b""
    for _ in range(depth):
        kind = field(4, 2, length(field(1, 2, length(kind))))
    value = field(1, 2, length(b"deep")) + field(2, 2, length(kind))
    return SOUND + field(7, 2, length(field(13, 2, length(value))))


MODELS: dict[str, Maker] = {
    "text_protobuf": of_bytes(TEXT),
    "xml": of_bytes(b'<?xml version="1.0"?><net name="m" version="11"></net>'),
    "ort_format": of_bytes(b"\x18\0\0\0ORTM" + bytes(range(256)) * 4),
    "png": of_bytes(_PNG),
    "elf": of_bytes(b"\x7fELF\x02\x01\x01" + bytes(57)),
    "bzip2": of_bytes(bz2.compress(SOUND)),
    "xz": of_bytes(lzma.compress(SOUND)),
    "zlib": of_bytes(zlib.compress(SOUND)),
    "hdf5": of_bytes(b"\x89HDF\r\n\x1a\n" + bytes(88)),
    "pickle": of_bytes(b"cposix\nsystem\n(S'touch owned'\ntR."),
    "safetensors": of_bytes(b"\x02\0\0\0\0\0\0\0{}"),
    "newline": of_bytes(b"\n"),
    "nul": of_bytes(b"\0"),
    "bom": of_bytes(b"\xef\xbb\xbf" + SOUND),
    "as_text": of_bytes(SOUND.replace(b"\n", b"\r\n")),
    **{f"truncated_of_20_{k}": of_bytes(SOUND[: len(SOUND) * k // 20]) for k in range(1, 20)},
    **{f"truncated_at_{k}": of_bytes(SOUND[:k]) for k in range(1, 9)},
    "tail_of_zeros": of_bytes(SOUND + bytes(512)),
    "tail_of_text": of_bytes(SOUND + b"\n"),
    "groups_open": of_bytes(SOUND + field(999, _GROUP, b"") * 50),
    "groups_deep": of_bytes(SOUND + _groups(100_000)),
    "group_end_alone": of_bytes(SOUND + field(999, _END, b"")),
    "group_ends_crossed": of_bytes(SOUND + field(999, _GROUP, b"") + field(998, _END, b"")),
    "type_deep": of_bytes(_deep_type(5000)),
    "field_number_zero": of_bytes(SOUND + b"\x02\x00"),
    "field_number_huge": of_bytes(SOUND + b"\xfa\xff\xff\xff\xff\x7f\x00"),
    "wire_type_7": of_bytes(SOUND + b"\x0f"),
    "negative_length": of_bytes(SOUND + b"\x3a" + b"\xff" * 9 + b"\x01"),
    "length_beyond_2_gb": of_bytes(SOUND + b"\x3a" + varint(1 << 32)),
    "graph_as_number": of_bytes(b"\x08\x0a\x38\x05"),
    "opset_alone": of_bytes(b"\x08\x0a\x42\x02\x10\x11"),
    "two_graphs": of_bytes(SOUND + SOUND),
    "name_of_nul": of_bytes(SOUND.replace(b"conv", b"con\xc0")),
    "name_overlong": of_bytes(SOUND.replace(b"conv", b"co\xc0\xaf")),
    "name_cut_short": of_bytes(SOUND.replace(b"conv", b"con\xe2")),
}
