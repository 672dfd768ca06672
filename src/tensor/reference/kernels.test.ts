import { describe, it } from 'vitest';
import { loadNativeDevice, nativeProblem } from '../native/device.js';
import { loadWasmDevice, wasmProblem } from '../wasm/device.js';
import { computeAll, expectSameResults } from './determinism.cases.js';
import { referenceKernels } from './device.js';
import { useThreads } from '../compiled/threads.cases.js';
import { describeKernels } from './kernels.cases.js';

// Sums in float64, rounded to float32 once.
describeKernels('reference', () => referenceKernels, 1.2e-7);

describeKernels('native', () => loadNativeDevice()?.kernels);

describeKernels('wasm', () => loadWasmDevice()?.kernels);

describe.each([
  ['native', loadNativeDevice, nativeProblem],
  ['wasm', loadWasmDevice, wasmProblem],
] as const)('%s threads', (_, load, problem) => {
  it('results do not depend on their number', (context) => {
    const device = load();
    if (device === undefined) return context.skip(problem());
    const { kernels, setThreads } = device;
    const before = kernels.describe().threads;
    const withThreads = (threads: number): ReadonlyMap<string, Float32Array> => {
      setThreads(threads);
      return computeAll({ kernels, relativeError: 0 });
    };
    const alone = withThreads(1);
    for (const threads of [2, 3, 7]) {
      useThreads(device, threads);
      expectSameResults(alone, withThreads(threads));
    }
    setThreads(before);
  });
});
