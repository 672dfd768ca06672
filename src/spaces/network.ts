/**
 * @file A stand-alone network built from an architecture: the thing that is retrained, evaluated and exported.
 */
import type { Random } from '../base/random.js';
import type { Linear } from '../nn/linear.js';
import { Mode, type Module, type Parameter, type StateBuffer } from '../nn/module.js';
import type { OnnxGraph } from '../nn/onnx/graph.js';
import { lowerFlatten, lowerVectorAsMap } from '../nn/onnx/layers.js';
import type { OperatorLayer } from '../operators/layer.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Architecture } from './architecture.js';
import { programOf, run, type ForwardOptions, type Program } from './execute.js';
import { nodesOf } from './expand.js';
import { Form, moduleOf, type NodeModule } from './modules.js';
import { inputName, NodeKind, type Node } from './nodes.js';

export class Network implements Module {
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly StateBuffer[];
  /** Every layer of an operator family in order of execution; linear layers of multiplications are none. */
  readonly operatorLayers: readonly OperatorLayer[];
  /** Those and the linear layers: everything that sums over weights, in order of execution. */
  readonly weightLayers: readonly (OperatorLayer | Linear)[];
  /** Where there are two heads: is shown the logits of both in every pass of training, which are only lent. */
  headTap: ((ofLabels: Tensor, ofTeacher: Tensor) => void) | undefined;
  readonly #program: Program;
  readonly #modules: ReadonlyMap<Node, NodeModule>;

  /** Fresh weights from `random`. Input [N, H, W, C] as the architecture says, output [N, 1, 1, classes] logits. */
  constructor(
    readonly architecture: Architecture,
    random: Random,
  ) {
    const nodes = nodesOf(architecture);
    this.#program = programOf(nodes);
    this.#modules = new Map(nodes.map((node) => [node, moduleOf(node, random)]));
    const modules = [...this.#modules.values()];
    this.operatorLayers = modules.flatMap(({ layer }) => layer ?? []);
    this.weightLayers = modules.flatMap(({ layer, linear }) => layer ?? linear ?? []);
    this.parameters = modules.flatMap(({ parameters }) => parameters);
    this.buffers = modules.flatMap(({ buffers }) => buffers);
  }

  forward(x: Tensor, mode: Mode, options: ForwardOptions = {}): Tensor {
    return run(
      this.#program,
      x,
      (node, inputs) => {
        const output = this.#modules.get(node)!.forward(inputs, mode, options);
        options.onNode?.(node, output);
        if (node.kind === NodeKind.Mean && mode === Mode.Training) this.headTap?.(inputs[0]!, inputs[1]!);
        return output;
      },
      options,
    );
  }

  /** After an optimiser step: weights back into the domain of their family. */
  project(): void {
    for (const layer of this.operatorLayers) layer.project();
  }

  /** Takes [N, C, H, W] and returns the logits as [N, classes]. */
  lower(graph: OnnxGraph, input: string): string {
    const values = new Map<string, { readonly name: string; readonly form: Form }>();
    values.set(inputName, { name: input, form: Form.Map });
    let last = values.get(inputName)!;
    for (const [node, module] of this.#modules) {
      const inputs = node.inputs.map((name) => values.get(name)!);
      const asTaken = inputs.map(({ name, form }, at) =>
        module.takes === Form.Map && form === Form.Vector
          ? lowerVectorAsMap(graph, `${node.name}.map${at === 0 ? '' : at}`, name)
          : name,
      );
      const form = module.makes ?? module.takes ?? inputs[0]!.form;
      values.set(node.name, (last = { name: module.lower(graph, asTaken), form }));
    }
    return last.form === Form.Vector ? last.name : lowerFlatten(graph, `${last.name}.flat`, last.name);
  }

  dispose(): void {
    for (const { tensor } of this.parameters) tensor.dispose();
  }
}
