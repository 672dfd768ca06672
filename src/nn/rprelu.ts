/**
 * @file RPReLU of ReActNet (Liu et al., ECCV'20, arXiv 2003.03488, equation 4): PReLU(x - gamma) + zeta with three learned
 * values for each channel, so that an activation can move and shape the distribution that the next binary layer cuts.
 */
import { contribute, record, at } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { Module, Parameter } from './module.js';
import { channelInitializer } from './onnx/layers.js';
import type { OnnxGraph } from './onnx/graph.js';

/** What the slopes below zero start at, as in the paper's release. */
const startSlope = 0.25;

export class RPRelu implements Module {
  readonly parameters: readonly Parameter[];
  readonly buffers = [];
  readonly #gamma: Tensor;
  readonly #slope: Tensor;
  readonly #zeta: Tensor;

  constructor(
    private readonly name: string,
    channels: number,
  ) {
    const values = (start: number): Tensor =>
      Tensor.persistent([channels], new Float32Array(channels).fill(start), true);
    this.#gamma = values(0);
    this.#slope = values(startSlope);
    this.#zeta = values(0);
    this.parameters = [
      { name: `${name}.gamma`, tensor: this.#gamma, decay: false },
      { name: `${name}.slope`, tensor: this.#slope, decay: false },
      { name: `${name}.zeta`, tensor: this.#zeta, decay: false },
    ];
  }

  /** x [..., C] -> the same shape. */
  forward(x: Tensor): Tensor {
    return at(this.name, () => rprelu(x, this.#gamma, this.#slope, this.#zeta));
  }

  lower(graph: OnnxGraph, input: string): string {
    const { name } = this;
    const perChannel = (of: string, { data }: Tensor): string =>
      channelInitializer(graph, `${name}.${of}`, data);
    const moved = graph.node('Sub', [input, perChannel('gamma', this.#gamma)], {}, { name: `${name}.moved` });
    const slopes = graph.initializer(`${name}.slope`, [this.#slope.size, 1, 1], this.#slope.data);
    const bent = graph.node('PRelu', [moved, slopes], {}, { name: `${name}.bent` });
    return graph.node('Add', [bent, perChannel('zeta', this.#zeta)], {}, { name });
  }
}

/** u + zeta where u = x - gamma is above 0, else slope u + zeta; all but x [..., C] are [C]. */
export function rprelu(x: Tensor, gamma: Tensor, slope: Tensor, zeta: Tensor): Tensor {
  const channels = gamma.size;
  return record(
    'rprelu',
    [x, gamma, slope, zeta],
    x.shape,
    (y) => {
      const [from, g, s, z] = [x.data, gamma.data, slope.data, zeta.data];
      for (let i = 0; i < y.length;)
        for (let c = 0; c < channels; c++, i++) {
          const u = (from[i] as number) - (g[c] as number);
          y[i] = (u > 0 ? u : (s[c] as number) * u) + (z[c] as number);
        }
    },
    (dy) => {
      const [from, g, s] = [x.data, gamma.data, slope.data];
      const [dslope, dzeta, dgamma] = [0, 0, 0].map(() => new Float64Array(channels));
      contribute(x, (dx) => {
        for (let i = 0; i < dy.length;)
          for (let c = 0; c < channels; c++, i++)
            dx[i] = (from[i] as number) - (g[c] as number) > 0 ? dy[i]! : (s[c] as number) * dy[i]!;
      });
      for (let i = 0; i < dy.length;)
        for (let c = 0; c < channels; c++, i++) {
          const u = (from[i] as number) - (g[c] as number);
          const d = dy[i] as number;
          dzeta![c]! += d;
          dgamma![c]! -= u > 0 ? d : (s[c] as number) * d;
          if (u <= 0) dslope![c]! += u * d;
        }
      contribute(gamma, (to) => to.set(dgamma!));
      contribute(slope, (to) => to.set(dslope!));
      contribute(zeta, (to) => to.set(dzeta!));
    },
    { tensors: [x, gamma, slope], output: false },
  );
}
