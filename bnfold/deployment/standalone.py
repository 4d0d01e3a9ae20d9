"""The modules of `smoke`, joined into the one `check.py` that stands in every folder."""

from __future__ import annotations

import ast
from pathlib import Path

from bnfold.deployment import smoke

ORDER = ("words", "seal", "answers", "session", "command")
_HEAD = '''"""Is this folder what was deployed, and does its model run here as it should?

It needs Python 3.8 or later, numpy and onnxruntime:

    python check.py [FOLDER] [--provider cpu|cuda|tensorrt] [--json] [--junit FILE]

Exit codes: 0 all holds, 2 usage, 3 the model does not load, 4 something changed or departs,
5 the machine lacks something, 6 damaged data. `bnfold check` runs the same code.
"""

from __future__ import annotations
'''


def text() -> str:
    """The source of `check.py`."""
    folder = Path(smoke.__file__).parent
    parts = [_without_own_imports((folder / f"{name}.py").read_text("utf-8")) for name in ORDER]
    return "\n\n".join([_HEAD, *(part.strip() + "\n" for part in parts)])


def _without_own_imports(source: str) -> str:
    """The module without its docstring and without what the joined file has already."""
    lines = source.splitlines()
    for node in ast.parse(source).body[::-1]:
        own = isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
            "bnfold",
            "__future__",
        )
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if own or docstring:
            del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines)
