"""Functions of one variable, of two with broadcasting, reductions and pooling in PyTorch."""

import torch
import torch.nn.functional as F

from kernels import formed, nchw, nhwc, tensor

aten = torch.ops.aten

UNARY = {"gelu": F.gelu, "silu": F.silu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
GRADIENT = {
    "gelu": aten.gelu_backward,
    "silu": aten.silu_backward,
    "sigmoid": lambda dy, x: aten.sigmoid_backward(dy, x),
    "tanh": lambda dy, x: aten.tanh_backward(dy, x),
}


def unary(case):
    op, x = case["op"], tensor((case["length"],), 1)
    if case["pass"] == "forward":
        return formed({op: lambda: UNARY[op](x)}, lambda y: [y])
    dy = tensor((case["length"],), 2)
    # The derivatives of these two are functions of the value.
    at = UNARY[op](x) if op in ("sigmoid", "tanh") else x
    return formed({f"{op}_backward": lambda: GRADIENT[op](dy, at)}, lambda dx: [dx])


def broadcast(case):
    a, b = tensor(case["shape"], 1), tensor(case["other"], 2)
    out = torch.empty(case["shape"])
    op = {"add": torch.add, "mul": torch.mul}[case["op"]]
    return formed({"out": lambda: op(a, b, out=out), "allocating": lambda: op(a, b)}, lambda y: [y])


def reduction(case):
    x = tensor((case["outer"], case["reduced"], case["inner"]), 1)
    if case["op"] == "max":
        return formed({"amax": lambda: x.amax(1)}, lambda y: [y])
    forms = {"sum": lambda: x.sum(1)}
    if case["outer"] == 1:
        ones = torch.ones(1, case["reduced"])
        forms["product with ones"] = lambda: ones @ x[0]
    return formed(forms, lambda y: [y])


def global_average_pool(case):
    batch, side, channels = case["batch"], case["side"], case["channels"]
    x = tensor((batch, side, side, channels), 1)
    if case["pass"] == "forward":
        cl, plain = nchw(x), nchw(x).contiguous()
        forms = {"channels last": lambda: cl.mean((2, 3)), "NCHW": lambda: plain.mean((2, 3))}
        return formed(forms, lambda y: [y])
    dy = tensor((batch, channels), 2)
    forms = {
        "channels last": lambda: nchw((dy / side**2).view(batch, 1, 1, channels).expand_as(x).contiguous()),
        "NCHW": lambda: (dy / side**2).view(batch, channels, 1, 1).expand(-1, -1, side, side).contiguous(),
    }
    return formed(forms, lambda y: [nhwc(y)])


def pool(case):
    """Windows of 3x3, stride 2, padding 1."""
    batch, side, channels = case["batch"], case["side"], case["channels"]
    x = tensor((batch, side, side, channels), 1)
    dy = tensor((batch, side // 2, side // 2, channels), 2)

    def form(x, dy):
        if case["op"] == "max":
            if case["pass"] == "forward":
                return lambda: F.max_pool2d(x, 3, 2, 1)
            indices = aten.max_pool2d_with_indices(x, [3, 3], [2, 2], [1, 1])[1]
            return lambda: aten.max_pool2d_with_indices_backward(
                dy, x, [3, 3], [2, 2], [1, 1], [1, 1], False, indices
            )
        if case["pass"] == "forward":
            return lambda: F.avg_pool2d(x, 3, 2, 1)
        return lambda: aten.avg_pool2d_backward(dy, x, [3, 3], [2, 2], [1, 1], False, True, None)

    layouts = {
        "channels last": (nchw(x), nchw(dy)),
        "NCHW": (nchw(x).contiguous(), nchw(dy).contiguous()),
    }
    return formed({name: form(*tensors) for name, tensors in layouts.items()}, lambda y: [nhwc(y)])


BUILDERS = {
    "unary": unary,
    "broadcast": broadcast,
    "reduction": reduction,
    "globalAveragePool": global_average_pool,
    "pool": pool,
}
