/**
 * @file Progressive kernel-based distillation ("Kernel Based Progressive Distillation for Adder Neural Networks", Xu et
 * al., NeurIPS 2020, arXiv 2009.13044): a convolutional teacher of the same architecture is trained at the same time, and
 * each layer of additions learns from the teacher's layer of its name.
 *
 * The outputs of the two are distributed differently (distances are like Laplace's, products like Gauss's), so both go
 * through a kernel and then through a learned linear map of channels (1x1) before they are compared:
 *
 *     loss = L + kd T^2 CE(softmax(teacher / T), student / T) + beta sum over layers MSE(rho_a h(y_a), rho_c g(y_c)),
 *     h, g: y -> exp((y - m) / (2 s))
 *
 * Ours, where we only know the form: an add layer's output is minus a distance, a convolution's grows with the
 * similarity, so both kernels are the exponential of the output over twice a width; the width s is the deviation of the
 * batch's outputs and m their mean, both constants to the gradient (a factor exp(-m / 2s) is one that rho can take up); and
 * the teacher learns from the labels alone, by the same loss and optimiser: nothing of the comparison flows back into it.
 */
import { Mode, type Parameter } from '../../nn/module.js';
import type { OperatorLayer } from '../../operators/layer.js';
import { add, mul, sub } from '../../tensor/ops/binary.js';
import { softTargetCrossEntropy } from '../../tensor/ops/loss.js';
import { linear } from '../../tensor/ops/matmul.js';
import { mean } from '../../tensor/ops/reduction.js';
import { exp, square } from '../../tensor/ops/unary.js';
import { Tensor } from '../../tensor/tensor.js';
import type { Network } from '../../spaces/network.js';
import type { Loss, Technique } from '../technique.js';
import { softened } from './distillation.js';

export interface KernelDistillationSettings {
  /** Of the comparison of layers. */
  readonly beta: number;
  /** Of the teacher's probabilities. */
  readonly kd: number;
  readonly temperature: number;
}

/** Mean and deviation of values, the deviation never zero. */
export function momentsOf(values: Float32Array): { readonly centre: number; readonly width: number } {
  let [total, squares] = [0, 0];
  for (const v of values) total += v;
  const centre = total / values.length;
  for (const v of values) squares += (v - centre) ** 2;
  return { centre, width: Math.max(Math.sqrt(squares / values.length), 1e-6) };
}

const constant = (value: number): Tensor => Tensor.view([1], Float32Array.of(value));

/** rho exp((y - centre) / (2 width)), centre and width being constants. y [N, H, W, C], rho [1, 1, C, C]. */
export function kernelMap(y: Tensor, rho: Tensor, centre: number, width: number): Tensor {
  return linear(exp(mul(sub(y, constant(centre)), constant(1 / (2 * width)))), rho);
}

/** What the outputs of one layer differ by behind their kernels and maps. `teacher` is a constant. */
export function layerDistance(
  student: Tensor,
  teacher: Tensor,
  studentMap: Tensor,
  teacherMap: Tensor,
): Tensor {
  const mapped = (y: Tensor, rho: Tensor): Tensor => {
    const { centre, width } = momentsOf(y.data);
    return kernelMap(y, rho, centre, width);
  };
  return mean(square(sub(mapped(student, studentMap), mapped(teacher, teacherMap))));
}

type Tapped = Pick<Network, 'operatorLayers'>;

/** Outputs of the layers by name, in the pass that follows; held until let go of. */
class Outputs {
  readonly #held = new Map<string, Tensor>();
  readonly #layers: readonly OperatorLayer[];

  constructor({ operatorLayers }: Tapped, names: ReadonlySet<string>) {
    this.#layers = operatorLayers.filter(({ name }) => names.has(name));
    for (const layer of this.#layers)
      layer.tap = (output) => {
        this.#held.get(layer.name)?.letGo();
        output.hold();
        this.#held.set(layer.name, output);
      };
  }

  of(name: string): Tensor {
    const output = this.#held.get(name);
    if (output === undefined) throw new Error(`layer ${name} made no output in this pass`);
    return output;
  }

  letGo(): void {
    for (const output of this.#held.values()) output.letGo();
    this.#held.clear();
  }

  close(): void {
    this.letGo();
    for (const layer of this.#layers) layer.tap = undefined;
  }
}

/** A map of channels that begins as the identity. */
function identityMap(name: string, channels: number): Parameter {
  const values = Float32Array.from({ length: channels ** 2 }, (_, i) => (i % (channels + 1) === 0 ? 1 : 0));
  return { name, tensor: Tensor.persistent([1, 1, channels, channels], values, true), decay: false };
}

/**
 * Trains `student` beside `teacher`, a fresh network of the same layers, which it takes over. The layers that are
 * compared are those whose families differ. `plain` is the teacher's loss, and its chance follows from the seed.
 */
export function kernelDistillation(
  student: Tapped,
  teacher: Network,
  settings: KernelDistillationSettings,
  plain: Loss,
  seed: number,
): Technique {
  const { beta, kd, temperature } = settings;
  const familyOf = new Map(teacher.operatorLayers.map(({ name, family }) => [name, family.name]));
  const compared = student.operatorLayers.filter(({ name, family }) => family.name !== familyOf.get(name));
  const names = new Set(compared.map(({ name }) => name));
  const off = beta === 0 && kd === 0;
  const [ofStudent, ofTeacher] = off ? [] : [new Outputs(student, names), new Outputs(teacher, names)];
  const maps = compared.map(({ name, geometry: { outChannels } }) => ({
    name,
    student: identityMap(`pkkd:${name}.student`, outChannels),
    teacher: identityMap(`pkkd:${name}.teacher`, outChannels),
  }));
  const parameters = [
    ...teacher.parameters.map((parameter) => ({ ...parameter, name: `pkkd:teacher.${parameter.name}` })),
    ...maps.flatMap((map) => [map.student, map.teacher]),
  ];
  let epoch = Infinity;
  return {
    name: 'pkkd',
    parameters,
    buffers: teacher.buffers.map(({ name, data }) => ({ name: `pkkd:teacher.${name}`, data })),
    beforeStep({ stepsPerEpoch }) {
      epoch = stepsPerEpoch;
    },
    loss: (inner) => {
      if (ofStudent === undefined || ofTeacher === undefined) return inner;
      return (logits, batch, step) => {
        const chance = { seed, step, stepsPerEpoch: epoch };
        const said = teacher.forward(batch.input, Mode.Training, { chance });
        let total = add(inner(logits, batch, step), plain(said, batch, step));
        if (kd > 0) {
          const classes = said.shape.at(-1) as number;
          const targets = Tensor.view(logits.shape, softened(said.data, classes, temperature));
          const taught = softTargetCrossEntropy(mul(logits, constant(1 / temperature)), targets);
          total = add(total, mul(taught, constant(kd * temperature ** 2)));
        }
        if (beta > 0)
          for (const map of maps) {
            const output = ofTeacher.of(map.name);
            const apart = Tensor.view(output.shape, output.data.slice());
            const distance = layerDistance(
              ofStudent.of(map.name),
              apart,
              map.student.tensor,
              map.teacher.tensor,
            );
            total = add(total, mul(distance, constant(beta)));
          }
        ofStudent.letGo();
        ofTeacher.letGo();
        return total;
      };
    },
    afterStep: () => teacher.project(),
    dispose() {
      ofStudent?.close();
      ofTeacher?.close();
      teacher.dispose();
      for (const map of maps) for (const { tensor } of [map.student, map.teacher]) tensor.dispose();
    },
  };
}
