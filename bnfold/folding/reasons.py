"""Why a map stays: the closed set of codes, each with its one sentence (docs/reasons.md)."""

from __future__ import annotations

import enum


class Reason(enum.Enum):
    """Value: the sentence a report prints. `code` is what scripts compare."""

    TRAINING_MODE = "it computes batch statistics (training_mode=1, or its extra outputs are used)"
    PARAMETER_NOT_CONSTANT = "one of its parameters is computed at run time"
    PARAMETER_OVERRIDABLE = "one of its parameters is an input that callers may override"
    PARAMETER_INVALID = "its parameters are not finite, have var + eps <= 0, or differ in size"
    NONLINEAR_NEIGHBOURS = "every way up and down ends at an operator that is not affine"
    AXIS_MISMATCH = "it does not lie along the axis that the neighbour can absorb"
    VALUE_USED_ELSEWHERE = "the tensor in the way is an output, or is read by others"
    PADDING_SHIFT = "its shift would have to cross zero padding"
    NEGATIVE_SCALE = "a negative scale would have to cross a maximum or a one-sided activation"
    SHAPE_UNKNOWN = "a size that the algebra needs is not known before run time"
    NUMBER_RANGE = "folding it would overflow or lose digits in the model's number type"
    WOULD_COST_MORE = "folding it is exact, but adds more nodes or multiply-adds than it saves"
    OPERATOR_UNKNOWN = "a custom or foreign operator stands in the way"
    NOT_YET = "this version does not handle the scope, number format or operator in the way"
    GEOMETRY_DIFFERS = "the branches' strides, dilations, paddings or output grids do not match"

    @property
    def code(self) -> str:
        """The stable code: `training-mode`, `padding-shift`, ..."""
        return self.name.lower().replace("_", "-")

    @property
    def sentence(self) -> str:
        """One clause that says why."""
        return self.value

    @property
    def unblock(self) -> str | None:
        """What would help, or None where nothing does."""
        return _UNBLOCK.get(self)


_UNBLOCK = {
    Reason.TRAINING_MODE: "export the model in eval mode",
    Reason.PARAMETER_OVERRIDABLE: "pass --freeze-inputs if no caller feeds it",
    Reason.PARAMETER_INVALID: "recompute the population statistics (bnfold calibrate) and export",
    Reason.PADDING_SHIFT: "place the BatchNorm behind the convolution when training",
    Reason.SHAPE_UNKNOWN: "fix the size in the exported graph, or run shape inference",
    Reason.NUMBER_RANGE: "export in a wider number type",
    Reason.GEOMETRY_DIFFERS: "train the branches with one stride and dilation",
}
