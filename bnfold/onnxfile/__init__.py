"""Read and write model files: containment, checks, external data, atomic output, provenance."""

from bnfold.onnxfile.atomic import check_writable, replacing, same_file, write_text
from bnfold.onnxfile.borrowing import borrowing
from bnfold.onnxfile.composition import Makeup, makeup
from bnfold.onnxfile.external import IN_MEMORY, DataFiles
from bnfold.onnxfile.folders import check_folder, replacing_folder
from bnfold.onnxfile.manifest import check_manifest, write_manifest
from bnfold.onnxfile.plain import parse_json, read_json, read_plain
from bnfold.onnxfile.provenance import provenance, sha256_of, stamp
from bnfold.onnxfile.reader import ModelFile, opened, parse, read
from bnfold.onnxfile.validator import validate
from bnfold.onnxfile.writer import copy, write

__all__ = [
    "IN_MEMORY",
    "DataFiles",
    "Makeup",
    "ModelFile",
    "borrowing",
    "check_folder",
    "check_manifest",
    "check_writable",
    "copy",
    "makeup",
    "opened",
    "parse",
    "parse_json",
    "provenance",
    "read",
    "read_json",
    "read_plain",
    "replacing",
    "replacing_folder",
    "same_file",
    "sha256_of",
    "stamp",
    "validate",
    "write",
    "write_manifest",
    "write_text",
]
