/**
 * @file The memory that a network needs on a device: SRAM for its activations, flash for its parameters.
 *
 * SRAM is the arena of the activations (arena.ts), the network's input and output included. Activations stand in whole
 * bytes, since kernels address them one by one. Flash is what must be stored to run the network: weights packed at their
 * own width (the sign and exponent of a power of two are 5 bits), one offset for each output channel, and one scale where
 * it cannot be multiplied into the weights beforehand. It can into floating-point weights alone: weights that are
 * powers of two or are subtracted from the input must stay as they are, and integers are brought back to the width of
 * the activations by a scale. Not counted: code, stack, and scratch memory of a runtime's kernels (im2col).
 */
import { Primitive, type LayerDescription, type OperandBits } from '../layer.js';
import { chargedBits } from '../machine.js';
import type { AcceleratorProfile } from '../profile-schema.js';
import { planArena, type ArenaPlan, type PlanOptions } from './arena.js';
import { buffersOf, type ActivationGraph } from './graph.js';

/** Bits of a scale or an offset of a channel. */
const channelBits = 32;
/** Weights of this width are floating-point numbers, into which the scale of a channel can be multiplied. */
const floatBits = 32;

/** What one layer puts into flash. */
export interface LayerFlash {
  readonly name: string;
  readonly weightBytes: number;
  /** Scales and offsets of the output channels. */
  readonly channelBytes: number;
}

/** The memory of one network under one profile. */
export interface MemoryFootprint {
  /** Name of the profile whose operand widths were taken. */
  readonly profile: string;
  /** Size of the arena. */
  readonly sramBytes: number;
  readonly flashBytes: number;
  readonly plan: ArenaPlan;
  readonly graph: ActivationGraph;
  readonly flash: readonly LayerFlash[];
}

/** Bytes of `count` activations of `bits` bits. */
export function activationBytes(count: number, bits: number): number {
  return count * Math.ceil(bits / 8);
}

/** The widths at which a profile has a layer's operands stored. */
export function storedBits(layer: LayerDescription, profile: AcceleratorProfile): OperandBits {
  return chargedBits(profile, layer);
}

/** What a layer's parameters take in flash, its widths as `profile` charges them. */
export function layerFlash(layer: LayerDescription, profile: AcceleratorProfile): LayerFlash {
  const { weight } = chargedBits(profile, layer);
  const weights =
    layer.kernel * layer.kernel * (layer.inChannels / layer.groups) * layer.outChannels * (layer.copies ?? 1);
  const foldsScale = layer.primitive === Primitive.Multiply && weight >= floatBits;
  const words = (foldsScale ? 1 : 2) * layer.outChannels * (layer.copies ?? 1);
  return {
    name: layer.name,
    weightBytes: Math.ceil((weights * weight) / 8),
    channelBytes: (words * channelBits) / 8,
  };
}

/** SRAM and flash of a network whose activations are `graph` and whose layers with parameters are `layers`. */
export function memoryFootprint(
  graph: ActivationGraph,
  layers: readonly LayerDescription[],
  profile: AcceleratorProfile,
  options: PlanOptions = {},
): MemoryFootprint {
  const plan = planArena(buffersOf(graph), options);
  const flash = layers.map((layer) => layerFlash(layer, profile));
  return {
    profile: profile.name,
    sramBytes: plan.bytes,
    flashBytes: flash.reduce((sum, { weightBytes, channelBytes }) => sum + weightBytes + channelBytes, 0),
    plan,
    graph,
    flash,
  };
}

/** The name of a step of a plan: `input` before the first, `output` after the last. */
export function stepName(graph: ActivationGraph, step: number): string {
  return step < 0 ? 'input' : (graph.steps[step]?.name ?? 'output');
}

/** A footprint as plain data for JSON, steps by name. */
export function memoryReport({
  profile,
  plan,
  graph,
  flash,
  sramBytes,
  flashBytes,
}: MemoryFootprint): object {
  return {
    ...{ profile, sramBytes, flashBytes },
    boundBytes: plan.boundBytes,
    peakAt: stepName(graph, plan.boundStep),
    buffers: plan.buffers.map(({ tensors, bytes, offset, firstStep, lastStep }) => ({
      ...{ tensors, bytes, offset },
      firstUse: stepName(graph, firstStep),
      lastUse: stepName(graph, lastStep),
    })),
    flash,
  };
}
