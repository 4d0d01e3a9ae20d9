"""What each operator does to an affine map: one literal table per direction.

`PULL[op](node, m)`: the map m stands on the node's output; what must each input become?
`PUSH[op](node, m, k)`: the map m stands on input k; what does the output become?
`PULL_MANY`, `PUSH_MANY` hold the operators where several outputs or inputs are mapped at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bnfold.folding.affine import Affine
from bnfold.folding.answers import Answers, Facts
from bnfold.folding.rules import (
    activations,
    arithmetic,
    convolution,
    joins,
    layout,
    matmul,
    norms,
    pieces,
    pooling,
    resampling,
    sums,
    transposed,
)

Pull = Callable[[Facts, Affine], Answers]
Push = Callable[[Facts, Affine, int], Answers]
Maps = Mapping[int, Affine]
Many = Callable[[Facts, Maps], Answers]

PULL: Mapping[str, Pull] = {
    "Abs": activations.pull_abs,
    "Add": sums.pull_add,
    "AveragePool": pooling.pull_average,
    "BatchNormalization": norms.pull_batch,
    "Cast": layout.pull_cast,
    "Clip": activations.pull_clip,
    "Concat": joins.pull_concat,
    "Conv": convolution.pull,
    "ConvTranspose": transposed.pull,
    "DepthToSpace": resampling.pull_depth_to_space,
    "Div": arithmetic.pull_div,
    "Dropout": layout.pull_dropout,
    "Expand": resampling.pull_expand,
    "Flatten": layout.pull_reshape,
    "Gather": pieces.pull_gather,
    "Gemm": matmul.pull_gemm,
    "GlobalAveragePool": pooling.pull_global_average,
    "GlobalMaxPool": pooling.pull_global_max,
    "Identity": layout.pull_identity,
    "InstanceNormalization": norms.pull_instance,
    "LeakyRelu": activations.pull_leaky,
    "MatMul": matmul.pull_matmul,
    "Max": joins.pull_max,
    "MaxPool": pooling.pull_max,
    "Mean": sums.pull_mean,
    "Min": joins.pull_max,
    "Mul": arithmetic.pull_mul,
    "Neg": arithmetic.pull_neg,
    "PRelu": activations.pull_prelu,
    "Pad": resampling.pull_pad,
    "ReduceMax": pooling.pull_reduce_max,
    "ReduceMean": pooling.pull_reduce_mean,
    "ReduceMin": pooling.pull_reduce_max,
    "ReduceSum": pooling.pull_reduce_sum,
    "Relu": activations.pull_relu,
    "Reshape": layout.pull_reshape,
    "Resize": resampling.pull_resize,
    "Slice": pieces.pull_slice,
    "SpaceToDepth": resampling.pull_space_to_depth,
    "Squeeze": layout.pull_squeeze,
    "Sub": sums.pull_sub,
    "Sum": sums.pull_add,
    "Tile": resampling.pull_tile,
    "Transpose": layout.pull_transpose,
    "Unsqueeze": layout.pull_unsqueeze,
    "Upsample": resampling.pull_resize,
    "Where": joins.pull_where,
}

PUSH: Mapping[str, Push] = {
    "Abs": activations.push_abs,
    "AveragePool": pooling.push_average,
    "BatchNormalization": norms.push_batch,
    "Cast": layout.push_cast,
    "Clip": activations.push_clip,
    "Conv": convolution.push,
    "ConvTranspose": transposed.push,
    "DepthToSpace": resampling.push_depth_to_space,
    "Dropout": layout.push_dropout,
    "Expand": resampling.push_expand,
    "Flatten": layout.push_reshape,
    "Gather": pieces.push_gather,
    "Gemm": matmul.push_gemm,
    "GlobalAveragePool": pooling.push_global_average,
    "GlobalMaxPool": pooling.push_global_max,
    "Identity": layout.push_identity,
    "InstanceNormalization": norms.push_instance,
    "LeakyRelu": activations.push_leaky,
    "MatMul": matmul.push_matmul,
    "MaxPool": pooling.push_max,
    "Neg": arithmetic.push_neg,
    "PRelu": activations.push_prelu,
    "Pad": resampling.push_pad,
    "ReduceMax": pooling.push_reduce_max,
    "ReduceMean": pooling.push_reduce_mean,
    "ReduceMin": pooling.push_reduce_max,
    "ReduceSum": pooling.push_reduce_sum,
    "Relu": activations.push_relu,
    "Reshape": layout.push_reshape,
    "Resize": resampling.push_resize,
    "Slice": pieces.push_slice,
    "SpaceToDepth": resampling.push_space_to_depth,
    "Split": pieces.push_split,
    "Squeeze": layout.push_squeeze,
    "Tile": resampling.push_tile,
    "Transpose": layout.push_transpose,
    "Unsqueeze": layout.push_unsqueeze,
    "Upsample": resampling.push_resize,
}

PULL_MANY: Mapping[str, Many] = {
    "Split": pieces.pull_split,
}

PUSH_MANY: Mapping[str, Many] = {
    "Add": sums.push_add,
    "Concat": joins.push_concat,
    "Div": arithmetic.push_div,
    "Max": joins.push_max,
    "Mean": sums.push_mean,
    "Min": joins.push_max,
    "Mul": arithmetic.push_mul,
    "Sub": sums.push_sub,
    "Sum": sums.push_add,
    "Where": joins.push_where,
}
