"""Deploy a folded model with the proof beside it, and check it where it arrives."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnfold.deployment.checking import check
    from bnfold.deployment.result import Deployment
    from bnfold.deployment.rollout import deploy
    from bnfold.deployment.smoke.command import junit, lines
    from bnfold.deployment.smoke.words import Report

_HOMES = {
    "Deployment": "result",
    "Report": "smoke.words",
    "check": "checking",
    "deploy": "rollout",
    "junit": "smoke.command",
    "lines": "smoke.command",
}
__all__ = ["Deployment", "Report", "check", "deploy", "junit", "lines"]


def __getattr__(name: str) -> Any:
    # check must start fast: it may not load what deploy needs
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"bnfold.deployment.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
