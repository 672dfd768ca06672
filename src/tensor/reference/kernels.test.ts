import { describe, it } from 'vitest';
import { loadNativeKernels, nativeInfo, nativeProblem, setThreads } from '../native/device.js';
import { computeAll, expectSameResults } from './determinism.cases.js';
import { referenceKernels } from './device.js';
import { describeKernels } from './kernels.cases.js';

// Sums in float64, rounded to float32 once.
describeKernels('reference', () => referenceKernels, 1.2e-7);

describeKernels('native', loadNativeKernels);

describe('native threads', () => {
  it('results do not depend on their number', (context) => {
    const kernels = loadNativeKernels();
    if (kernels === undefined) return context.skip(nativeProblem());
    const before = nativeInfo().threads;
    const withThreads = (threads: number): ReadonlyMap<string, Float32Array> => {
      setThreads(threads);
      return computeAll({ kernels, relativeError: 0 });
    };
    const alone = withThreads(1);
    for (const threads of [2, 3, 7]) expectSameResults(alone, withThreads(threads));
    setThreads(before);
  });
});
