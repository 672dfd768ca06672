/**
 * @file Batch normalisation with running statistics, fused with the ReLU that often follows.
 */
import { batchNorm, batchNormInference } from '../tensor/ops/normalisation.js';
import { at } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { Mode, type Module, type Parameter, type StateBuffer } from './module.js';
import { lowerBatchNorm, lowerRelu } from './onnx/layers.js';
import type { OnnxGraph } from './onnx/graph.js';

const epsilon = 1e-5;
const runningMomentum = 0.1;

export class BatchNorm implements Module {
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly StateBuffer[];
  readonly #gamma: Tensor;
  readonly #beta: Tensor;
  readonly #mean: Float32Array;
  readonly #variance: Float32Array;
  #recalibrationRows = 0;

  /** `name` prefixes the names of the parameters; `relu` applies max(0, .) to the result; gamma starts at `gamma`. */
  constructor(
    private readonly name: string,
    channels: number,
    private readonly relu: boolean,
    gamma = 1,
  ) {
    this.#gamma = Tensor.persistent([channels], new Float32Array(channels).fill(gamma), true);
    this.#beta = Tensor.persistent([channels], new Float32Array(channels), true);
    this.#mean = new Float32Array(channels);
    this.#variance = new Float32Array(channels).fill(1);
    this.parameters = [
      { name: `${name}.gamma`, tensor: this.#gamma, decay: false },
      { name: `${name}.beta`, tensor: this.#beta, decay: false },
    ];
    this.buffers = [
      { name: `${name}.mean`, data: this.#mean },
      { name: `${name}.variance`, data: this.#variance },
    ];
  }

  forward(x: Tensor, mode: Mode): Tensor {
    return at(this.name, () => this.#normalise(x, mode));
  }

  #normalise(x: Tensor, mode: Mode): Tensor {
    if (mode === Mode.Evaluation)
      return batchNormInference(
        x,
        this.#gamma,
        this.#beta,
        { mean: this.#mean, variance: this.#variance },
        {
          epsilon,
          relu: this.relu,
        },
      );
    const rows = x.size / this.#mean.length;
    return batchNorm(x, this.#gamma, this.#beta, {
      epsilon,
      relu: this.relu,
      onMoments: ({ mean, variance }) => {
        if (mode === Mode.Recalibration) this.#recalibrationRows += rows;
        const rate = mode === Mode.Training ? runningMomentum : rows / this.#recalibrationRows;
        follow(this.#mean, mean, rate, 1);
        follow(this.#variance, variance, rate, rows > 1 ? rows / (rows - 1) : 1);
      },
    });
  }

  /** Makes the next recalibration start from nothing. */
  resetStatistics(): void {
    this.#recalibrationRows = 0;
  }

  lower(graph: OnnxGraph, input: string): string {
    const y = lowerBatchNorm(graph, this.name, input, {
      gamma: this.#gamma.data,
      beta: this.#beta.data,
      mean: this.#mean,
      variance: this.#variance,
      epsilon,
    });
    return this.relu ? lowerRelu(graph, `${this.name}.relu`, y) : y;
  }
}

/** statistic += rate * (factor * observed - statistic); at rate 1 nothing of what was held remains, rounding included. */
function follow(statistic: Float32Array, observed: Float32Array, rate: number, factor: number): void {
  for (let c = 0; c < statistic.length; c++) {
    const held = statistic[c] as number;
    const now = factor * (observed[c] as number);
    statistic[c] = rate === 1 ? now : held + rate * (now - held);
  }
}
