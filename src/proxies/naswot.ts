/**
 * @file NASWOT (Mellor et al., ICML'21, arXiv 2006.04647): how differently the ReLUs of an untrained network answer to
 * different images.
 *
 * Image i has a code c_i of one bit for each ReLU output: whether it is above zero. The kernel K[i][j] counts the bits
 * that two codes have in common, and the score is log det K: the higher, the easier the images are told apart. Batch
 * norms work on the moments of the batch; without them the outputs of add layers, which are never positive, would give
 * every image the same code of zeros and K rank one (operators-and-techniques 13).
 */
import { cholesky, logDeterminant } from '../base/linear-algebra.js';
import { ActivationKind } from '../nn/activation.js';
import { Mode } from '../nn/module.js';
import { NodeKind, type Node } from '../spaces/nodes.js';
import { inScope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import type { ProxyScorer } from './contract.js';

/** Collects the kernel from one map after the other. */
export class CodeKernel {
  readonly #differing: Float64Array;
  #bits = 0;

  constructor(private readonly images: number) {
    this.#differing = new Float64Array(images * images);
  }

  /** Adds the codes of a map [images, ...], one bit a value: whether it is above zero. */
  add(values: Float32Array): void {
    const { images } = this;
    const bits = values.length / images;
    const words = Math.ceil(bits / 32);
    const codes = new Int32Array(images * words);
    for (let image = 0; image < images; image++)
      for (let bit = 0; bit < bits; bit++)
        if (values[image * bits + bit]! > 0) codes[image * words + (bit >> 5)]! |= 1 << (bit & 31);
    for (let i = 0; i < images; i++)
      for (let j = 0; j < i; j++) {
        let differing = 0;
        for (let word = 0; word < words; word++)
          differing += onesOf(codes[i * words + word]! ^ codes[j * words + word]!);
        this.#differing[i * images + j]! += differing;
      }
    this.#bits += bits;
  }

  /** log det of the kernel; -Infinity where two images have one code or the codes depend on each other. */
  logDeterminant(): number {
    const { images } = this;
    // Scaled to ones on the diagonal: |aK| = a^n |K|.
    const scaled = new Float64Array(images * images);
    for (let i = 0; i < images; i++)
      for (let j = 0; j <= i; j++) scaled[i * images + j] = 1 - this.#differing[i * images + j]! / this.#bits;
    const lower = cholesky(scaled, images, singular);
    return lower === undefined ? -Infinity : logDeterminant(lower, images) + images * Math.log(this.#bits);
  }
}

/** Pivots of a kernel of rank below its size are rounding errors of 1. */
const singular = 1e-12;

function onesOf(word: number): number {
  let pairs = word - ((word >>> 1) & 0x55555555);
  pairs = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return (((pairs + (pairs >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}

/** Whether the output of a node is that of a ReLU. */
function isRectified(node: Node): boolean {
  if (node.kind === NodeKind.BatchNorm || node.kind === NodeKind.Join) return node.relu;
  return node.kind === NodeKind.Activation && node.activation === ActivationKind.Relu;
}

export const naswot: ProxyScorer = {
  name: 'naswot',
  title: 'NASWOT (ReLU codes, log-determinant)',
  batches: 1,
  score({ architecture: { input }, network, batches }) {
    const { images, labels } = batches[0]!;
    const kernel = new CodeKernel(labels.length);
    const temporaries: { dispose(): void }[] = [];
    try {
      inScope({ add: (temporary) => temporaries.push(temporary) }, () =>
        network.forward(
          Tensor.view([labels.length, input.height, input.width, input.channels], images),
          // Moments of the batch, and nothing is dropped out.
          Mode.Recalibration,
          {
            onNode: (node, output) => {
              if (isRectified(node)) kernel.add(output.data);
            },
          },
        ),
      );
    } finally {
      for (const temporary of temporaries) temporary.dispose();
    }
    return kernel.logDeterminant();
  },
};
