"""The L1 ("adder") layer in PyTorch, which has no kernel for it: y = -sum |x - w| over windows, with the published
gradients dw = sum dy (x - w) and dx = sum dy clamp(w - x, -1, 1) (AdderNet, CVPR'20).

Several forms are written out: the ones people publish (unfold and cdist, broadcasting), and cache-blocked ones that
keep the broadcast in the processor's caches, which are the best we know. Depth-wise layers go by shifted maps.
"""

import copy

import torch
import torch.nn.functional as F

from kernels import Window, formed, hwio, nchw, nhwc, oihw


def patches(x, window):
    """Rows of windows: x [N, H, W, C] -> [N H' W', k k C]."""
    k, s, p = window.kernel, window.stride, window.padding
    padded = F.pad(x, (0, 0, p, p, p, p)) if p else x
    n, h, w, c = padded.stride()
    return padded.as_strided(
        (window.batch, window.out_height, window.out_width, k, k, window.channels), (n, h * s, w * s, h, w, c)
    ).reshape(-1, k * k * window.channels)


def unfolded(x, window):
    """The same rows by F.unfold, in its order (channels first)."""
    columns = F.unfold(nchw(x), window.kernel, padding=window.padding, stride=window.stride)
    return columns.transpose(1, 2).reshape(-1, window.kernel**2 * window.channels)


def folded(rows, window):
    """Sums rows of windows back onto the map: the adjoint of `patches`."""
    k, s, p = window.kernel, window.stride, window.padding
    height, width = window.out_height, window.out_width
    rows = rows.view(window.batch, height, width, k, k, window.channels)
    out = torch.zeros(window.batch, window.height + 2 * p, window.width + 2 * p, window.channels)
    for u in range(k):
        for v in range(k):
            out[:, u : u + s * height : s, v : v + s * width : s] += rows[:, :, :, u, v]
    return out[:, p : p + window.height, p : p + window.width].contiguous()


def block(bytes_each, limit=9 << 20):
    """Rows whose broadcast fits the caches."""
    return max(1, limit // bytes_each)


def forward_cdist(x, w, window):
    """Unfold and cdist, the shortest way to write it."""
    columns = unfolded(x, window)
    weights = w.permute(3, 2, 0, 1).reshape(window.out_channels, -1)
    return torch.cdist(columns, weights, p=1).neg_()


def forward_cdist_strided(x, w, window):
    """cdist over rows copied from a strided view, which is cheaper than unfold."""
    return torch.cdist(patches(x, window), w.reshape(-1, window.out_channels).t().contiguous(), p=1).neg_()


def forward_blocked(x, w, window):
    """Broadcast in place, in blocks that stay in the caches."""
    rows = patches(x, window)
    weights = w.reshape(-1, window.out_channels).t().contiguous()
    step = block(4 * weights.numel())
    buffer = torch.empty(step, *weights.shape)
    out = torch.empty(len(rows), window.out_channels)
    for i in range(0, len(rows), step):
        part = rows[i : i + step, None]
        held = buffer[: len(part)]
        torch.sub(part, weights, out=held)
        torch.sum(held.abs_(), 2, out=out[i : i + step])
    return out.neg_()


def forward_by_outputs(x, w, window):
    """One output channel at a time over blocks of rows that stay in the caches."""
    rows = patches(x, window)
    weights = w.reshape(-1, window.out_channels).t().contiguous()
    step = block(4 * rows.shape[1], 1 << 20)
    buffer = torch.empty(step, rows.shape[1])
    out = torch.empty(window.out_channels, len(rows))
    for i in range(0, len(rows), step):
        part = rows[i : i + step]
        held = buffer[: len(part)]
        for o in range(window.out_channels):
            torch.sub(part, weights[o], out=held)
            torch.sum(held.abs_(), 1, out=out[o, i : i + step])
    return out.t().neg()


def input_gradient_blocked(x, w, dy, window):
    """Broadcast in place and contracted by a batched product, in blocks that stay in the caches."""
    rows, by_out = patches(x, window), dy.reshape(-1, window.out_channels)
    weights = w.reshape(-1, window.out_channels).t().contiguous()
    step = block(4 * weights.numel())
    buffer = torch.empty(step, *weights.shape)
    out = torch.empty_like(rows)
    for i in range(0, len(rows), step):
        part = rows[i : i + step, None]
        held = buffer[: len(part)]
        torch.sub(weights, part, out=held)
        torch.bmm(by_out[i : i + step, None], held.clamp_(-1, 1), out=out[i : i + step, None])
    return folded(out, window)


def input_gradient_by_outputs(x, w, dy, window):
    """One output channel at a time over blocks of rows that stay in the caches."""
    rows, by_out = patches(x, window), dy.reshape(-1, window.out_channels)
    weights = w.reshape(-1, window.out_channels).t().contiguous()
    step = block(4 * rows.shape[1], 1 << 20)
    buffer = torch.empty(step, rows.shape[1])
    out = torch.zeros_like(rows)
    for i in range(0, len(rows), step):
        part, sums = rows[i : i + step], out[i : i + step]
        held = buffer[: len(part)]
        for o in range(window.out_channels):
            torch.sub(weights[o], part, out=held)
            sums.addcmul_(held.clamp_(-1, 1), by_out[i : i + step, o : o + 1])
    return folded(out, window)


def weight_gradient_conv(x, w, dy, window):
    """dw = (weight gradient of the convolution) - w sum(dy)."""
    plain = hwio(window.backward(nchw(dy), nchw(x), oihw(w), [False, True, False])[1])
    return plain - w * dy.sum((0, 1, 2))


def weight_gradient_matmul(x, w, dy, window):
    """The same identity with a matrix product over rows of windows."""
    by_out = dy.reshape(-1, window.out_channels)
    return (patches(x, window).t() @ by_out).view_as(w) - w * by_out.sum(0)


# The fastest is chosen by measurement.
FORWARD = {
    "unfold, cdist": forward_cdist,
    "strided rows, cdist": forward_cdist_strided,
    "broadcast in cache blocks": forward_blocked,
    "by outputs in cache blocks": forward_by_outputs,
}
INPUT_GRADIENT = {
    "broadcast in cache blocks": input_gradient_blocked,
    "by outputs in cache blocks": input_gradient_by_outputs,
}
WEIGHT_GRADIENT = {
    "identity, convolution": weight_gradient_conv,
    "identity, matmul": weight_gradient_matmul,
}


def depthwise_forward(x, w, window):
    """One tap at a time over the whole map."""
    out = None
    for tap, weights in taps(x, w, window):
        distance = (tap - weights).abs_()
        out = distance if out is None else out.add_(distance)
    return out.neg_().contiguous()


def depthwise_input_gradient(x, w, dy, window):
    k, s, p = window.kernel, window.stride, window.padding
    out = torch.zeros(window.batch, window.height + 2 * p, window.width + 2 * p, window.channels)
    for i, (tap, weights) in enumerate(taps(x, w, window)):
        u, v = divmod(i, k)
        at = out[:, u : u + s * window.out_height : s, v : v + s * window.out_width : s]
        at.addcmul_((weights - tap).clamp_(-1, 1), dy)
    return out[:, p : p + window.height, p : p + window.width].contiguous()


def taps(x, w, window):
    """The map as each tap of the window sees it, with the weights of the tap."""
    k, s, p = window.kernel, window.stride, window.padding
    padded = F.pad(x, (0, 0, p, p, p, p))
    for u in range(k):
        for v in range(k):
            tap = padded[:, u : u + s * window.out_height : s, v : v + s * window.out_width : s]
            yield tap, w[u, v].view(-1)


def l1(case):
    window = Window(case)
    x, w, dy = window.inputs()
    which = case["pass"]
    depthwise = window.groups == window.channels == window.out_channels and window.groups > 1
    if depthwise:
        input_gradient = {"tap by tap": depthwise_input_gradient}
        weight_gradient = {"identity, convolution": weight_gradient_conv}
    elif window.groups == 1:
        input_gradient, weight_gradient = INPUT_GRADIENT, WEIGHT_GRADIENT
    else:
        raise ValueError("grouped L1 layers are not written")

    def bound(functions, *inputs):
        return {name: (lambda f=f: f(*inputs, window)) for name, f in functions.items()}

    if which == "forward":
        forms = bound({"tap by tap": depthwise_forward} if depthwise else FORWARD, x, w)
        built = formed(forms, lambda y: [y])
        if not depthwise:
            built.published = ("unfold, cdist", forms["unfold, cdist"], 1)
        return built
    if which == "inputGradient":
        built = formed(bound(input_gradient, x, w, dy), lambda dx: [dx])
    elif which == "weightGradient":
        built = formed(bound(weight_gradient, x, w, dy), lambda dw: [dw])
    else:
        dw = weight_gradient["identity, convolution"]
        forms = {
            f"{name}; dw identity, convolution": (lambda dx=dx: (dx(x, w, dy, window), dw(x, w, dy, window)))
            for name, dx in input_gradient.items()
        }
        built = formed(forms, list)
    if not depthwise:
        built.published = published_gradients(which, window, x, w, dy)
    return built


def published_gradients(which, window, x, w, dy):
    """AdderNet's code: weights [O, K], windows [K, L] and gradients [O, L], everything broadcast to [O, K, L]. Over a few
    images, since a whole batch does not fit into memory."""
    images = min(4, window.batch)
    part = copy.copy(window)
    part.batch = images
    weights = w.permute(3, 2, 0, 1).reshape(window.out_channels, -1)
    by_out = nchw(dy[:images]).permute(1, 2, 3, 0).reshape(window.out_channels, -1)

    def run():
        columns = F.unfold(nchw(x[:images]), window.kernel, padding=window.padding, stride=window.stride)
        columns = columns.permute(1, 2, 0).reshape(weights.shape[1], -1)
        if which != "weightGradient":
            clamped = (weights[:, :, None] - columns[None]).clamp(-1, 1)
            dx = (clamped * by_out[:, None]).sum(0).view(weights.shape[1], -1, images).permute(2, 0, 1)
            F.fold(dx, (window.height, window.width), window.kernel, padding=window.padding, stride=window.stride)
        if which != "inputGradient":
            ((columns[None] - weights[:, :, None]) * by_out[:, None]).sum(2)

    return "broadcast (AdderNet's code)", run, window.batch / images


BUILDERS = {"l1": l1}
