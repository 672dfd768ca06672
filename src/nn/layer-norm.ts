/**
 * @file Layer normalisation (Ba, Kiros & Hinton 2016): each position over its channels.
 */
import { layerNorm } from '../tensor/ops/normalisation.js';
import { at } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { Module, Parameter } from './module.js';
import type { OnnxGraph } from './onnx/graph.js';
import { lowerTranspose, toChannelsFirst, toChannelsLast } from './onnx/layers.js';

const epsilon = 1e-5;

export class LayerNorm implements Module {
  readonly parameters: readonly Parameter[];
  readonly buffers = [];
  readonly #gamma: Tensor;
  readonly #beta: Tensor;

  /** Scales of one, offsets of zero. */
  constructor(
    private readonly name: string,
    channels: number,
  ) {
    this.#gamma = Tensor.persistent([channels], new Float32Array(channels).fill(1), true);
    this.#beta = Tensor.persistent([channels], new Float32Array(channels), true);
    this.parameters = [
      { name: `${name}.gamma`, tensor: this.#gamma, decay: false },
      { name: `${name}.beta`, tensor: this.#beta, decay: false },
    ];
  }

  /** x [..., C] -> the same shape. */
  forward(x: Tensor): Tensor {
    return at(this.name, () => layerNorm(x, this.#gamma, this.#beta, { epsilon }));
  }

  lower(graph: OnnxGraph, input: string): string {
    const { name } = this;
    const channels = this.#gamma.size;
    const gamma = graph.initializer(`${name}.gamma`, [channels], this.#gamma.data);
    const beta = graph.initializer(`${name}.beta`, [channels], this.#beta.data);
    const last = lowerTranspose(graph, `${name}.last`, input, toChannelsLast);
    const attributes = { axis: { int: -1 }, epsilon: { float: epsilon } };
    const normalised = graph.node('LayerNormalization', [last, gamma, beta], attributes, {
      name: `${name}.normalised`,
    });
    return lowerTranspose(graph, name, normalised, toChannelsFirst);
  }
}
