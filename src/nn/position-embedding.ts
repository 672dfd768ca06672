/**
 * @file A learned value for each position and channel of a map, added to it (ViT, Dosovitskiy et al., ICLR'21).
 */
import type { Random } from '../base/random.js';
import { add } from '../tensor/ops/binary.js';
import { at } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { Module, Parameter } from './module.js';
import type { OnnxGraph } from './onnx/graph.js';

/** Standard deviation of the first values. */
const startDeviation = 0.02;

export class PositionEmbedding implements Module {
  readonly parameters: readonly Parameter[];
  readonly buffers = [];
  readonly #values: Tensor;

  constructor(
    private readonly name: string,
    private readonly map: { readonly height: number; readonly width: number; readonly channels: number },
    random: Random,
  ) {
    const { height, width, channels } = map;
    const values = Float32Array.from(
      { length: height * width * channels },
      () => startDeviation * random.normal(),
    );
    this.#values = Tensor.persistent([1, height, width, channels], values, true);
    this.parameters = [{ name: `${name}.values`, tensor: this.#values, decay: false }];
  }

  /** x [N, H, W, C] plus the values. */
  forward(x: Tensor): Tensor {
    return at(this.name, () => add(x, this.#values));
  }

  lower(graph: OnnxGraph, input: string): string {
    const { height, width, channels } = this.map;
    const { data } = this.#values;
    const first = new Float32Array(data.length);
    const positions = height * width;
    for (let position = 0; position < positions; position++)
      for (let c = 0; c < channels; c++) first[c * positions + position] = data[position * channels + c]!;
    const values = graph.initializer(`${this.name}.values`, [1, channels, height, width], first);
    return graph.node('Add', [input, values], {}, { name: this.name });
  }
}
