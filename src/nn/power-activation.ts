/**
 * @file The power activation of AdderSR (Song et al., CVPR'21, arXiv 2009.08891): sign(x) |x|^alpha with one learned alpha,
 * which sharpens or flattens what add layers cannot, their outputs being sums of distances.
 */
import { contribute, record, at } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { Module, Parameter } from './module.js';
import type { OnnxGraph } from './onnx/graph.js';

/** The slope alpha |x|^(alpha - 1) has no bound at zero where alpha < 1; nearer to it |x| counts as this. */
const nearest = 1e-4;

export class PowerActivation implements Module {
  readonly parameters: readonly Parameter[];
  readonly buffers = [];
  readonly #alpha = Tensor.persistent([1], [1], true);

  /** Alpha starts at 1, the identity. */
  constructor(private readonly name: string) {
    this.parameters = [{ name: `${name}.alpha`, tensor: this.#alpha, decay: false }];
  }

  forward(x: Tensor): Tensor {
    return at(this.name, () => power(x, this.#alpha));
  }

  lower(graph: OnnxGraph, input: string): string {
    const { name } = this;
    const alpha = graph.initializer(`${name}.alpha`, [1], this.#alpha.data);
    const sign = graph.node('Sign', [input], {}, { name: `${name}.sign` });
    const magnitude = graph.node('Abs', [input], {}, { name: `${name}.magnitude` });
    const raised = graph.node('Pow', [magnitude, alpha], {}, { name: `${name}.raised` });
    return graph.node('Mul', [sign, raised], {}, { name });
  }
}

/** sign(x) |x|^alpha, alpha [1]. Its slope is that at 1e-4 where x is nearer to zero. */
export function power(x: Tensor, alpha: Tensor): Tensor {
  return record(
    'power',
    [x, alpha],
    x.shape,
    (y) => {
      const a = alpha.data[0] as number;
      const from = x.data;
      for (let i = 0; i < y.length; i++) {
        const value = from[i] as number;
        y[i] = a === 1 ? value : Math.sign(value) * Math.pow(Math.abs(value), a);
      }
    },
    (dy) => {
      const a = alpha.data[0] as number;
      const from = x.data;
      contribute(x, (dx) => {
        for (let i = 0; i < dx.length; i++)
          dx[i] = a * Math.pow(Math.max(nearest, Math.abs(from[i] as number)), a - 1) * (dy[i] as number);
      });
      let sum = 0;
      for (let i = 0; i < dy.length; i++) {
        const value = from[i] as number;
        const magnitude = Math.abs(value);
        if (magnitude > 0)
          sum += (dy[i] as number) * Math.sign(value) * Math.pow(magnitude, a) * Math.log(magnitude);
      }
      contribute(alpha, (to) => to.fill(sum));
    },
    { tensors: [x, alpha], output: false },
  );
}
