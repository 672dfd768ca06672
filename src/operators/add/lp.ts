/**
 * @file Add layers of another norm, "Universal Adder Neural Networks" (arXiv 2105.14202): y = -sum |x - w|^p.
 *
 * p is a tensor of the layer, `exponent`, that no optimiser touches: it starts at 2, where the layer is a convolution less
 * the squares of its operands, 2 x w - x^2 - w^2, and whose gradients are smooth, and a technique of training brings it
 * down to 1, where it is an AdderNet layer with the rules of that. Left alone it stays at 2. The price is that of an add
 * layer, which it is when training ends.
 */
import { lpConv2d } from '../../tensor/ops/convolution.js';
import type { OperatorFamily } from '../contract.js';
import { add } from './family.js';
import { withoutMasking } from './masking.js';
import { lowerLp } from './onnx.js';

export const addLp: OperatorFamily = {
  ...withoutMasking(add),
  name: 'add.lp',
  shortName: 'add-lp',
  title: 'Add (lp norm)',
  colour: '#17604a',
  own: [
    {
      name: 'exponent',
      shape: () => [1, 1, 1, 1],
      initialValues: () => Float32Array.of(2),
      decay: false,
      fixed: true,
    },
  ],
  forward: (x, weights, geometry, own) => lpConv2d(x, weights, exponentOf(own?.[0]?.data), geometry),
  lower: (graph, name, input, weights, geometry, own) =>
    lowerLp(graph, name, input, weights, geometry, exponentOf(own?.[0])),
};

function exponentOf(values: Float32Array | undefined): number {
  const exponent = values?.[0];
  if (exponent === undefined) throw new Error('an add layer of another norm needs its exponent');
  return exponent;
}
