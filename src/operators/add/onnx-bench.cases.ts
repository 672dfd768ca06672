/**
 * @file Prints the time of one exported L1 layer in ONNX Runtime Web (one thread) beside a Conv of the same geometry:
 * `node --no-liftoff --import tsx src/operators/add/onnx-bench.cases.ts`. Without the flag the first layers may be
 * timed in V8's unoptimised WebAssembly code, ten times slower.
 */
import { normalTensor } from '../../nn/onnx/random.cases.js';
import { encodeOnnx } from '../../nn/onnx/encode.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import { lowerConvolution } from '../../nn/onnx/layers.js';
import { timeOnnx } from '../../nn/onnx/run-onnx.cases.js';
import { lowerL1 } from './onnx.js';

const cases = [
  { batch: 1, size: 28, channels: 16, kernel: 3, groups: 1 },
  { batch: 32, size: 28, channels: 16, kernel: 3, groups: 1 },
  { batch: 1, size: 14, channels: 64, kernel: 3, groups: 1 },
  { batch: 1, size: 14, channels: 96, kernel: 3, groups: 96 },
  { batch: 1, size: 14, channels: 96, kernel: 1, groups: 1 },
  { batch: 1, size: 56, channels: 64, kernel: 3, groups: 1 },
];

for (const { batch, size, channels, kernel, groups } of cases) {
  const geometry = {
    inChannels: channels,
    outChannels: channels,
    kernel,
    stride: 1,
    padding: (kernel - 1) / 2,
    groups,
  };
  const x = normalTensor([batch, channels, size, size], 'bench', 'x');
  const weights = normalTensor([kernel, kernel, channels / groups, channels], 'bench', 'w').data;
  const times: string[] = [];
  for (const lower of [lowerL1, lowerConvolution]) {
    const graph = new OnnxGraph('layer');
    graph.output(lower(graph, 'y', graph.input('x', ['batch', channels, size, size]), weights, geometry));
    times.push((await timeOnnx(encodeOnnx(graph), { x }, 2000)).toFixed(2));
  }
  process.stdout.write(
    `batch ${batch}, ${channels} channels, ${size}x${size}, kernel ${kernel}, ${groups} group(s): ` +
      `L1 ${times[0]} ms, Conv ${times[1]} ms\n`,
  );
}
