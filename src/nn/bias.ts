/**
 * @file A learned offset of each channel, behind layers without a batch norm.
 */
import { addBias } from '../tensor/ops/elementwise.js';
import { Tensor } from '../tensor/tensor.js';
import type { Module, Parameter } from './module.js';
import { channelInitializer } from './onnx/layers.js';
import type { OnnxGraph } from './onnx/graph.js';

export class Bias implements Module {
  readonly parameters: readonly Parameter[];
  readonly buffers = [];
  readonly #bias: Tensor;

  /** `LAYER.bias`, zero at first. */
  constructor(
    private readonly layer: string,
    channels: number,
  ) {
    this.#bias = Tensor.persistent([channels], new Float32Array(channels), true);
    this.parameters = [{ name: `${layer}.bias`, tensor: this.#bias, decay: false }];
  }

  /** x [..., C] + bias [C]. */
  forward(x: Tensor): Tensor {
    return addBias(x, this.#bias);
  }

  lower(graph: OnnxGraph, input: string): string {
    const bias = channelInitializer(graph, `${this.layer}.bias`, this.#bias.data);
    return graph.node('Add', [input, bias], {}, { name: `${this.layer}.biased` });
  }
}
