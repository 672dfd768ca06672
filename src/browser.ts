/**
 * @file `shiftaddnas/browser`: what of the library runs in a browser. Tensors, ops and gradients, layers of every
 * operator family, networks and supernets of the search spaces, optimisers, weights in safetensors files. Call
 * {@link loadEngine} first. Nothing here needs Node.
 */
export {
  DivergenceError,
  FileError,
  OptionError,
  OutputError,
  ShapeError,
  UserError,
} from './base/errors.js';
export { Random } from './base/random.js';
export { BatchNorm } from './nn/batch-norm.js';
export { Linear } from './nn/linear.js';
export { freeze, Mode, stateOf, thaw, type Module, type NamedTensors, type Parameter } from './nn/module.js';
export { decodeSafetensors, encodeSafetensors, type StoredTensor } from './nn/safetensors.js';
export { loadState } from './nn/state.js';
export { packBinaryLayer, runBinaryLayer, type PackedBinaryLayer } from './operators/binary/xnor.js';
export type { LayerGeometry, OperatorFamily, SharingMap } from './operators/contract.js';
export { OperatorLayer } from './operators/layer.js';
export { familyNamed, listFamilies } from './operators/registry.js';
export { BlockKind, type Architecture } from './spaces/architecture.js';
export type { Genome, SearchSpace } from './spaces/contract.js';
export { publishedNetwork, type PublishedNetwork } from './spaces/hytra/retraining.js';
export { createHytraCifar, createHytraImagenet } from './spaces/hytra/space.js';
export { layersOf, operationTotal, parameterCount } from './spaces/layers.js';
export { createMiniSpace, uniformGenome } from './spaces/mini/space.js';
export { Network } from './spaces/network.js';
export { resnetArchitecture, type ResnetOptions } from './spaces/resnet.js';
export { Supernet } from './supernet/supernet.js';
export { describeDevice, type DeviceDescription } from './tensor/device.js';
export { attention, logSoftmax, softmax } from './tensor/ops/attention.js';
export { add, div, maximum, minimum, mul, sub } from './tensor/ops/binary.js';
export { conv2d, l1Conv2d } from './tensor/ops/convolution.js';
export { addBias, relu } from './tensor/ops/elementwise.js';
export { embedding } from './tensor/ops/embedding.js';
export { countCorrect, softmaxCrossEntropy, softTargetCrossEntropy } from './tensor/ops/loss.js';
export { linear, matmul } from './tensor/ops/matmul.js';
export { batchNorm, batchNormInference, layerNorm, type BatchMoments } from './tensor/ops/normalisation.js';
export { averagePool, globalAveragePool, maxPool } from './tensor/ops/pooling.js';
export { max, mean, sum, type ReductionOptions } from './tensor/ops/reduction.js';
export {
  abs,
  clamp,
  exp,
  gelu,
  hardSigmoid,
  hardSwish,
  log,
  neg,
  relu6,
  sigmoid,
  sign,
  silu,
  sqrt,
  square,
  tanh,
} from './tensor/ops/unary.js';
export { checkpoint, Tape, tidy } from './tensor/tape.js';
export { Tensor } from './tensor/tensor.js';
export { loadEngine, type EngineSource } from './tensor/wasm/web.js';
export {
  AdamW,
  clipGradients,
  createOptimiser,
  Sgd,
  type Optimiser,
  type OptimiserSettings,
} from './training/optimiser.js';
export { learningRate, type Schedule } from './training/schedule.js';
