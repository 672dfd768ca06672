"""Single kernels in PyTorch, each in every form worth trying. Tensors are made in the layout of the engine (NHWC,
HWIO) from the same numbers, so that both sides can be seen to compute the same thing."""

import torch
import torch.nn.functional as F

aten = torch.ops.aten


class Built:
    """A prepared case: its forms, by name, and what they compute, in the engine's layout and order."""

    def __init__(self, forms, outputs=None, facts=None):
        self.forms = forms
        self.outputs = outputs
        self.facts = facts or {}
        # The form usually published, when it is not worth trying whole: name, function, and how often its work goes
        # into the case.
        self.published = None


def hashed(length, seed):
    """Numbers in [-1, 1) from their index: the same as `hashed` of inputs.ts."""
    x = (torch.arange(length, dtype=torch.int64) + seed * 0x9E3779B9) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    x = x ^ (x >> 16)
    return (x.double() / 2**31 - 1).float()


def tensor(shape, seed, scale=1.0):
    return (hashed(torch.Size(shape).numel(), seed) * scale).view(shape)


def digest(values):
    """Sum, norm and a product with fixed numbers: the same as `digest` of inputs.ts."""
    flat = values.contiguous().view(-1).double()
    return [flat.sum().item(), flat.norm().item(), torch.dot(flat, hashed(flat.numel(), 99).double()).item()]


def nchw(x):
    """An NHWC tensor as torch sees it: channels-last memory, dimensions N, C, H, W."""
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def oihw(w):
    return w.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)


def hwio(w):
    return w.permute(2, 3, 1, 0)


class Window:
    """Geometry of a convolution-like case."""

    def __init__(self, case):
        self.batch, self.height, self.width = case["batch"], case["inHeight"], case["inWidth"]
        self.channels, self.out_channels = case["inChannels"], case["outChannels"]
        self.out_height, self.out_width = case["outHeight"], case["outWidth"]
        self.kernel, self.stride = case["kernelHeight"], case["stride"]
        self.padding, self.groups = case["padTop"], case["groups"]

    def inputs(self):
        """x, w and dy in the engine's layout."""
        return (
            tensor((self.batch, self.height, self.width, self.channels), 1),
            tensor((self.kernel, self.kernel, self.channels // self.groups, self.out_channels), 2),
            tensor((self.batch, self.out_height, self.out_width, self.out_channels), 3),
        )

    def backward(self, dy, x, w, mask):
        return aten.convolution_backward(
            dy, x, w, None, [self.stride] * 2, [self.padding] * 2, [1, 1], False, [0, 0], self.groups, mask
        )


def formed(forms, arrange):
    """Forms that keep their last result, for `outputs`; `arrange` puts a result into the engine's layout."""
    last = {}

    def keep(name, run):
        def kept():
            last[name] = run()

        return kept

    return Built({name: keep(name, run) for name, run in forms.items()}, lambda name: arrange(last[name]))


def conv(case):
    window = Window(case)
    x, w, dy = window.inputs()
    layouts = {
        "channels last": (nchw(x), oihw(w), nchw(dy)),
        "NCHW": (nchw(x).contiguous(), oihw(w).contiguous(), nchw(dy).contiguous()),
    }

    def form(x, w, dy):
        if case["pass"] == "forward":
            return lambda: F.conv2d(x, w, None, window.stride, window.padding, 1, window.groups)
        if case["pass"] == "inputGradient":
            return lambda: window.backward(dy, x, w, [True, False, False])[0]
        return lambda: window.backward(dy, x, w, [False, True, False])[1]

    forms = {name: form(*tensors) for name, tensors in layouts.items()}
    return formed(forms, lambda y: [hwio(y) if case["pass"] == "weightGradient" else nhwc(y)])


def matmul(case):
    """A (rows x depth) times B (depth x columns), each perhaps held transposed, for a batch."""
    batch, rows, columns, depth = case["batch"], case["rows"], case["columns"], case["depth"]
    a = tensor((batch, depth, rows) if case["transposeA"] else (batch, rows, depth), 1)
    b = tensor((batch, columns, depth) if case["transposeB"] else (batch, depth, columns), 2)
    a = a.transpose(1, 2) if case["transposeA"] else a
    b = b.transpose(1, 2) if case["transposeB"] else b
    if batch == 1:
        a, b = a[0], b[0]
    out = torch.empty(*a.shape[:-1], columns)
    forms = {"out": lambda: torch.matmul(a, b, out=out), "allocating": lambda: torch.matmul(a, b)}
    return formed(forms, lambda c: [c])


def batch_norm(case):
    rows, channels, batch = case["rows"], case["channels"], case["batch"]
    side = round((rows // batch) ** 0.5)
    x, dy = tensor((batch, side, side, channels), 1), tensor((batch, side, side, channels), 2)
    gamma, beta = tensor((channels,), 3), tensor((channels,), 4)
    layouts = {
        "channels last": (nchw(x), nchw(dy)),
        "NCHW": (nchw(x).contiguous(), nchw(dy).contiguous()),
    }

    def form(x, dy):
        def run():
            y, mean, inverse = torch.native_batch_norm(x, gamma, beta, None, None, True, 0.1, 1e-5)
            g = dy
            if case["relu"]:
                y.relu_()
                g = aten.threshold_backward(dy, y, 0)
            return y, *aten.native_batch_norm_backward(
                g, x, gamma, None, None, mean, inverse, True, 1e-5, [True, True, True]
            )

        return run

    forms = {name: form(*tensors) for name, tensors in layouts.items()}
    return formed(forms, lambda out: [nhwc(out[0]), nhwc(out[1]), out[2], out[3]])


def elementwise(case):
    n, name = case["length"], case["op"]
    a, b, c = (tensor((n,), seed) for seed in (1, 2, 3))
    out = torch.empty(n)
    if name == "relu":
        forms = {"relu": lambda: torch.clamp_min(a, 0, out=out), "allocating": lambda: torch.relu(a)}
        return formed(forms, lambda y: [y])
    if name == "reluGradient":
        return formed({"threshold_backward": lambda: aten.threshold_backward(b, a, 0)}, lambda y: [y])
    if name == "add":
        return formed({"out": lambda: torch.add(a, b, out=out)}, lambda y: [y])
    if name == "addRelu":
        return formed({"add, relu_": lambda: torch.add(a, b, out=out).relu_()}, lambda y: [y])
    if name == "axpy":
        return Built({"add_": lambda: c.add_(a, alpha=1e-9)})
    if name == "scale":
        return Built({"mul_": lambda: c.mul_(1.0)})
    if name == "sumOfSquares":
        forms = {"dot": lambda: torch.dot(a, a).view(1), "norm": lambda: (a.norm() ** 2).view(1)}
        return formed(forms, lambda y: [y])
    raise ValueError(f"no elementwise op {name}")


def power_of_two(case):
    w = tensor((case["length"],), 1)

    def run():
        exponent = w.abs().log2_().round_().clamp_(case["minExponent"], case["maxExponent"])
        return exponent.exp2_().mul_(w.sign())

    return formed({"abs, log2, round, clamp, exp2, sign": run}, lambda y: [y])


def cross_entropy(case):
    batch, classes, smoothing = case["batch"], case["classes"], case["smoothing"]
    logits = tensor((batch, classes), 1).requires_grad_()
    labels = torch.arange(batch) % classes

    def automatic():
        with torch.enable_grad():
            loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
            return torch.autograd.grad(loss, logits)[0]

    def by_hand():
        log_p = F.log_softmax(logits, 1)
        losses = (smoothing - 1) * log_p.gather(1, labels[:, None]) - smoothing * log_p.mean(1, keepdim=True)
        d = log_p.exp_().sub_(smoothing / classes)
        d.scatter_add_(1, labels[:, None], d.new_full((batch, 1), smoothing - 1))
        return d.div_(batch), losses

    return formed(
        {"autograd": automatic, "by hand": by_hand}, lambda y: [y[0] if isinstance(y, tuple) else y]
    )


def optimiser(case):
    """Steps over a list of parameters."""
    parameters = [tensor((n,), 1 + i) for i, n in enumerate(case["lengths"])]
    for i, parameter in enumerate(parameters):
        parameter.grad = tensor((parameter.numel(),), 1001 + i)

    def form(**options):
        if case["op"] == "sgd":
            return torch.optim.SGD(parameters, lr=1e-5, momentum=0.9, weight_decay=1e-4, **options).step
        return torch.optim.AdamW(parameters, lr=1e-5, weight_decay=1e-4, **options).step

    forms = {"loop": form(foreach=False), "foreach": form(foreach=True)}
    try:
        forms["fused"] = form(fused=True)
    except (TypeError, RuntimeError):
        pass  # This release has no fused optimiser for the processor.
    return Built(forms)


BUILDERS = {
    "conv": conv,
    "matmul": matmul,
    "batchNorm": batch_norm,
    "elementwise": elementwise,
    "powerOfTwo": power_of_two,
    "crossEntropy": cross_entropy,
    "optimiser": optimiser,
}
