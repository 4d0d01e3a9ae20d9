"""Fields of the message out of place: cut, doubled, of another wire type, too many."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.corpus.making import SOUND, Maker, field, length, model, of_bytes, varint, weight

_NUMBER, _LENGTH, _GROUP, _END, _FIXED32 = 0, 2, 3, 4, 5
_GRAPH, _OPSETS = 7, 8  # of ModelProto
_TENSORS = 5  # of GraphProto


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each field of a message (numbers, floats and what has a length) and its bytes."""
    at = 0
    while at < len(data):
        start = at
        key, at = _read_varint(data, at)
        if key & 7 == _LENGTH:
            size, at = _read_varint(data, at)
            at += size
        elif key & 7 == _FIXED32:
            at += 4
        else:
            _, at = _read_varint(data, at)
        yield key >> 3, data[start:at]


def _payload(whole: bytes) -> bytes:
    _, at = _read_varint(whole, 0)
    _, at = _read_varint(whole, at)
    return whole[at:]


_PARTS = list(_fields(SOUND))
_GRAPH_PARTS = list(_fields(_payload(dict(_PARTS)[_GRAPH])))


def _with_graph(graph: bytes) -> bytes:
    """The model around another graph."""
    return b"".join(
        field(_GRAPH, _LENGTH, length(graph)) if number == _GRAPH else data
        for number, data in _PARTS
    )


def _graph_of(parts: list[bytes]) -> bytes:
    return _with_graph(b"".join(parts))


def _weight_of(change: Callable[[bytes], bytes]) -> bytes:
    """The first initializer's bytes, changed."""
    done, parts = False, []
    for number, data in _GRAPH_PARTS:
        if number == _TENSORS and not done:
            data, done = field(_TENSORS, _LENGTH, length(change(_payload(data)))), True
        parts.append(data)
    return _graph_of(parts)


def _added(data: bytes) -> Maker:
    """Bytes behind the last field of the graph."""
    return of_bytes(_graph_of([*(part for _, part in _GRAPH_PARTS), data]))


def _halves() -> bytes:
    """Two graphs in one model: a parser merges them into the sound one."""
    middle = len(_GRAPH_PARTS) // 2
    halves = [
        b"".join(d for _, d in part) for part in (_GRAPH_PARTS[:middle], _GRAPH_PARTS[middle:])
    ]
    around = b"".join(data for number, data in _PARTS if number != _GRAPH)
    return around + b"".join(field(_GRAPH, _LENGTH, length(half)) for half in halves)


def _dims_packed(tensor: bytes) -> bytes:
    """4, 3, 3, 3 as one packed field, each number in ten bytes."""
    rest = b"".join(data for number, data in _fields(tensor) if number != 1)
    wide = b"".join(bytes([size | 0x80]) + b"\x80" * 8 + b"\0" for size in (4, 3, 3, 3))
    return field(1, _LENGTH, length(wide)) + rest


def _dims_cut(tensor: bytes) -> bytes:
    rest = b"".join(data for number, data in _fields(tensor) if number != 1)
    return field(1, _LENGTH, length(b"\x04\x03\x03\x83")) + rest


def _floats_packed(size: int) -> Callable[[bytes], bytes]:
    def change(tensor: bytes) -> bytes:
        rest = b"".join(data for number, data in _fields(tensor) if number != 9)
        return rest + field(4, _LENGTH, length(bytes(size)))

    return change


MODELS: dict[str, Maker] = {
    **{
        f"model_cut_behind_{k}": of_bytes(b"".join(data for _, data in _PARTS[:k]))
        for k in range(1, len(_PARTS))
    },
    **{
        f"graph_cut_behind_{k}": of_bytes(_graph_of([data for _, data in _GRAPH_PARTS[:k]]))
        for k in range(1, len(_GRAPH_PARTS))
    },
    "graph_as_group": of_bytes(
        b"".join(
            field(_GRAPH, _GROUP, _payload(data)) + field(_GRAPH, _END, b"")
            if number == _GRAPH
            else data
            for number, data in _PARTS
        )
    ),
    "ir_as_float": of_bytes(field(1, _FIXED32, bytes(4)) + SOUND[2:]),
    "dims_packed_and_cut": of_bytes(_weight_of(_dims_cut)),
    "dims_of_eleven_bytes": of_bytes(_weight_of(lambda t: b"\x08" + b"\x84" * 10 + b"\x01" + t)),
    "floats_packed_unevenly": of_bytes(_weight_of(_floats_packed(433))),
    "floats_packed_4_mb": of_bytes(_weight_of(_floats_packed(4_000_000))),
    "raw_data_twice": of_bytes(_weight_of(lambda t: t + field(9, _LENGTH, length(bytes(431))))),
    "nodes_empty_many": _added(field(1, _LENGTH, b"\0") * 20_000),
    "tensors_empty_many": _added(field(_TENSORS, _LENGTH, b"\0") * 200_000),
    "metadata_empty_many": of_bytes(SOUND + field(14, _LENGTH, b"\0") * 100_000),
    "attributes_empty_many": model(
        lambda m: [m.graph.node[2].attribute.add() for _ in range(100_000)]
    ),
    "opset_version_of_bytes": of_bytes(SOUND + field(_OPSETS, _LENGTH, b"\x03\x12\x01\x11")),
    "type_beyond_32_bits": of_bytes(
        _weight_of(lambda t: t + field(2, _NUMBER, varint(2 + (1 << 32))))
    ),
}
SOUND_MODELS: dict[str, Maker] = {
    "dims_packed_and_wide": of_bytes(_weight_of(_dims_packed)),
    "raw_data_twice_last_right": of_bytes(
        _weight_of(lambda t: field(9, _LENGTH, length(bytes(7))) + t)
    ),
    "graph_in_two_halves": of_bytes(_halves()),
    "unknown_fields_within": _added(field(536_870_911, _LENGTH, length(bytes(1_000_000)))),
    "values_empty_many": _added(field(13, _LENGTH, b"\0") * 50_000),
    "tensor_doc_of_10_mb": weight(lambda t: setattr(t, "doc_string", "\x1b[31m" * 2_000_000)),
}
