/**
 * @file The reference device: every op of the contract in readable TypeScript.
 *
 * It is the oracle that other devices are tested against, and what the engine falls back to where no C compiler is
 * at hand. Plain loops, one thread; sums are taken in float64 and stored to float32 once.
 */
import type { Kernels } from '../kernels.js';
import { attentionForward, attentionGradient } from './attention.js';
import {
  l1Forward,
  l1InputGradient,
  l1WeightGradient,
  lpForward,
  lpInputGradient,
  lpWeightGradient,
} from './adder.js';
import { binary, binaryGradient } from './binary.js';
import { conv2dForward, conv2dInputGradient, conv2dWeightGradient } from './convolution.js';
import { add, axpy, relu, reluGradient } from './elementwise.js';
import { embedding, embeddingGradient } from './embedding.js';
import { layerNorm, layerNormGradient, layerNormParameterGradient } from './layer-norm.js';
import { softmaxCrossEntropy, softTargetCrossEntropy } from './loss.js';
import { matmul } from './matmul.js';
import { batchNorm, batchNormGradient, batchNormParameterGradient, channelAffine } from './normalisation.js';
import { adamWSteps, scale, sgdSteps, sumOfSquares } from './optimiser.js';
import { globalAveragePool, globalAveragePoolGradient } from './pooling.js';
import { oddTable, oddTableGradient } from './odd-table.js';
import { powerOfTwo } from './power-of-two.js';
import { reduceMaximum, reduceMaximumGradient, reduceProducts, reduceSum } from './reduction.js';
import { unary, unaryGradient } from './unary.js';
import { softmax, softmaxGradient } from './softmax.js';
import { averagePool, averagePoolGradient, maxPool, maxPoolGradient } from './windows.js';

/** The op contract of `kernels.ts`, computed plainly. */
export const referenceKernels: Kernels = {
  name: 'reference',
  describe: () => ({ isa: 'typescript', threads: 1 }),
  allocate: (length) => new Float32Array(length),
  conv2dForward,
  conv2dInputGradient,
  conv2dWeightGradient,
  l1Forward,
  l1InputGradient,
  l1WeightGradient,
  lpForward,
  lpInputGradient,
  lpWeightGradient,
  matmul,
  softmax,
  softmaxGradient,
  attentionForward,
  attentionGradient,
  channelAffine,
  batchNorm,
  batchNormGradient,
  batchNormParameterGradient,
  layerNorm,
  layerNormGradient,
  layerNormParameterGradient,
  relu,
  reluGradient,
  add,
  axpy,
  scale,
  sumOfSquares,
  unary,
  unaryGradient,
  binary,
  binaryGradient,
  reduceSum,
  reduceProducts,
  reduceMaximum,
  reduceMaximumGradient,
  globalAveragePool,
  globalAveragePoolGradient,
  maxPool,
  maxPoolGradient,
  averagePool,
  averagePoolGradient,
  embedding,
  embeddingGradient,
  softmaxCrossEntropy,
  softTargetCrossEntropy,
  powerOfTwo,
  oddTable,
  oddTableGradient,
  sgdSteps,
  adamWSteps,
};
