"""Coverage-guided fuzzing of the loader, the validator and the fold on mutated models.

Needs atheris (`pip install atheris`, in an environment of its own):

    python benchmarks/fuzz_files.py --findings DIR SEEDS -- -max_total_time=3600 -timeout=10

SEEDS is a folder of small .onnx files. A model may be refused with a BnfoldError; any other
exception, a folded model that our own validator refuses, and an input that takes longer than
10 s are findings: one file each, named by the place that raised it.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["bnfold"]):
    from bnfold import onnxfile
    from bnfold.errors import BnfoldError
    from bnfold.folding.model import fold_in_place
    from bnfold.folding.report import Options
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, EncodeError, Message

NUMBERS = (0, 1, 2, 3, -1, -2, 7, 64, 65, 99, 255, 2**31 - 1, -(2**31), 2**40, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-5, 1e30, -1e30, 1e-45, float("nan"), float("inf"))
INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: 32,
    FieldDescriptor.CPPTYPE_INT64: 64,
    FieldDescriptor.CPPTYPE_UINT64: 64,
    FieldDescriptor.CPPTYPE_ENUM: 5,
}
seen: set[str] = set()


def messages(message: Message) -> Iterator[Message]:
    """The message and all within it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type:
            for item in value if hasattr(value, "add") else (value,):
                yield from messages(item)


def strings(model: Message) -> list[str]:
    """Every text in the model: names to mix up."""
    found = []
    for message in messages(model):
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_STRING:
                found += value if hasattr(value, "append") else [value]
    return [text for text in found if isinstance(text, str)]


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """Half of the time bytes change, else fields do."""
    rng = random.Random(seed)
    if rng.random() < 0.3:
        return bytes(atheris.Mutate(data, most))
    try:
        model = onnx.ModelProto.FromString(data)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
            change(model, rng)
        made = model.SerializeToString()
    except (DecodeError, EncodeError, ValueError, TypeError):
        return bytes(atheris.Mutate(data, most))
    return bytes(made if len(made) <= most else data)


def change(model: Message, rng: random.Random) -> None:
    """One field, somewhere."""
    message = rng.choice(list(messages(model)))
    set_ones = [(field, value) for field, value in message.ListFields()]
    if rng.random() < 0.15 or not set_ones:
        field = rng.choice(message.DESCRIPTOR.fields)
    else:
        field = rng.choice(set_ones)[0]
    value = getattr(message, field.name)
    if rng.random() < 0.1:
        message.ClearField(field.name)
    elif not hasattr(value, "append"):
        change_single(message, field, model, rng)
    elif field.message_type:
        change_messages(value, model, rng)
    else:
        change_values(value, field, model, rng)


def change_single(message: Message, field: Any, model: Message, rng: random.Random) -> None:
    """A field that holds one value."""
    if field.message_type:
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, fresh(field, getattr(message, field.name), model, rng))


def change_messages(value: Any, model: Message, rng: random.Random) -> None:
    """A list of messages: one goes, doubles, moves, or comes from elsewhere."""
    if not len(value):
        value.add()
        return
    place, kind = rng.randrange(len(value)), type(value[0])
    others = [one for one in messages(model) if type(one) is kind]
    act = rng.randrange(4)
    if act == 0:
        del value[place]
    elif act == 1:
        value.add().CopyFrom(apart(rng.choice(others)))
    elif act == 2:
        value[place].CopyFrom(apart(rng.choice(others)))
    else:
        kept = [apart(one) for one in value]
        rng.shuffle(kept)
        del value[:]
        value.extend(kept)


def apart(message: Message) -> Message:
    """A copy that shares nothing: protobuf copies a node into its own body until the stack ends."""
    copy: Message = type(message).FromString(message.SerializeToString())
    return copy


def change_values(value: Any, field: Any, model: Message, rng: random.Random) -> None:
    """A list of numbers or texts."""
    act = rng.randrange(4)
    if act == 0 or not len(value):
        value.append(fresh(field, value[0] if len(value) else None, model, rng))
    elif act == 1:
        del value[rng.randrange(len(value))]
    elif act == 2:
        value[:] = list(value) * rng.choice((1, 2, 3, 40))
    else:
        place = rng.randrange(len(value))
        value[place] = fresh(field, value[place], model, rng)


def fresh(field: Any, old: Any, model: Message, rng: random.Random) -> Any:
    """A value for the field: near the old one, from elsewhere in the model, or extreme."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(
            [*strings(model)[:500], "", "x" * 300, "\x1b[31m", "Relu", "Conv", "Loop"]
        )
    if field.type == FieldDescriptor.TYPE_BYTES:
        data = bytearray(old or b"\0\0\x80\x3f")
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data[: rng.choice((len(data), len(data), len(data) // 2))])
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice(FLOATS)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return not old
    bits = INTEGERS[field.cpp_type]
    fitting = [n for n in NUMBERS if -(2 ** (bits - 1)) <= n < 2 ** (bits - 1)]
    if field.cpp_type == FieldDescriptor.CPPTYPE_UINT64:
        fitting = [abs(n) for n in fitting]
    return rng.choice([*fitting, max(0, (old or 0) - 1), (old or 0) + 1 if (old or 0) < 99 else 3])


def check(data: bytes) -> None:
    """Load, validate, fold, write, validate again; a second fold finds nothing more."""
    try:
        model = onnxfile.parse(data)
        onnxfile.validate(model)
        report = fold_in_place(model, Options())
    except BnfoldError as refused:
        if refused.exit_code == 1:
            raise
        return
    report.to_dict()
    again = onnxfile.parse(model.SerializeToString())
    try:
        onnxfile.validate(again)
    except BnfoldError as error:
        raise AssertionError(f"the folded model is refused: {error}") from error


def place_of(error: BaseException) -> str:
    """Type and innermost line of our own code."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "bnfold" in f.filename]
    where = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}-{Path(where.filename).stem}-{where.lineno}"


def one_input(data: bytes, findings: Path) -> None:
    """Check one input and keep it if it is a finding; the one under way lies in `last.onnx`."""
    (findings / "last.onnx").write_bytes(data)
    try:
        check(data)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        place = place_of(error)
        if place not in seen:
            seen.add(place)
            digest = hashlib.sha256(data).hexdigest()[:8]
            (findings / f"{place}-{digest}.onnx").write_bytes(data)
            (findings / f"{place}-{digest}.txt").write_text(traceback.format_exc())
            print(f"finding: {place}: {str(error)[:200]}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> None:
    """Split our options from libFuzzer's, and fuzz."""
    ours, _, theirs = " ".join(arguments).partition(" -- ")
    parser = argparse.ArgumentParser()
    parser.add_argument("--findings", type=Path, required=True)
    parser.add_argument("seeds", nargs="+")
    asked = parser.parse_args(ours.split())
    asked.findings.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [sys.argv[0], *theirs.split(), *asked.seeds],
        lambda data: one_input(data, asked.findings),
        custom_mutator=mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
