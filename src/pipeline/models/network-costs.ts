/**
 * @file What networks cost under one or several profiles, remembered per architecture.
 */
import { OptionError } from '../../base/errors.js';
import { convertedLayers } from '../../conversion/cost.js';
import {
  arrayArea,
  estimate,
  loadProfile,
  type AcceleratorProfile,
  type LayerDescription,
  type NetworkCost,
} from '../../hardware/index.js';
import { familyNamed } from '../../operators/registry.js';
import type { Costs } from '../../search/costs.js';
import type { CostOf } from '../../search/descent.js';
import { keyOf } from '../../search/sampling.js';
import { architectureMemory } from '../../spaces/activations.js';
import type { Architecture } from '../../spaces/architecture.js';
import type { SearchSpace } from '../../spaces/contract.js';
import { coveringGenomes } from '../../spaces/offers.js';
import { familyOfLayer, layersOf, operationTotal, parameterCount, scaleWidths } from '../../spaces/layers.js';
import type { Conversion } from './conversion-files.js';
import type { LayerCostRecord } from '../run/result.js';

/** Price of one inference (batch 1) under a profile. */
export function networkCost(architecture: Architecture, profile: AcceleratorProfile): NetworkCost {
  return estimate(layersOf(architecture, familyNamed), profile);
}

/** The layers of a model as they are priced: those of a converted one at their codes' widths. */
export function modelLayers(
  architecture: Architecture,
  conversion: Conversion | undefined,
): readonly LayerDescription[] {
  return convertedLayers(layersOf(architecture, familyNamed), conversion?.layers ?? []);
}

/** Latency of one inference of an architecture, in ms, by something else than a profile. */
export type NetworkLatency = (architecture: Architecture) => number;

/**
 * The quantities that a budget may limit; the latency by `latencyOf`, or else by the profile. The memory, which takes ten
 * times as long as all the rest, is worked out when it is first asked for.
 */
export function costsOf(
  architecture: Architecture,
  profile: AcceleratorProfile,
  latencyOf?: NetworkLatency,
): Costs {
  const layers = layersOf(architecture, familyNamed);
  const cost = estimate(layers, profile);
  const { energyMj } = cost;
  const latencyMs = latencyOf?.(architecture) ?? cost.latencyMs;
  const { areaMm2 } = arrayArea(layers, profile);
  let memory: ReturnType<typeof architectureMemory> | undefined;
  const memoryOf = (): ReturnType<typeof architectureMemory> =>
    (memory ??= architectureMemory(architecture, familyNamed, profile));
  return {
    ...{ energyMj, latencyMs, macs: operationTotal(architecture), params: parameterCount(architecture) },
    areaMm2,
    get sramBytes() {
      return memoryOf().sramBytes;
    },
    get flashBytes() {
      return memoryOf().flashBytes;
    },
  };
}

/** Costs of genomes, each computed once. */
export function rememberedCosts(
  space: SearchSpace,
  profile: AcceleratorProfile,
  latencyOf?: NetworkLatency,
): CostOf {
  const known = new Map<string, Costs>();
  return (genome) => {
    const key = keyOf(genome);
    let costs = known.get(key);
    if (costs === undefined)
      known.set(key, (costs = costsOf(space.architecture(genome), profile, latencyOf)));
    return costs;
  };
}

/**
 * Profiles by name, in the order given, each once.
 * @throws FileError, OptionError, also when two files give one name to different machines
 */
export function loadProfiles(names: readonly string[]): ReadonlyMap<string, AcceleratorProfile> {
  const profiles = new Map<string, AcceleratorProfile>();
  for (const profile of names.map(loadProfile)) {
    const known = profiles.get(profile.name);
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(profile))
      throw new OptionError(`two cost profiles are called '${profile.name}'; give one of them another name`);
    profiles.set(profile.name, known ?? profile);
  }
  return profiles;
}

/** Per-layer prices in the form of `result.json`. */
export function layerCostRecords(
  architecture: Architecture,
  profile: AcceleratorProfile,
): readonly LayerCostRecord[] {
  return networkCost(architecture, profile).layers.map(
    ({ name, operations, energyMj, latencyMs, byLevel }) => ({
      name,
      family: familyOfLayer(architecture, name),
      operations,
      energyMj,
      latencyMs,
      ...byLevel,
    }),
  );
}

/** Width factors tried when a baseline is scaled down: sixteenths, which keep the usual widths whole and divisible. */
const scalingSteps = 16;

/**
 * Of the networks of `architecture`'s shape with scaled widths (those between blocks and those inside them apart), the
 * one that does the most operations within `energyMj`: the strongest baseline that multiplies at the winner's energy.
 * Undefined when even the thinnest costs more.
 */
export function scaledToEnergy(
  architecture: Architecture,
  energyMj: number,
  profile: AcceleratorProfile,
): Architecture | undefined {
  const factors = Array.from({ length: scalingSteps }, (_, i) => (i + 1) / scalingSteps);
  return factors
    .flatMap((factor) => factors.map((midFactor) => scaleWidths(architecture, factor, midFactor)))
    .map((scaled) => ({ scaled, operations: operationTotal(scaled) }))
    .sort((a, b) => b.operations - a.operations)
    .find(({ scaled }) => networkCost(scaled, profile).energyMj <= energyMj)?.scaled;
}

/**
 * @throws OptionError as {@link networkCost} for the first block of the space that one of the profiles cannot price, which
 * otherwise would be known only when the first network that has it is finished
 */
export function requirePriced(space: SearchSpace, profiles: readonly AcceleratorProfile[]): void {
  if (profiles.length === 0) return;
  for (const genome of coveringGenomes(space))
    for (const profile of profiles) networkCost(space.architecture(genome), profile);
}
