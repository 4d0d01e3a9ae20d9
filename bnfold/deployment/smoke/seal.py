"""The manifest with its seal, and the files that it names."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any

from bnfold.deployment.smoke.words import DATA, FAILED, MANIFEST, SCHEMA, USAGE, Finding, Refused

# The seal is the SHA-256 of the manifest with zeros in the seal's place: it tells an accident,
# not a forger, who can seal anew.
_SEAL = re.compile(rb'"seal": "([0-9a-f]{64})"')
_ZEROS = b"0" * 64
_CHUNK = 1 << 20
_LARGEST = 1 << 28  # bytes of a manifest
_AGAIN = "deploy again, or copy it again"


def sealed(text: str) -> bytes:
    """A manifest's bytes with the seal filled in; `text` holds 64 zeros in its place."""
    data = text.encode("utf-8")
    return data.replace(_ZEROS, _seal_of(data).encode("ascii"), 1)


def read_manifest(folder: str) -> dict[str, Any]:
    """The manifest, whose seal holds.

    Raises:
        Refused: no folder, no manifest, a damaged or changed one, one of another schema.
    """
    path = os.path.join(folder, MANIFEST)
    if not os.path.isdir(folder):
        raise Refused(USAGE, "there is no such folder", folder)
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe would never end
            raise Refused(DATA, f"{MANIFEST} is no regular file", folder)
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise Refused(DATA, f"{MANIFEST} is larger than {_LARGEST} bytes", folder)
        manifest = json.loads(data.decode("utf-8"))
    except FileNotFoundError:
        raise Refused(FAILED, f"{MANIFEST} is missing", folder, _AGAIN) from None
    except OSError as error:
        raise Refused(DATA, f"{MANIFEST} cannot be read: {error.strerror}", folder) from None
    except (ValueError, RecursionError):
        raise Refused(DATA, f"{MANIFEST} is damaged: it is no JSON", path, _AGAIN) from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA:
        hint = "use the check.py of that folder, or deploy again"
        raise Refused(DATA, f"{MANIFEST} has schema {schema!r}, not {SCHEMA!r}", path, hint)
    found = _SEAL.search(data)
    if not found or found.group(1).decode("ascii") != _seal_of(data):
        raise Refused(FAILED, f"{MANIFEST} was changed", path, _AGAIN)
    return dict(manifest)


def check_files(folder: str, manifest: dict[str, Any]) -> list[Finding]:
    """A finding for each file that is missing or changed, else one for all.

    Raises:
        Refused: a name leads out of the folder.
    """
    findings = []
    for name, entry in sorted(manifest["files"].items()):
        path = os.path.join(folder, name)
        if os.path.isabs(name) or ".." in name.split("/") or not _within(folder, path):
            raise Refused(DATA, f"{MANIFEST} names a file outside of the folder", name)
        if not os.path.isfile(path):
            findings.append(Finding("files", ok=False, sentence=f"{name} is missing", where=name))
        elif os.path.getsize(path) != entry["bytes"] or sha256_of_file(path) != entry["sha256"]:
            findings.append(Finding("files", ok=False, sentence=f"{name} was changed", where=name))
    count = len(manifest["files"])
    return findings or [Finding("files", ok=True, sentence=f"{count} files as they were deployed")]


def check_named(manifest: dict[str, Any]) -> None:
    """The model and the golden arrays are among the files, which lie within the folder.

    Raises:
        Refused: one is not.
    """
    for part in ("model", "golden"):
        name = manifest[part]["file"]
        if name not in manifest["files"]:
            raise Refused(DATA, f"{MANIFEST} does not list its {part} among the files", str(name))


def strangers(folder: str, manifest: dict[str, Any]) -> tuple[str, ...]:
    """Files that the manifest does not know: said, and no failure."""
    known = set(manifest["files"]) | {MANIFEST}
    found = []
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        relative = [os.path.relpath(os.path.join(here, name), folder) for name in names]
        found += [name for name in relative if name.replace(os.sep, "/") not in known]
    return tuple(f"{name} was not deployed" for name in sorted(found)[:5])


def _within(folder: str, path: str) -> bool:
    """By its real path: a link may lead anywhere."""
    inside = os.path.join(os.path.realpath(folder), "")
    return os.path.realpath(path).startswith(inside)


def sha256_of_file(path: str) -> str:
    """In pieces: a file may be larger than the memory."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _seal_of(data: bytes) -> str:
    found = _SEAL.search(data)
    bare = data[: found.start(1)] + _ZEROS + data[found.end(1) :] if found else data
    return hashlib.sha256(bare).hexdigest()
