/**
 * @file What a memory planner needs to know of a network: its activation tensors, and which step reads and writes them.
 *
 * From that follows how long each tensor must be kept. A step may write its result over one of its inputs when nobody
 * reads that input afterwards (an element-wise sum, a ReLU): the two then share one buffer, as in microcontroller
 * runtimes. Weights are no part of this: they stay in flash.
 */
import { MemoryGraphError } from './errors.js';

/** A tensor of activations. */
export interface ActivationTensor {
  readonly name: string;
  readonly bytes: number;
}

/** One operation: reads tensors, writes one. */
export interface GraphStep {
  /** Name of the layer or operation. */
  readonly name: string;
  readonly inputs: readonly string[];
  readonly output: ActivationTensor;
  /** Inputs that the output may overwrite where this step is their last use; the first that may be is taken. */
  readonly mayOverwrite?: readonly string[];
}

/** A network as its steps in order of execution. */
export interface ActivationGraph {
  /** Written before the first step. */
  readonly inputs: readonly ActivationTensor[];
  readonly steps: readonly GraphStep[];
  /** Read after the last step. */
  readonly outputs: readonly string[];
}

/** Memory that holds one tensor after another, from the first step that writes it to the last that reads it. */
export interface Buffer {
  /** The tensors it holds, in order of time; several where a step overwrites its input. */
  readonly tensors: readonly string[];
  readonly bytes: number;
  /** Index of the first step during which it must be kept; -1 for inputs of the network, which are there before. */
  readonly firstStep: number;
  /** Index of the last such step; the number of steps for outputs of the network, which are read afterwards. */
  readonly lastStep: number;
}

/**
 * The buffers of a graph in the order in which they come to life.
 * @throws MemoryGraphError for a tensor that is read before it is written, written twice, or of an impossible size
 */
export function buffersOf(graph: ActivationGraph): readonly Buffer[] {
  const lastRead = new Map<string, number>();
  graph.steps.forEach(({ inputs }, at) => inputs.forEach((name) => lastRead.set(name, at)));
  for (const name of graph.outputs) lastRead.set(name, graph.steps.length);

  const buffers: { tensors: string[]; bytes: number; firstStep: number; lastStep: number }[] = [];
  const holder = new Map<string, (typeof buffers)[number]>();
  const write = ({ name, bytes }: ActivationTensor, at: number, over?: string): void => {
    if (holder.has(name)) throw new MemoryGraphError(`tensor '${name}' is written twice`);
    if (!Number.isSafeInteger(bytes) || bytes < 1)
      throw new MemoryGraphError(`tensor '${name}' has ${bytes} bytes; give a whole number above 0`);
    const lastStep = lastRead.get(name) ?? at;
    const buffer = over === undefined ? undefined : holder.get(over);
    if (buffer === undefined) {
      const fresh = { tensors: [name], bytes, firstStep: at, lastStep };
      buffers.push(fresh);
      holder.set(name, fresh);
    } else {
      buffer.tensors.push(name);
      buffer.lastStep = lastStep;
      holder.set(name, buffer);
    }
  };

  for (const tensor of graph.inputs) write(tensor, -1);
  graph.steps.forEach((step, at) => {
    for (const name of step.inputs)
      if (!holder.has(name))
        throw new MemoryGraphError(`step '${step.name}' reads '${name}', which nothing has written`);
    const over = step.mayOverwrite?.find(
      (name) =>
        step.inputs.includes(name) &&
        lastRead.get(name) === at &&
        holder.get(name)!.bytes >= step.output.bytes,
    );
    write(step.output, at, over);
  });
  for (const name of graph.outputs)
    if (!holder.has(name)) throw new MemoryGraphError(`output '${name}' is written by no step`);
  return buffers;
}
