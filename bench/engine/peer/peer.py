"""The PyTorch side of `npm run bench -- engine`: one long-lived process, one JSON line per request and per answer.

Requests: {"do": "prepare", "case": {...}, "threads": n} builds a case, tries every form PyTorch offers for it and keeps
the fastest; {"do": "time", "threads": n, "calls": k, "samples": m, "warmUp": true} times it; {"do": "release"} forgets
it; {"do": "probe", "threads": n} measures what the environment (OpenBLAS and ATen kernel sets) is worth;
{"do": "memory", "family": "conv", ...} runs training steps and answers the peak of resident memory.
An answer {"error": "..."} leaves the process usable. One thread is timed by processor time, several by the clock.
"""

import ctypes
import json
import os
import resource
import sys
import time
import traceback

import torch

import adder
import functions
import kernels
import networks
import sequences

BUILDERS = {**kernels.BUILDERS, **adder.BUILDERS, **sequences.BUILDERS, **functions.BUILDERS, **networks.BUILDERS}


def openblas():
    """OpenBLAS has its own thread count, which torch.set_num_threads does not reach; None when it is not loaded."""
    with open("/proc/self/maps", encoding="utf8") as maps:
        for line in maps:
            path = line.split()[-1]
            if "openblas" in os.path.basename(path):
                library = ctypes.CDLL(path)
                if hasattr(library, "openblas_set_num_threads"):
                    return library
    return None


torch.mm(torch.ones(64, 64), torch.ones(64, 64))  # Loads the BLAS library.
BLAS = openblas() if sys.platform == "linux" else None


def set_threads(threads):
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if BLAS is not None:
        BLAS.openblas_set_num_threads(threads)


def clock_of(threads):
    return time.process_time if threads == 1 else time.perf_counter


def samples_of(run, threads, calls, samples):
    """Milliseconds of one call, `samples` times, and whether the system took the processor away meanwhile."""
    clock = clock_of(threads)
    ms, disturbed = [], []
    for _ in range(samples):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        start = clock()
        for _ in range(calls):
            run()
        ms.append(1000 * (clock() - start) / calls)
        disturbed.append(resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw > before)
    return ms, disturbed


def best_form(forms, threads):
    """The name of the fastest of `forms` (name -> function), and the best time in ms of each."""
    times = {}
    for name, run in forms.items():
        cold = samples_of(run, threads, 1, 1)[0][0]
        best = cold
        # A first call pays for page faults and for choosing kernels; do not judge a form by it unless it is hopeless.
        if cold < 4 * min(times.values(), default=cold):
            repeats = max(1, min(8, int(150 / max(cold, 1e-3))))
            calls = max(1, int(0.5 / max(cold, 1e-3)))
            best = min(best, *samples_of(run, threads, calls, repeats)[0])
        times[name] = best
    return min(times, key=times.get), times


def published_time(built, times, threads):
    """Milliseconds that the published form of a case takes, scaled up to the whole of it; None where it has none."""
    if built.published is None:
        return None
    name, run, scale = built.published
    ms = times[name] if name in times else scale * min(samples_of(run, threads, 1, 2)[0])
    return {"form": name, "ms": ms}


class Peer:
    def __init__(self):
        self.case = None
        self.chosen = {}

    def prepare(self, request):
        case = request["case"]
        if self.case is None or self.case[0] != case:
            self.release(request)
            if case["kind"] not in BUILDERS:
                raise ValueError(f"no case of kind {case['kind']}")
            self.case = (case, BUILDERS[case["kind"]](case))
        threads = request["threads"]
        set_threads(threads)
        built = self.case[1]
        name, times = best_form(built.forms, threads)
        self.chosen[threads] = built.forms[name]
        digests = [kernels.digest(tensor) for tensor in built.outputs(name)] if built.outputs else None
        return {
            "form": name,
            "forms": times,
            "published": published_time(built, times, threads),
            "digests": digests,
            "facts": built.facts,
        }

    def time(self, request):
        threads = request["threads"]
        set_threads(threads)
        run = self.chosen[threads]
        if request["warmUp"]:
            run()
        ms, disturbed = samples_of(run, threads, request["calls"], request["samples"])
        return {"ms": ms, "disturbed": disturbed}

    def release(self, _request):
        self.case = None
        self.chosen = {}
        return {}

    def probe(self, request):
        """Best ms of a matrix product, and of operations on rows, for choosing between environments."""
        set_threads(request["threads"])
        a, rows = torch.ones(1024, 1024), torch.ones(32768, 128)
        work = {"matmul": lambda: torch.mm(a, a), "rows": lambda: torch.softmax(rows, 1)}
        return {name: min(samples_of(run, request["threads"], 1, 12)[0]) for name, run in work.items()}

    def memory(self, request):
        set_threads(request["threads"])
        return networks.peak_memory(request)


def describe():
    capability = [line for line in torch.__config__.show().splitlines() if "CPU capability" in line]
    avx512 = False
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf8") as info:
            avx512 = "avx512f" in info.read()
    return {
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "capability": capability[0].split(":")[1].strip() if capability else "unknown",
        "openblas": BLAS is not None,
        "avx512": avx512,
    }


def main():
    # Whatever a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf8")
    os.dup2(2, 1)
    peer = Peer()
    print(json.dumps(describe()), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            with torch.no_grad():
                answer = getattr(peer, request["do"])(request)
        except Exception as error:  # One case that this PyTorch cannot do must not end the run.
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


main()
