"""External data: names that lead elsewhere, and descriptions that do not fit."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.corpus.making import Maker, external, external_by
from tests.onnxfile.small import conv_norm


def _socket(data: Path, _: Path) -> None:
    here = os.getcwd()
    os.chdir(data.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(data.name)
    finally:
        os.chdir(here)


def _linked_folder(data: Path, secret: Path) -> None:
    (secret.parent / "elsewhere").mkdir(exist_ok=True)
    (secret.parent / "elsewhere" / data.name).write_bytes(secret.read_bytes())
    (data.parent / "sub").unlink(missing_ok=True)
    (data.parent / "sub").symlink_to(secret.parent / "elsewhere")


def _through(location: str) -> Maker:
    """A location within a linked folder."""

    def make(path: Path) -> None:
        external(location=location.format(path.stem))(path)
        data = path.parent / f"{path.stem}.data"
        secret = path.parent.parent / f"{path.stem}.secret"
        data.rename(secret)
        _linked_folder(data, secret)

    return make


def _twice(path: Path) -> None:
    """The key stands twice; the last one leads outside."""
    external()(path)
    import onnx

    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data.add(key="location", value="/etc/hostname")
    path.write_bytes(model.SerializeToString())


def _of_an_attribute(path: Path) -> None:
    """A tensor in a Constant node is external, too."""
    from onnx import helper

    from tests.corpus.making import refer

    model = conv_norm()
    value = model.graph.initializer[0]
    constant = helper.make_node("Constant", [], ["weight"], value=value)
    del model.graph.initializer[0]
    model.graph.node.insert(0, constant)
    refer(path, model.graph.node[0].attribute[0].t, location="../out.data")
    path.write_bytes(model.SerializeToString())


MODELS: dict[str, Maker] = {
    "external_file_url": external(location="file:///etc/hostname"),
    "external_http_url": external(location="http://127.0.0.1:9/w.data"),
    "external_percent": external(location="..%2f..%2fetc%2fhostname"),
    "external_backslash": external(location="..\\..\\etc\\hostname"),
    "external_home": external(location="~/.bashrc"),
    "external_variable": external(location="$HOME/.bashrc"),
    "external_proc": external(location="/proc/self/mem"),
    "external_proc_environ": external(location="/proc/self/environ"),
    "external_slash_behind": external(location="external_slash_behind.data/"),
    "external_dot_behind": external(location="external_dot_behind.data/."),
    "external_double_slash": external(location="//etc/hostname"),
    "external_space": external(location=" "),
    "external_newline": external(location="a\nb"),
    "external_escape": external(location="\x1b]0;own\x07.data"),
    "external_markup": external(location="<script>x</script>.data"),
    "external_long_name": external(location="n" * 5000),
    "external_long_path": external(location="n/" * 5000 + "w"),
    "external_dots_many": external(location="./" * 3000 + "nowhere"),
    "external_up_and_back": external(location="../files/external_up_and_back.data"),
    "external_model_itself": external(location="external_model_itself.onnx", length="1"),
    "external_length_zero": external(length="0"),
    "external_length_short": external(length="4"),
    "external_offset_inside": external(offset="1"),
    "external_offset_hex": external(offset="0x10"),
    "external_offset_plus": external(offset="+0"),
    "external_offset_space": external(offset=" 0"),
    "external_offset_float": external(offset="0.0"),
    "external_offset_arabic": external(offset="\u0660"),
    "external_offset_huge": external(offset=str(2**63)),
    "external_sum_overflows": external(offset=str(2**63 - 1), length="432"),
    "external_location_twice": _twice,
    "external_of_an_attribute": _of_an_attribute,
    "external_folder_linked": _through("sub/{}.data"),
    "external_folder_linked_dotted": _through("./sub/../sub/{}.data"),
    "external_socket": external_by(_socket),
    "external_dangling": external_by(lambda data, _: data.symlink_to("nowhere")),
    "external_to_zero": external_by(lambda data, _: data.symlink_to("/dev/zero")),
    "external_empty_file": external_by(lambda data, _: data.write_bytes(b"")),
    "external_one_byte_short": external_by(
        lambda data, secret: data.write_bytes(secret.read_bytes()[:-1])
    ),
}
