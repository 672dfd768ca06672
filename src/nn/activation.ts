/**
 * @file The activations by name, with their ops and their ONNX nodes; those that learn are modules of their own.
 */
import { relu } from '../tensor/ops/elementwise.js';
import { gelu, hardSwish, relu6, sigmoid, silu } from '../tensor/ops/unary.js';
import type { Tensor } from '../tensor/tensor.js';
import { lowerRelu } from './onnx/layers.js';
import type { OnnxGraph } from './onnx/graph.js';

export enum ActivationKind {
  Relu = 'relu',
  Relu6 = 'relu6',
  Gelu = 'gelu',
  Silu = 'silu',
  HardSwish = 'hardSwish',
  Sigmoid = 'sigmoid',
}

/** Activations with parameters: `rprelu.ts`, `power-activation.ts`. */
export enum LearnedActivation {
  RPRelu = 'rprelu',
  Power = 'power',
}

/** A function of a map without parameters, and its lowering. */
export interface PlainActivation {
  readonly forward: (x: Tensor) => Tensor;
  readonly lower: (graph: OnnxGraph, name: string, input: string) => string;
}

/** The activation of this kind. */
export function activationOf(kind: ActivationKind): PlainActivation {
  return activations[kind];
}

const activations: Readonly<Record<ActivationKind, PlainActivation>> = {
  [ActivationKind.Relu]: { forward: relu, lower: lowerRelu },
  [ActivationKind.Relu6]: { forward: relu6, lower: lowerRelu6 },
  [ActivationKind.Gelu]: { forward: (x) => gelu(x), lower: lowerGelu },
  [ActivationKind.Silu]: { forward: silu, lower: lowerSilu },
  [ActivationKind.HardSwish]: {
    forward: hardSwish,
    lower: (graph, name, input) => graph.node('HardSwish', [input], {}, { name }),
  },
  [ActivationKind.Sigmoid]: {
    forward: sigmoid,
    lower: (graph, name, input) => graph.node('Sigmoid', [input], {}, { name }),
  },
};

function scalar(graph: OnnxGraph, name: string, value: number): string {
  return graph.initializer(name, [], Float32Array.of(value));
}

function lowerRelu6(graph: OnnxGraph, name: string, input: string): string {
  const bounds = [scalar(graph, `${name}.low`, 0), scalar(graph, `${name}.high`, 6)];
  return graph.node('Clip', [input, ...bounds], {}, { name });
}

function lowerSilu(graph: OnnxGraph, name: string, input: string): string {
  const gate = graph.node('Sigmoid', [input], {}, { name: `${name}.gate` });
  return graph.node('Mul', [input, gate], {}, { name });
}

/** x (1 + erf(x / sqrt 2)) / 2. */
function lowerGelu(graph: OnnxGraph, name: string, input: string): string {
  const scaled = graph.node(
    'Mul',
    [input, scalar(graph, `${name}.scale`, Math.SQRT1_2)],
    {},
    {
      name: `${name}.scaled`,
    },
  );
  const error = graph.node('Erf', [scaled], {}, { name: `${name}.erf` });
  const above = graph.node('Add', [error, scalar(graph, `${name}.one`, 1)], {}, { name: `${name}.above` });
  const half = graph.node('Mul', [above, scalar(graph, `${name}.half`, 0.5)], {}, { name: `${name}.weight` });
  return graph.node('Mul', [input, half], {}, { name });
}
