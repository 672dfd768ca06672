/**
 * @file Operands of few bits in ONNX. Up to 8 bits they are integers there: the input goes through QuantizeLinear and
 * DequantizeLinear, with a Clip before them where the codes are fewer than the type has, and the weights are stored as int8
 * behind a DequantizeLinear; so runtimes with integer kernels can use them, and readers see the widths. Wider ones are
 * rounded by Div, Clip, Round and Mul, since QuantizeLinear has no wider types in the operator set that we write; their
 * weights are stored as floats on the grid. So is the input of a layer whose weights are floats, those of shift layers: ONNX
 * Runtime takes a convolution between QuantizeLinear nodes for one of integers, and rounds its weights itself.
 */
import type { OnnxGraph } from '../../nn/onnx/graph.js';
import { filterInitializer, filterOf, type FilterGeometry } from '../../nn/onnx/layers.js';
import type { CodeRange } from './codes.js';
import { roundInto } from './step.js';

/** Bits of the widest type that QuantizeLinear makes. */
const typeBits = 8;

/** Emits `input` on the codes of `step` under `name` and returns the name of the result; as integers where the weights are. */
export function lowerRounded(
  graph: OnnxGraph,
  name: string,
  input: string,
  step: number,
  { bits, least, most }: CodeRange,
  asIntegers: boolean,
): string {
  const scalar = (key: string, value: number): string =>
    graph.initializer(`${name}.${key}`, [], Float32Array.of(value));
  const scale = scalar('step', step);
  if (bits > typeBits || !asIntegers) {
    const steps = graph.node('Div', [input, scale], {}, { name: `${name}.steps` });
    const ends = [scalar('least', least), scalar('most', most)];
    const inside = graph.node('Clip', [steps, ...ends], {}, { name: `${name}.inside` });
    const whole = graph.node('Round', [inside], {}, { name: `${name}.whole` });
    return graph.node('Mul', [whole, scale], {}, { name });
  }
  const ends = (): readonly string[] => [scalar('low', least * step), scalar('high', most * step)];
  const clipped =
    bits === typeBits ? input : graph.node('Clip', [input, ...ends()], {}, { name: `${name}.inside` });
  const zero = graph.initializer(`${name}.zero`, [], least < 0 ? new Int8Array(1) : new Uint8Array(1));
  const codes = graph.node('QuantizeLinear', [clipped, scale, zero], {}, { name: `${name}.codes` });
  return graph.node('DequantizeLinear', [codes, scale, zero], {}, { name });
}

/**
 * Emits weights [kernel, kernel, in / groups, out] on the signed codes of `step`, in the order of ONNX, and returns the name
 * of the value. @throws ShapeError when they do not fit the geometry
 */
export function lowerFilter(
  graph: OnnxGraph,
  name: string,
  weights: Float32Array,
  geometry: FilterGeometry,
  step: number,
  range: CodeRange,
): string {
  const onGrid = new Float32Array(weights.length);
  roundInto(weights, step, range, onGrid);
  if (range.bits > typeBits) return filterInitializer(graph, name, onGrid, geometry);
  const { dims, values } = filterOf(name, onGrid, geometry);
  const codes = graph.initializer(
    `${name}.weight`,
    dims,
    Int8Array.from(values, (value) => Math.round(value / step)),
  );
  const scale = graph.initializer(`${name}.weight.step`, [], Float32Array.of(step));
  const zero = graph.initializer(`${name}.weight.zero`, [], new Int8Array(1));
  return graph.node('DequantizeLinear', [codes, scale, zero], {}, { name: `${name}.weight.values` });
}
