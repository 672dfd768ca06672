/**
 * @file What the machine can do at best, measured before anything is compared with it.
 *
 * Arithmetic: the kernels' inner steps on registers alone, by one thread; n threads are given n times that. Memory: the
 * best of y = a + b (the sum of the STREAM benchmark, McCalpin 1995) and, on one thread, the copy of the C library, over
 * buffers of the same total size as the row's, so that a row that lives in a cache is held against that cache. Traffic
 * that a cache adds on its own (reading a line before it is overwritten) is not counted, as STREAM does not.
 */
import { measurePeak, Probe } from '../../src/tensor/compiled/device.js';
import { kernels } from '../../src/tensor/device.js';
import { Bound, type Work } from './case.js';
import { clockOf, compiledDevice, useThreads } from './threads.js';

/** Rates of one thread: elements per second. */
export interface ArithmeticPeaks {
  readonly fma: number;
  readonly distance: number;
  readonly clamp: number;
}

export class Peaks {
  /** Of one thread; several have as many times that. Undefined for the reference device, which has no probes. */
  readonly arithmetic: ArithmeticPeaks | undefined;
  readonly #bandwidth = new Map<string, number>();

  constructor() {
    const device = compiledDevice();
    this.arithmetic = device && {
      fma: measurePeak(device, Probe.MultiplyAccumulate),
      distance: measurePeak(device, Probe.AbsoluteDifference),
      clamp: measurePeak(device, Probe.ClampedGradient),
    };
  }

  /** Bandwidths measured so far, in bytes per second. */
  get bandwidths(): readonly {
    readonly threads: number;
    readonly footprint: number;
    readonly rate: number;
  }[] {
    return [...this.#bandwidth].map(([key, rate]) => {
      const [threads, footprint] = key.split(' ').map(Number) as [number, number];
      return { threads, footprint, rate };
    });
  }

  /** Least time of `work` in milliseconds on these peaks; undefined when there is none to hold it against. */
  async leastMs(work: readonly Work[], threads: number): Promise<number | undefined> {
    if (this.arithmetic === undefined || work.length === 0) return undefined;
    let seconds = 0;
    for (const { bound, amount, footprint } of work)
      seconds +=
        bound === Bound.Memory
          ? amount / (await this.bandwidth(footprint ?? amount, threads))
          : amount / (threads * this.arithmetic[bound]);
    return 1000 * seconds;
  }

  /** Bytes per second over buffers of `footprint` bytes in all, rounded to a power of two. */
  async bandwidth(footprint: number, threads: number): Promise<number> {
    const size = 2 ** Math.round(Math.log2(Math.max(footprint, 1 << 14)));
    const key = `${threads} ${size}`;
    const known = this.#bandwidth.get(key);
    if (known !== undefined) return known;
    const rate = await measureBandwidth(size, threads);
    this.#bandwidth.set(key, rate);
    return rate;
  }
}

async function measureBandwidth(footprint: number, threads: number): Promise<number> {
  await useThreads(threads);
  const device = kernels();
  const triple = Math.floor(footprint / 3 / 4);
  const [a, b, y] = [device.allocate(triple), device.allocate(triple), device.allocate(triple)];
  const sum = (12 * triple) / bestSeconds(() => device.add(false, a, b, y), threads);
  if (threads > 1) return sum;
  const pair = Math.floor(footprint / 2 / 4);
  const [from, to] = [device.allocate(pair), device.allocate(pair)];
  return Math.max(sum, (8 * pair) / bestSeconds(() => to.set(from), threads));
}

/** Best time of one call within about a tenth of a second. */
function bestSeconds(run: () => void, threads: number): number {
  const now = clockOf(threads);
  run();
  let [best, calls] = [Infinity, 1];
  for (const started = performance.now(); performance.now() - started < 100;) {
    const start = now();
    for (let i = 0; i < calls; i++) run();
    const tookMs = now() - start;
    // Clocks tick: what is shorter is done more often at once.
    if (tookMs < 0.2) calls *= 2;
    else best = Math.min(best, tookMs / calls);
  }
  return best / 1000;
}
