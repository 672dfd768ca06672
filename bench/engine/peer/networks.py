"""Whole training steps: the CIFAR ResNet-20 (He et al., CVPR'16) whose blocks convolve, shift or add.

The same network as `resnetArchitecture`: 3x3 stem, 1x1 layers of the block's family where a shortcut changes shape,
batch norm behind every layer, linear classifier; SGD with momentum 0.9 and weight decay 5e-4 on the weights.
"""

import time

import torch
import torch.nn.functional as F
from torch import nn

import adder
from kernels import Built, nchw, nhwc, tensor


class RoundToPowerOfTwo(torch.autograd.Function):
    """sign(w) 2^round(log2 |w|), exponent in [-15, 0]; the gradient passes unchanged (DeepShift-Q, CVPRW'21)."""

    @staticmethod
    def forward(_, w):
        return w.abs().log2_().round_().clamp_(-15, 0).exp2_().mul_(w.sign())

    @staticmethod
    def backward(_, gradient):
        return gradient


class Geometry(adder.Window):
    """The window of an L1 layer inside a network."""

    def __init__(self, x, layer):
        self.batch, self.height, self.width, self.channels = x.shape
        self.out_channels, self.kernel, self.stride = layer.out_channels, layer.kernel, layer.stride
        self.padding, self.groups = layer.kernel // 2, 1
        self.out_height, self.out_width = -(-self.height // self.stride), -(-self.width // self.stride)

    def key(self):
        return (torch.get_num_threads(), *self.__dict__.values())


FASTEST = {}
TRY_FORMS = True


def fastest(what, forms, window, *inputs):
    """The fastest form for this geometry and number of threads, found at first use; the first one without trying."""
    if not TRY_FORMS:
        return forms[0]
    key = (what, *window.key())
    if key not in FASTEST:
        times = {}
        for form in forms:
            for _ in range(2):
                start = time.perf_counter()
                form(*inputs, window)
                times[form] = min(times.get(form, float("inf")), time.perf_counter() - start)
        FASTEST[key] = min(times, key=times.get)
    return FASTEST[key]


FORWARD_FORMS = [adder.forward_blocked, adder.forward_by_outputs, adder.forward_cdist_strided]
GRADIENT_FORMS = [adder.input_gradient_blocked, adder.input_gradient_by_outputs]


class L1(torch.autograd.Function):
    """x [N, H, W, C], w [k, k, C, O] -> [N, H', W', O], with the published gradients."""

    @staticmethod
    def forward(context, x, w, layer):
        window = Geometry(x, layer)
        context.save_for_backward(x, w)
        context.window = window
        y = fastest("forward", FORWARD_FORMS, window, x, w)(x, w, window)
        return y.view(window.batch, window.out_height, window.out_width, window.out_channels)

    @staticmethod
    def backward(context, dy):
        x, w = context.saved_tensors
        window, dy = context.window, dy.contiguous()
        dw = adder.weight_gradient_conv(x, w, dy, window)
        return fastest("dx", GRADIENT_FORMS, window, x, w, dy)(x, w, dy, window), dw, None


class Layer(nn.Module):
    """A k x k layer of one family, without bias."""

    def __init__(self, family, channels, out_channels, kernel, stride):
        super().__init__()
        self.family, self.out_channels, self.kernel, self.stride = family, out_channels, kernel, stride
        if family == "add":
            self.weight = nn.Parameter(torch.randn(kernel, kernel, channels, out_channels))
        else:
            self.weight = nn.Parameter(torch.empty(out_channels, channels, kernel, kernel))
            nn.init.kaiming_normal_(self.weight)

    def forward(self, x):
        if self.family == "add":
            return nchw(L1.apply(nhwc(x).contiguous(), self.weight, self))
        w = RoundToPowerOfTwo.apply(self.weight) if self.family == "shift" else self.weight
        return F.conv2d(x, w, None, self.stride, self.kernel // 2)


class Unit(nn.Sequential):
    def __init__(self, family, channels, out_channels, kernel=3, stride=1):
        super().__init__(Layer(family, channels, out_channels, kernel, stride), nn.BatchNorm2d(out_channels))


class Block(nn.Module):
    def __init__(self, family, channels, out_channels, stride):
        super().__init__()
        self.first = Unit(family, channels, out_channels, 3, stride)
        self.second = Unit(family, out_channels, out_channels)
        same = stride == 1 and channels == out_channels
        self.shortcut = nn.Identity() if same else Unit(family, channels, out_channels, 1, stride)

    def forward(self, x):
        y = self.second(F.relu_(self.first(x)))
        return F.relu_(y.add_(self.shortcut(x)))


class ResNet20(nn.Module):
    def __init__(self, family):
        super().__init__()
        self.stem = Unit("conv", 3, 16)
        widths = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        self.blocks = nn.Sequential(*(Block(family, *width) for width in widths))
        self.classifier = nn.Linear(64, 10)

    def forward(self, x):
        y = self.blocks(F.relu_(self.stem(x)))
        return self.classifier(y.mean((2, 3)))


class Step:
    """One training step of a fresh network; calling it runs the step."""

    def __init__(self, family, batch, layout):
        torch.manual_seed(1)
        self.family = family
        self.network = ResNet20(family).to(memory_format=layout)
        self.images = nchw(tensor((batch, 32, 32, 3), 1)).contiguous(memory_format=layout)
        self.labels = torch.arange(batch) % 10
        decayed = [p for p in self.network.parameters() if p.dim() > 1]
        plain = [p for p in self.network.parameters() if p.dim() == 1]
        groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0}]
        self.optimiser = torch.optim.SGD(groups, lr=0.01, momentum=0.9, foreach=True)
        self.special = [
            layer.weight for layer in self.network.modules() if isinstance(layer, Layer) and layer.family == family
        ]

    def __call__(self):
        with torch.enable_grad():
            loss = F.cross_entropy(self.network(self.images), self.labels)
            loss.backward()
        if self.family == "add":  # Adaptive learning rate (AdderNet, equation 13).
            for weight in self.special:
                weight.grad.mul_(0.2 * weight.numel() ** 0.5 / weight.grad.norm().clamp(min=1e-12))
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.family == "shift":  # |w| back into [2^-15, 1], as DeepShift does.
            for weight in self.special:
                weight.copy_(weight.abs().clamp_(2**-15, 1).mul_(weight.sign()))


LAYOUTS = {"channels last": torch.channels_last, "NCHW": torch.contiguous_format}


def step(case):
    layouts = {"channels last": LAYOUTS["channels last"]} if case["family"] == "add" else LAYOUTS
    steps = {name: Step(case["family"], case["batch"], layout) for name, layout in layouts.items()}
    parameters = sum(p.numel() for p in next(iter(steps.values())).network.parameters())
    return Built(steps, facts={"parameters": parameters})


def memory_kib(field):
    with open("/proc/self/status", encoding="utf8") as status:
        for line in status:
            if line.startswith(field):
                return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")


def peak_memory(request):
    """Resident memory in KiB before the network is built, and its peak over three steps."""
    global TRY_FORMS
    TRY_FORMS = False  # Forms that are only tried would count.
    try:
        with open("/proc/self/clear_refs", "w", encoding="utf8") as refs:
            refs.write("5")  # Forgets earlier peaks.
    except OSError:
        pass
    before = memory_kib("VmRSS")
    run = Step(request["family"], request["batch"], torch.channels_last)
    for _ in range(3):
        run()
    return {"beforeKiB": before, "peakKiB": max(memory_kib("VmHWM"), before)}


BUILDERS = {"resnet20": step}
