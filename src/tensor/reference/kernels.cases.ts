/**
 * @file The shared cases of the op contract: whatever device claims to compute `Kernels` is held to all of them.
 */
import { describe, it } from 'vitest';
import type { Kernels } from '../kernels.js';
import { describeAttention } from './attention.cases.js';
import { describeAdderClosedForms } from './adder.cases.js';
import type { Device } from './support.cases.js';
import { describeBinary } from './binary.cases.js';
import { describeConvolutions } from './convolution.cases.js';
import { describeDeterminism } from './determinism.cases.js';
import { describeEmbedding } from './embedding.cases.js';
import { describeElementwise } from './elementwise.cases.js';
import { describeLayerNorm } from './layer-norm.cases.js';
import { describeLoss } from './loss.cases.js';
import { describeMatmul } from './matmul.cases.js';
import { describeNonFinite } from './nonfinite.cases.js';
import { describeOptimisers } from './optimiser.cases.js';
import { describeOddTables } from './odd-table.cases.js';
import { describePowerOfTwo } from './power-of-two.cases.js';
import { describeReductions } from './reduction.cases.js';
import { describeSoftmax } from './softmax.cases.js';
import { describeRowOps } from './rows.cases.js';
import { describeUnary } from './unary.cases.js';
import { describeWindows } from './windows.cases.js';

/**
 * Declares the suite for one device. `load` returns undefined where the device cannot run, and the suite is then
 * skipped. `relativeError` is the error allowed to each result, relative to the sum of the absolute values of its
 * terms: the default is that of float32 accumulators over some thousand terms.
 */
export function describeKernels(name: string, load: () => Kernels | undefined, relativeError = 4e-6): void {
  const kernels = load();
  describe(`${name} kernels`, () => {
    if (kernels === undefined) {
      it('are held to the op contract', (context) => {
        context.skip(`the ${name} device is not available here`);
      });
      return;
    }
    const device: Device = { kernels, relativeError };
    describeConvolutions(device);
    describeAdderClosedForms(device);
    describeMatmul(device);
    describeSoftmax(device);
    describeAttention(device);
    describeRowOps(device);
    describeLoss(device);
    describeElementwise(device);
    describeUnary(device);
    describeBinary(device);
    describeReductions(device);
    describeLayerNorm(device);
    describeWindows(device);
    describeEmbedding(device);
    describeOptimisers(device);
    describePowerOfTwo(device);
    describeOddTables(device);
    describeNonFinite(device);
    describeDeterminism(device);
  });
}
