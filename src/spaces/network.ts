/**
 * @file A stand-alone network built from an architecture: the thing that is retrained, evaluated and exported.
 */
import type { Random } from '../base/random.js';
import { BatchNorm } from '../nn/batch-norm.js';
import { Linear } from '../nn/linear.js';
import { type Mode, type Module, type Parameter, type StateBuffer } from '../nn/module.js';
import type { OnnxGraph } from '../nn/onnx/graph.js';
import { lowerAdd, lowerGlobalAveragePool, lowerRelu } from '../nn/onnx/layers.js';
import type { LayerGeometry } from '../operators/contract.js';
import { OperatorLayer } from '../operators/layer.js';
import { familyNamed } from '../operators/registry.js';
import { globalAveragePool } from '../tensor/ops/pooling.js';
import { at, chain, tidy } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import { BlockKind, type Architecture } from './architecture.js';
import { classifierName, hasShortcutLayer, planLayers, stemName, type PlannedLayer } from './layers.js';
import { residualForward, type ForwardOptions, type ResidualParts } from './residual.js';

/** A layer and the norm behind it. */
class Unit {
  readonly norm: BatchNorm;

  constructor(
    readonly layer: OperatorLayer,
    relu: boolean,
  ) {
    this.norm = new BatchNorm(`${layer.name}.norm`, layer.geometry.outChannels, relu);
  }

  readonly forward = (x: Tensor): Tensor => this.layer.forward(x);

  lower(graph: OnnxGraph, input: string): string {
    return this.norm.lower(graph, this.layer.lower(graph, input));
  }
}

interface Block extends ResidualParts {
  readonly name: string;
  readonly layer1: Unit;
  readonly layer2: Unit;
  readonly shortcut?: Unit;
}

export class Network implements Module {
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly StateBuffer[];
  /** Every operator layer, in order of execution. */
  readonly operatorLayers: readonly OperatorLayer[];
  readonly #stem: Unit;
  readonly #blocks: readonly Block[];
  readonly #classifier: Linear;

  /** Fresh weights from `random`. Input [N, H, W, C] as the architecture says, output [N, 1, 1, classes] logits. */
  constructor(
    readonly architecture: Architecture,
    random: Random,
  ) {
    const units = new Map<string, Unit>();
    for (const planned of planLayers(architecture)) {
      if (planned.fullyConnected) continue;
      const layer = new OperatorLayer(planned.name, familyNamed(planned.family), geometryOf(planned), random);
      // The join of a residual block carries the ReLU of its second layer and of its shortcut.
      const relu = planned.name === stemName || planned.name.endsWith('.conv1');
      units.set(planned.name, new Unit(layer, relu));
    }
    const unit = (name: string): Unit => units.get(name) as Unit;
    this.#stem = unit(stemName);
    this.#blocks = architecture.blocks
      .filter((block) => block.kind === BlockKind.Residual)
      .map((block) => ({
        name: block.name,
        layer1: unit(`${block.name}.conv1`),
        layer2: unit(`${block.name}.conv2`),
        ...(hasShortcutLayer(block) && { shortcut: unit(`${block.name}.shortcut`) }),
      }));
    const features = architecture.blocks.at(-1)?.outChannels ?? architecture.stem.channels;
    this.#classifier = new Linear(classifierName, features, architecture.classes, random);
    const modules: readonly Module[] = [
      ...[...units.values()].flatMap(({ layer, norm }) => [layer, norm]),
      this.#classifier,
    ];
    this.operatorLayers = [...units.values()].map(({ layer }) => layer);
    this.parameters = modules.flatMap((module) => module.parameters);
    this.buffers = modules.flatMap((module) => module.buffers);
  }

  forward(x: Tensor, mode: Mode, options: ForwardOptions = {}): Tensor {
    return chain(x, [
      (y) => at(stemName, () => tidy(() => this.#stem.norm.forward(this.#stem.forward(y), mode))),
      ...this.#blocks.map((block) => (y: Tensor) => residualForward(block.name, y, mode, block, options)),
      (y) => at(classifierName, () => tidy(() => this.#classifier.forward(globalAveragePool(y)))),
    ]);
  }

  /** After an optimiser step: weights back into the domain of their family. */
  project(): void {
    for (const layer of this.operatorLayers) layer.project();
  }

  lower(graph: OnnxGraph, input: string): string {
    let y = this.#stem.lower(graph, input);
    for (const { name, layer1, layer2, shortcut } of this.#blocks) {
      const outer = layer2.lower(graph, layer1.lower(graph, y));
      const straight = shortcut === undefined ? y : shortcut.lower(graph, y);
      y = lowerRelu(graph, `${name}.relu`, lowerAdd(graph, `${name}.join`, outer, straight));
    }
    return this.#classifier.lower(graph, lowerGlobalAveragePool(graph, 'pool', y));
  }

  dispose(): void {
    for (const { tensor } of this.parameters) tensor.dispose();
  }
}

/** Geometry of a planned layer, for its operator family. */
export function geometryOf(planned: PlannedLayer): LayerGeometry {
  const { inChannels, outChannels, kernel, stride, padding } = planned;
  return { inChannels, outChannels, kernel, stride, padding, groups: 1 };
}
