"""BatchNorm networks: `create(name, classes=, channels=, size=)`, `names()`."""

from bnfold_models.registry import create, names

__all__ = ["create", "names"]
