import { describeKernels } from './kernels.cases.js';
import { referenceKernels } from './device.js';

// Sums in float64, rounded to float32 once.
describeKernels('reference', () => referenceKernels, 1.2e-7);
