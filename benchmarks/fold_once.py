"""`python fold_once.py IN OUT`: bnfold.fold as a library call, for coverage.py."""

from __future__ import annotations

import sys

import bnfold

if __name__ == "__main__":
    source, target = sys.argv[1:]
    result = bnfold.fold(source)
    bnfold.onnxfile.write(result.model, target)
    report = result.report
    print(f"BatchNorms {report.before.batchnorms} -> {report.after.batchnorms}")
