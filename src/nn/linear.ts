/**
 * @file The classifier: a linear layer over pooled features.
 */
import type { Random } from '../base/random.js';
import { addBias } from '../tensor/ops/elementwise.js';
import { linear } from '../tensor/ops/matmul.js';
import { Tensor } from '../tensor/tensor.js';
import type { LayerForm, Module, Parameter } from './module.js';
import { lowerFlatten, lowerLinear } from './onnx/layers.js';
import type { OnnxGraph } from './onnx/graph.js';

export class Linear implements Module {
  readonly parameters: readonly Parameter[];
  readonly buffers = [];
  /** What stands around the product and its bias; undefined for layers as they are trained. */
  form: LayerForm | undefined;
  readonly #weight: Tensor;
  readonly #bias: Tensor;

  /** Weights uniform within 1 / sqrt(in), zero bias. */
  constructor(
    readonly name: string,
    readonly inFeatures: number,
    readonly outFeatures: number,
    random: Random,
  ) {
    const bound = 1 / Math.sqrt(inFeatures);
    const values = Float32Array.from(
      { length: inFeatures * outFeatures },
      () => bound * (2 * random.uniform() - 1),
    );
    this.#weight = Tensor.persistent([1, 1, inFeatures, outFeatures], values, true);
    this.#bias = Tensor.persistent([outFeatures], new Float32Array(outFeatures), true);
    this.parameters = [
      { name: `${name}.weight`, tensor: this.#weight, decay: true },
      { name: `${name}.bias`, tensor: this.#bias, decay: false },
    ];
  }

  /** x [N, 1, 1, in] -> [N, 1, 1, out]. */
  forward(x: Tensor): Tensor {
    const plain = (input: Tensor): Tensor => addBias(linear(input, this.#weight), this.#bias);
    return this.form === undefined ? plain(x) : this.form.forward(x, plain);
  }

  lower(graph: OnnxGraph, input: string): string {
    const flat = lowerFlatten(graph, `${this.name}.flatten`, input);
    const plain = (name: string, from: string): string =>
      lowerLinear(graph, name, from, this.#weight.data, this.#bias.data);
    return this.form === undefined ? plain(this.name, flat) : this.form.lower(graph, this.name, flat, plain);
  }
}
