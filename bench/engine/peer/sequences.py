"""Kernels of transformers in PyTorch: softmax, attention, layer norm, embedding."""

import torch
import torch.nn.functional as F

from kernels import formed, hashed, tensor

aten = torch.ops.aten


def softmax(case):
    x = tensor((case["rows"], case["columns"]), 1)
    if case["pass"] == "forward":
        return formed({"softmax": lambda: torch.softmax(x, 1)}, lambda y: [y])
    y, dy = torch.softmax(x, 1), tensor((case["rows"], case["columns"]), 2)
    return formed({"softmax": lambda: aten._softmax_backward_data(dy, y, 1, torch.float32)}, lambda dx: [dx])


def attention(case):
    """Inputs are given with the heads in front, which suits PyTorch best; the engine takes them behind the tokens."""
    batch, heads, tokens, channels = case["batch"], case["heads"], case["tokens"], case["headChannels"]
    scale = channels**-0.5
    q, k, v, dy = (
        tensor((batch, tokens, heads, channels), seed).permute(0, 2, 1, 3).contiguous() for seed in (1, 2, 3, 4)
    )
    leaves = [each.requires_grad_() for each in (q, k, v)]
    flat = [each.detach().view(batch * heads, tokens, channels) for each in (q, k, v, dy)]
    scores = torch.empty(batch * heads, tokens, tokens)
    shares = torch.empty_like(scores)
    backward = case["pass"] == "both"

    def by_hand():
        q, k, v, dy = flat
        torch.baddbmm(scores, q, k.transpose(1, 2), beta=0, alpha=scale, out=scores)
        torch._softmax(scores, -1, False, out=shares)
        y = torch.bmm(shares, v)
        if not backward:
            return [y]
        dv = torch.bmm(shares.transpose(1, 2), dy)
        torch.bmm(dy, v.transpose(1, 2), out=scores)
        ds = aten._softmax_backward_data(scores, shares, -1, torch.float32)
        dq = torch.baddbmm(y, ds, k, beta=0, alpha=scale)
        dk = torch.baddbmm(y, ds.transpose(1, 2), q, beta=0, alpha=scale)
        return [y, dq, dk, dv]

    def automatic(attend):
        def run():
            if not backward:
                return [attend(*leaves)]
            with torch.enable_grad():
                y = attend(*leaves)
                return [y.detach(), *torch.autograd.grad(y, leaves, dy)]

        return run

    def plain(q, k, v):
        return torch.softmax(q @ k.transpose(2, 3) * scale, -1) @ v

    forms = {"by hand": by_hand, "autograd": automatic(plain)}
    if hasattr(F, "scaled_dot_product_attention"):
        forms["scaled_dot_product_attention"] = automatic(F.scaled_dot_product_attention)

    def arranged(outputs):
        shape = (batch, heads, tokens, channels)
        return [each.reshape(shape).permute(0, 2, 1, 3) for each in outputs]

    return formed(forms, arranged)


def layer_norm(case):
    rows, channels = case["rows"], case["channels"]
    x, dy = tensor((rows, channels), 1), tensor((rows, channels), 2)
    gamma, beta = tensor((channels,), 3), tensor((channels,), 4)

    def run():
        y, mean, inverse = torch.native_layer_norm(x, [channels], gamma, beta, 1e-5)
        return y, *aten.native_layer_norm_backward(
            dy, x, [channels], mean, inverse, gamma, beta, [True, True, True]
        )

    return formed({"native_layer_norm": run}, list)


def embedding(case):
    """Rows of a table by index, or the gradient of the table."""
    count, entries, channels = case["count"], case["entries"], case["channels"]
    indices = ((hashed(count, 1).double() + 1) / 2 * entries).long().clamp_(max=entries - 1)
    if case["pass"] == "forward":
        table = tensor((entries, channels), 2)
        forms = {"embedding": lambda: F.embedding(indices, table), "index_select": lambda: table.index_select(0, indices)}
        return formed(forms, lambda y: [y])
    dy = tensor((count, channels), 3)

    def added():
        return torch.zeros(entries, channels).index_add_(0, indices, dy)

    def dense():
        return aten.embedding_dense_backward(dy, indices, entries, -1, False)

    return formed({"embedding_dense_backward": dense, "index_add_": added}, lambda dw: [dw])


BUILDERS = {"softmax": softmax, "attention": attention, "layerNorm": layer_norm, "embedding": embedding}
