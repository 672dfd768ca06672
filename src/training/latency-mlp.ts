/**
 * @file A latency predictor that learns: a multi-layer perceptron on our own engine, after the one of HAT (Wang et al.,
 * ACL 2020), which the published search used. The linear predictor is usually the better one; this one can follow what
 * is no sum, and shows what that is worth.
 *
 * Inputs are the logarithms of the counts of a layer (features.ts) and which primitive it has, standardised; the output is
 * the logarithm of the latency. Whole batch, AdamW, cosine to zero. Operations on maps are left to the linear predictor.
 */
import { Random } from '../base/random.js';
import { layerCounts } from '../hardware/measured/features.js';
import { OperationKind, type LayerOperation } from '../hardware/measured/operation.js';
import { fitLinear, tooFew, type LatencyPredictor } from '../hardware/measured/predictor.js';
import { latencyOfRow, type MeasuredRow } from '../hardware/measured/table.js';
import { Primitive } from '../hardware/layer.js';
import type { Parameter } from '../nn/module.js';
import { mul, sub } from '../tensor/ops/binary.js';
import { addBias, relu } from '../tensor/ops/elementwise.js';
import { linear } from '../tensor/ops/matmul.js';
import { mean } from '../tensor/ops/reduction.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { AdamW } from './optimiser.js';

/** How the perceptron is made and trained. */
export interface MlpOptions {
  readonly seed: number;
  /** Units of each hidden layer: 32 in one by default. A table has hundreds of rows; more units only follow its noise. */
  readonly hidden?: readonly number[];
  readonly steps?: number;
  readonly rate?: number;
}

const fewestRows = 10;

/** Trains on the layers among `rows`. The same rows and seed give the same predictor. */
export function fitMlp(rows: readonly MeasuredRow[], options: MlpOptions): LatencyPredictor {
  const { seed, hidden = [32], steps = 2000, rate = 5e-3 } = options;
  const ofMaps = fitLinear(rows.filter(({ operation }) => operation.kind !== OperationKind.Layer));
  const layers = rows.flatMap((row) =>
    row.operation.kind === OperationKind.Layer
      ? [{ operation: row.operation, value: Math.log(latencyOfRow(row)) }]
      : [],
  );
  const seen = new Set(layers.map(({ operation }) => operation.primitive));
  if (layers.length < fewestRows)
    return {
      predictMs(operation) {
        if (operation.kind === OperationKind.Layer) throw tooFew(operation);
        return ofMaps.predictMs(operation);
      },
    };
  const inputs = standardiser(layers.map(({ operation }) => inputsOf(operation)));
  const output = standardiser(layers.map(({ value }) => [value]));
  const weights = train(
    layers.map(({ operation }) => inputs.to(inputsOf(operation))),
    layers.map(({ value }) => output.to([value])[0]!),
    { seed, hidden, steps, rate },
  );
  return {
    predictMs(operation) {
      if (operation.kind !== OperationKind.Layer) return ofMaps.predictMs(operation);
      if (!seen.has(operation.primitive)) throw tooFew(operation);
      return Math.exp(output.from(forward(weights, inputs.to(inputsOf(operation)))));
    },
  };
}

function inputsOf(operation: LayerOperation): readonly number[] {
  return [
    ...layerCounts(operation).map((count) => Math.log(count)),
    ...Object.values(Primitive).map((primitive) => (primitive === operation.primitive ? 1 : 0)),
  ];
}

/** Mean 0 and deviation 1 in every column of `rows`, and back in the first. */
function standardiser(rows: readonly (readonly number[])[]): {
  readonly to: (row: readonly number[]) => readonly number[];
  readonly from: (value: number) => number;
} {
  const columns = rows[0]!.map((_, column) => {
    const values = rows.map((row) => row[column]!);
    const centre = values.reduce((sum, each) => sum + each, 0) / values.length;
    const variance = values.reduce((sum, each) => sum + (each - centre) ** 2, 0) / values.length;
    return { centre, width: Math.sqrt(variance) || 1 };
  });
  return {
    to: (row) => row.map((value, at) => (value - columns[at]!.centre) / columns[at]!.width),
    from: (value) => value * columns[0]!.width + columns[0]!.centre,
  };
}

/** One fully connected layer: weights [in][out] row by row, biases [out]. */
interface Dense {
  readonly weights: Float32Array;
  readonly biases: Float32Array;
}

function train(
  inputs: readonly (readonly number[])[],
  targets: readonly number[],
  { seed, hidden, steps, rate }: Required<MlpOptions>,
): readonly Dense[] {
  const random = Random.stream(seed, 'latency perceptron');
  const sizes = [inputs[0]!.length, ...hidden, 1];
  const layers = sizes.slice(1).map((outputs, at) => {
    const count = sizes[at]!;
    const values = Float32Array.from(
      { length: count * outputs },
      () => random.normal() * Math.sqrt(2 / count),
    );
    return {
      weight: Tensor.persistent([1, 1, count, outputs], values, true),
      bias: Tensor.persistent([outputs], new Float32Array(outputs), true),
    };
  });
  const parameters = layers.flatMap(({ weight, bias }, at): Parameter[] => [
    { name: `${at}.weight`, tensor: weight, decay: true },
    { name: `${at}.bias`, tensor: bias, decay: false },
  ]);
  const x = Tensor.persistent([inputs.length, 1, 1, sizes[0]!], inputs.flat());
  const y = Tensor.persistent([inputs.length, 1, 1, 1], targets);
  const settings = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 1e-2 };
  const optimiser = new AdamW(parameters, settings);
  for (let step = 0; step < steps; step++) {
    const { value: loss, tape } = Tape.record(() => {
      let h = x;
      layers.forEach(({ weight, bias }, at) => {
        h = addBias(linear(h, weight), bias);
        if (at < layers.length - 1) h = relu(h);
      });
      const error = sub(h, y);
      return mean(mul(error, error));
    });
    tape.backward(loss);
    optimiser.step((rate / 2) * (1 + Math.cos((Math.PI * step) / steps)));
  }
  const trained = layers.map(({ weight, bias }) => ({
    weights: weight.data.slice(),
    biases: bias.data.slice(),
  }));
  optimiser.dispose();
  for (const { weight, bias } of layers) for (const tensor of [weight, bias, x, y]) tensor.dispose();
  return trained;
}

function forward(layers: readonly Dense[], row: readonly number[]): number {
  let values = row;
  layers.forEach(({ weights, biases }, at) => {
    const outputs = biases.length;
    values = Array.from(biases, (bias, to) => {
      const sum = values.reduce((total, each, from) => total + each * weights[from * outputs + to]!, bias);
      return at < layers.length - 1 ? Math.max(0, sum) : sum;
    });
  });
  return values[0]!;
}
