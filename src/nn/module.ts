/**
 * @file Parameters, state and the module contract.
 *
 * A module is something with a forward pass, named trainable parameters, named state that is not trained (running
 * statistics), and a lowering to an export graph. Names are dotted paths; they are the keys of safetensors files.
 */
import type { Tensor } from '../tensor/tensor.js';
import type { OnnxGraph } from './onnx/graph.js';

/** What batch normalisation does in a forward pass. */
export enum Mode {
  /** Normalise by the batch, follow it with the running statistics. */
  Training = 'training',
  /** Normalise by the batch, average the moments of all batches since the reset (US-Nets, ICCV'19). */
  Recalibration = 'recalibration',
  /** Normalise by the stored statistics. */
  Evaluation = 'evaluation',
}

export interface Parameter {
  readonly name: string;
  readonly tensor: Tensor;
  /** Whether weight decay applies (weights yes; batch-norm scales, biases and learned scalars no). */
  readonly decay: boolean;
  /**
   * Adaptive learning rate eta of AdderNet (CVPR'20): the optimiser rescales the accumulated gradient to a root mean
   * square of eta. Absent: the gradient is used as it is.
   */
  readonly adaptiveRate?: number;
  /** Adds the gradient of a penalty to the accumulated one, once per step, given the optimiser's weight decay. */
  readonly penalty?: (weightDecay: number, gradient: Float32Array) => void;
  /** Drawn once and never trained: {@link thaw} leaves it frozen. */
  readonly fixed?: boolean;
}

/** A named buffer that is state but not trained. */
export interface StateBuffer {
  readonly name: string;
  readonly data: Float32Array;
}

export interface Module {
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly StateBuffer[];
  forward(x: Tensor, mode: Mode): Tensor;
  /** Emits the module's evaluation-mode computation (NCHW) and returns the name of its output. */
  lower(graph: OnnxGraph, input: string): string;
}

/**
 * What a converted layer does around the computation of its family (`plain`): it sees its input on a grid of integers,
 * for example. Absent, a layer is plain.
 */
export interface LayerForm {
  forward(x: Tensor, plain: (x: Tensor) => Tensor): Tensor;
  /** As {@link Module.lower}; `plain` emits the family's layer under a name. The output must be called `name`. */
  lower(
    graph: OnnxGraph,
    name: string,
    input: string,
    plain: (name: string, input: string) => string,
  ): string;
}

/**
 * Stops the training of the module's parameters, from the next recorded pass on: they get no gradient, what only their
 * gradients need is neither computed nor kept, and the optimiser leaves them alone, weight decay included. Running
 * statistics of batch norms still follow the batches of a pass in training mode.
 */
export function freeze(module: Pick<Module, 'parameters'>): void {
  for (const { tensor } of module.parameters) tensor.setTrainable(false);
}

/** Undoes {@link freeze}; what is never trained stays frozen. */
export function thaw(module: Pick<Module, 'parameters'>): void {
  for (const { tensor, fixed } of module.parameters) if (!fixed) tensor.setTrainable(true);
}

export type NamedTensors = ReadonlyMap<
  string,
  { readonly shape: readonly number[]; readonly data: Float32Array }
>;

/** Every parameter and state buffer by name, without copying. */
export function stateOf(module: Pick<Module, 'parameters' | 'buffers'>): NamedTensors {
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const { name, tensor } of module.parameters)
    state.set(name, { shape: tensor.shape, data: tensor.data });
  for (const { name, data } of module.buffers) state.set(name, { shape: [data.length], data });
  return state;
}
