/**
 * @file Runs the nodes of a network: every value is let go of after its last reader, and the nodes of a block can be one
 * checkpoint. What a node computes is the caller's to say: a stand-alone network has layers of its own, a supernet shares them.
 */
import type { Tensor } from '../tensor/tensor.js';
import { inScope, currentScope, type Temporary } from '../tensor/scope.js';
import { checkpoint, tidy } from '../tensor/tape.js';
import { inputName, type Node } from './nodes.js';

/** Names the random numbers of one training step. */
export interface Chance {
  readonly seed: number;
  readonly step: number;
  /** Steps of an epoch, for what changes from one to the next; absent: all steps are of the first. */
  readonly stepsPerEpoch?: number;
}

/** How a network is run in training. */
export interface ForwardOptions {
  /**
   * Keeps of every block its input alone and computes the rest again for the gradients: the same bits, about half of the
   * memory of a training step, a third more work.
   */
  readonly recomputeBlocks?: boolean;
  /** Where in the training the pass stands, and what dropout draws from; networks with dropout or k winners need it in training mode. */
  readonly chance?: Chance;
  /** Is shown the output of every node of a stand-alone network, which is only lent. */
  readonly onNode?: (node: Node, output: Tensor) => void;
}

/** One node, or the nodes of a block as one. */
interface Step {
  /** The value it makes. */
  readonly name: string;
  readonly inputs: readonly string[];
  readonly work: Node | readonly Step[];
  /** Values that nobody reads any more. */
  readonly dead: readonly string[];
}

/** Nodes in order of execution, with what can be let go of when. */
export interface Program {
  readonly byNode: readonly Step[];
  /** The nodes of each block as one step, as far as its last value alone is read elsewhere. */
  readonly byBlock: readonly Step[];
}

export function programOf(nodes: readonly Node[]): Program {
  const single = nodes.map((node) => ({ name: node.name, inputs: node.inputs, work: node }));
  const grouped: Draft[] = [];
  for (let from = 0; from < nodes.length;) {
    const { block } = nodes[from]!;
    let to = from + 1;
    while (block !== null && to < nodes.length && nodes[to]!.block === block) to++;
    grouped.push(...asOne(nodes, single, from, to));
    from = to;
  }
  return { byNode: withDead(single), byBlock: withDead(grouped) };
}

type Draft = Omit<Step, 'dead'>;

/** The nodes from..to-1 as one step; as they are when there is one, or when a value inside is read behind them. */
function asOne(nodes: readonly Node[], single: readonly Draft[], from: number, to: number): readonly Draft[] {
  const inside = single.slice(from, to);
  const made = new Set(inside.map(({ name }) => name));
  const last = inside.at(-1)!.name;
  const leaks = nodes.slice(to).some(({ inputs }) => inputs.some((name) => name !== last && made.has(name)));
  if (inside.length === 1 || leaks) return inside;
  const outside = inside.flatMap(({ inputs }) => inputs.filter((name) => !made.has(name)));
  return [{ name: last, inputs: [...new Set(outside)], work: withDead(inside) }];
}

function withDead(steps: readonly Draft[]): readonly Step[] {
  const read = new Set<string>();
  const made = new Set(steps.map(({ name }) => name));
  return steps
    .toReversed()
    .map((step) => {
      const dead = [...new Set(step.inputs)].filter((name) => made.has(name) && !read.has(name));
      for (const name of step.inputs) read.add(name);
      return { ...step, dead };
    })
    .toReversed();
}

/** What a node makes of its inputs. */
export type Evaluate = (node: Node, inputs: readonly Tensor[]) => Tensor;

/** The last value of the program for the input `x`; it belongs to the enclosing scope. */
export function run(program: Program, x: Tensor, evaluate: Evaluate, options: ForwardOptions = {}): Tensor {
  const steps = options.recomputeBlocks ? program.byBlock : program.byNode;
  return runSteps(steps, new Map([[inputName, x]]), evaluate);
}

function runSteps(steps: readonly Step[], given: ReadonlyMap<string, Tensor>, evaluate: Evaluate): Tensor {
  const values = new Map(given);
  const owned = new Set<Temporary>();
  /** Names of one tensor that are still read: nodes that change nothing give back their input. */
  const names = new Map<Tensor, number>();
  const forget = (name: string): void => {
    const tensor = values.get(name)!;
    const left = names.get(tensor)! - 1;
    names.set(tensor, left);
    if (left === 0 && owned.delete(tensor)) tensor.letGo();
  };
  let last: Tensor | undefined;
  try {
    inScope({ add: (temporary) => owned.add(temporary) }, () => {
      for (const { name, inputs, work, dead } of steps) {
        const tensors = inputs.map((input) => values.get(input)!);
        const y = isBlock(work)
          ? checkpoint(tensors, () =>
              runSteps(work, new Map(inputs.map((input, at) => [input, tensors[at]!])), evaluate),
            )
          : tidy(() => evaluate(work, tensors));
        values.set(name, y);
        names.set(y, (names.get(y) ?? 0) + 1);
        dead.forEach(forget);
        last = y;
      }
    });
  } catch (error) {
    for (const temporary of owned) temporary.letGo();
    throw error;
  }
  if (last === undefined) throw new Error('a network without nodes');
  for (const temporary of owned)
    if (temporary !== last) temporary.letGo();
    else currentScope()?.add(temporary);
  return last;
}

function isBlock(work: Step['work']): work is readonly Step[] {
  return Array.isArray(work);
}
