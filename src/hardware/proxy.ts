/**
 * @file A stand-in for the exact model in inner loops: four terms per class of layers, a million layers a second.
 *
 * Under the published model the energy of layers of one kind is nearly linear in their operations, weights, inputs and
 * outputs, because a good tiling reuses each operand about as well whatever the shape; what the line misses is how the
 * sizes happen to factor. Latency is linear only as far as layers fill the array alike, hence is approximated worse.
 * The coefficients are fitted to the exact prices of a sample of layers, for least relative error and never below
 * zero; the errors stated with them are those on layers left out of the fit (two halves, each tested on the other's).
 */
import { z } from 'zod';
import { FileError, OptionError } from '../base/errors.js';
import { leastSquares } from '../base/linear-algebra.js';
import { Random } from '../base/random.js';
import { fp32OperandBits } from './csv.js';
import { MappingError, SingleRowError } from './errors.js';
import { estimateLayer, honoursGroups, type LayerCost } from './estimate.js';
import {
  arithmeticPrimitives,
  LayerRole,
  Primitive,
  type LayerDescription,
  type OperandBits,
} from './layer.js';
import { chargedBits } from './machine.js';
import { profileHash } from './profile-hash.js';
import type { AcceleratorProfile } from './profile-schema.js';

/** What sets classes of layers apart besides primitive, role, kernel and widths. */
export enum LayerShape {
  /** A matrix product, or a layer on 1x1 maps. */
  Matrix = 'matrix',
  Dense = 'dense',
  /** One input and one output channel in each group. */
  DepthWise = 'depth-wise',
}

/** Coefficients: pJ (energy) or ns (latency) per operation, weight, input and output. */
const terms = z.strictObject({
  operation: z.number().nonnegative(),
  weight: z.number().nonnegative(),
  input: z.number().nonnegative(),
  output: z.number().nonnegative(),
});
export type ProxyTerms = z.infer<typeof terms>;

const errors = z.strictObject({ median: z.number(), p90: z.number(), max: z.number() });
/** Relative errors on layers left out of the fit. */
export type ProxyErrors = z.infer<typeof errors>;

const bits = z.strictObject({ weight: z.int(), activation: z.int(), partialSum: z.int() });

const proxySchema = z.strictObject({
  format: z.literal('shiftaddnas-cost-proxy'),
  version: z.literal(1),
  profile: z.string(),
  /** Of the profile's numbers: coefficients of another machine are no use. */
  profileHash: z.string(),
  classes: z.array(
    z.strictObject({
      primitive: z.enum(Primitive),
      role: z.enum(LayerRole).optional(),
      shape: z.enum(LayerShape),
      kernel: z.int().positive(),
      operandBits: bits,
      layers: z.int().positive(),
      energyPj: terms,
      latencyNs: terms,
      energyError: errors,
      latencyError: errors,
    }),
  ),
});

/** Fitted coefficients as they stand in a file. */
export type ProxyFile = z.infer<typeof proxySchema>;
export type ProxyClass = ProxyFile['classes'][number];

/** Fewer layers of a class than this make no fit: each half must determine four coefficients. */
const fewestLayers = 12;

/** Approximate costs by class; a million layers a second. */
export class CostProxy {
  readonly #classes = new Map<number, ProxyClass>();

  /** @throws OptionError when the coefficients are those of another machine. */
  constructor(
    readonly file: ProxyFile,
    private readonly profile: AcceleratorProfile,
  ) {
    if (file.profileHash !== profileHash(profile))
      throw new OptionError(
        `this cost proxy was fitted to another machine ('${file.profile}') than profile '${profile.name}'; fit it anew with 'hw fit'`,
      );
    for (const each of file.classes) this.#classes.set(keyOf(each, each.shape, each.operandBits), each);
  }

  /** @throws OptionError for a layer of a class that was not fitted. */
  energyMj(layer: LayerDescription): number {
    return 1e-9 * applied(this.#classOf(layer).energyPj, layer, this.profile);
  }

  /** @throws as {@link energyMj} */
  latencyMs(layer: LayerDescription): number {
    return 1e-6 * applied(this.#classOf(layer).latencyNs, layer, this.profile);
  }

  #classOf(layer: LayerDescription): ProxyClass {
    const shape = shapeOf(layer, this.profile);
    const operandBits = chargedBits(this.profile, layer);
    const found = this.#classes.get(keyOf(layer, shape, operandBits));
    if (found === undefined)
      throw new OptionError(
        `the cost proxy of profile '${this.profile.name}' knows no layers like '${layer.name}' ` +
          `(${classTitle({ ...layer, shape, operandBits })}); fit it on such layers`,
      );
    return found;
  }
}

function shapeOf(layer: LayerDescription, profile: AcceleratorProfile): LayerShape {
  if (layer.fullyConnected || (layer.inHeight === 1 && layer.inWidth === 1)) return LayerShape.Matrix;
  const { groups, inChannels, outChannels } = layer;
  return honoursGroups(layer, profile) && groups > 1 && groups === inChannels && groups === outChannels
    ? LayerShape.DepthWise
    : LayerShape.Dense;
}

const primitives = Object.values(Primitive);
const roles: readonly (LayerRole | undefined)[] = [undefined, ...Object.values(LayerRole)];
const shapes = Object.values(LayerShape);

function keyOf(
  { primitive, role, kernel }: Pick<LayerDescription, 'primitive' | 'kernel'> & Pick<ProxyClass, 'role'>,
  shape: LayerShape,
  { weight, activation, partialSum }: OperandBits,
): number {
  const kind =
    (primitives.indexOf(primitive) * roles.length + roles.indexOf(role)) * shapes.length +
    shapes.indexOf(shape);
  return (((kind * 65 + weight) * 65 + activation) * 65 + partialSum) * 4096 + kernel;
}

/** `multiply dense 3x3, 32/32/32 bit` */
export function classTitle({
  primitive,
  role,
  shape,
  kernel,
  operandBits: { weight, activation, partialSum },
}: Pick<ProxyClass, 'primitive' | 'role' | 'shape' | 'kernel' | 'operandBits'>): string {
  const place = role === undefined ? '' : ` ${role}`;
  return `${primitive}${place} ${shape} ${kernel}x${kernel}, ${weight}/${activation}/${partialSum} bit`;
}

function applied(
  { operation, weight, input, output }: ProxyTerms,
  layer: LayerDescription,
  profile: AcceleratorProfile,
): number {
  const oneByOne = honoursGroups(layer, profile);
  const { batch, kernel, inChannels, outChannels, groups, copies = 1 } = layer;
  const images = batch * copies;
  const filters = (kernel * kernel * inChannels * outChannels) / (oneByOne ? groups : 1);
  const positions = layer.outHeight * layer.outWidth;
  return (
    operation * images * positions * filters +
    weight * (oneByOne ? copies : 1) * filters +
    input * images * layer.inHeight * layer.inWidth * inChannels +
    output * images * positions * outChannels
  );
}

/**
 * Fits a proxy to the exact prices of `layers`. Layers that do not fit the accelerator are left out.
 * @throws OptionError when a class has too few layers to tell four coefficients apart and measure the error.
 */
export function fitProxy(layers: readonly LayerDescription[], profile: AcceleratorProfile): CostProxy {
  const classes = new Map<number, Sample[]>();
  for (const layer of layers) {
    const operandBits = chargedBits(profile, layer);
    const shape = shapeOf(layer, profile);
    const cost = priced(layer, profile);
    if (cost === undefined) continue;
    const key = keyOf(layer, shape, operandBits);
    const row = featuresOf(layer, profile);
    const { energyMj, latencyMs } = cost;
    const sample = { row, layer, shape, operandBits, energyPj: energyMj * 1e9, latencyNs: latencyMs * 1e6 };
    classes.set(key, [...(classes.get(key) ?? []), sample]);
  }
  const file: ProxyFile = {
    format: 'shiftaddnas-cost-proxy',
    version: 1,
    profile: profile.name,
    profileHash: profileHash(profile),
    classes: [...classes.values()].map(fitClass),
  };
  return new CostProxy(file, profile);
}

function priced(layer: LayerDescription, profile: AcceleratorProfile): LayerCost | undefined {
  try {
    return estimateLayer(layer, profile);
  } catch (error) {
    if (error instanceof MappingError || error instanceof SingleRowError) return undefined;
    throw error;
  }
}

interface Sample {
  readonly row: Row;
  readonly layer: LayerDescription;
  readonly shape: LayerShape;
  readonly operandBits: OperandBits;
  readonly energyPj: number;
  readonly latencyNs: number;
}

function fitClass(samples: readonly Sample[]): ProxyClass {
  const { layer, shape, operandBits } = samples[0]!;
  const { primitive, role, kernel } = layer;
  const known = {
    primitive,
    ...(role !== undefined && { role }),
    shape,
    kernel,
    operandBits: { ...operandBits },
  };
  if (samples.length < fewestLayers)
    throw new OptionError(
      `${samples.length} layers of class ${classTitle(known)} are too few to fit; give at least ${fewestLayers} of each class`,
    );
  const rows = samples.map(({ row }) => row);
  const energies = samples.map(({ energyPj }) => energyPj);
  const latencies = samples.map(({ latencyNs }) => latencyNs);
  return {
    ...known,
    layers: samples.length,
    energyPj: leastRelativeSquares(rows, energies),
    latencyNs: leastRelativeSquares(rows, latencies),
    energyError: crossValidated(rows, energies),
    latencyError: crossValidated(rows, latencies),
  };
}

type Row = readonly [operation: number, weight: number, input: number, output: number];

/** The four features of a layer: each is what its coefficient alone would give. */
function featuresOf(layer: LayerDescription, profile: AcceleratorProfile): Row {
  const none = { operation: 0, weight: 0, input: 0, output: 0 };
  const only = (term: keyof ProxyTerms): number => applied({ ...none, [term]: 1 }, layer, profile);
  return [only('operation'), only('weight'), only('input'), only('output')];
}

/** Errors of fits to every second row on the rows between, both ways. */
function crossValidated(rows: readonly Row[], values: readonly number[]): ProxyErrors {
  const found: number[] = [];
  for (const half of [0, 1]) {
    const inFit = (_: unknown, at: number): boolean => at % 2 === half;
    const fit = leastRelativeSquares(rows.filter(inFit), values.filter(inFit));
    rows.forEach((row, at) => {
      if (at % 2 !== half) found.push(Math.abs(dot(fit, row) / values[at]! - 1));
    });
  }
  found.sort((a, b) => a - b);
  const quantile = (share: number): number =>
    found[Math.min(found.length - 1, Math.floor(share * found.length))]!;
  return { median: quantile(0.5), p90: quantile(0.9), max: found.at(-1)! };
}

function dot({ operation, weight, input, output }: ProxyTerms, row: Row): number {
  return operation * row[0] + weight * row[1] + input * row[2] + output * row[3];
}

/**
 * Coefficients >= 0 with the least sum of squared relative errors: of the least-squares solutions on the 15 subsets of
 * the terms, the best one without a negative coefficient.
 */
function leastRelativeSquares(rows: readonly Row[], values: readonly number[]): ProxyTerms {
  const relative = rows.map((row, at) => row.map((each) => each / values[at]!));
  const ones = rows.map(() => 1);
  let best: readonly number[] = [0, 0, 0, 0];
  let bestError = Infinity;
  for (let subset = 1; subset < 16; subset++) {
    const columns = [0, 1, 2, 3].filter((column) => subset & (1 << column));
    const solved = leastSquares(
      relative.map((row) => columns.map((column) => row[column]!)),
      ones,
    );
    if (solved === undefined || solved.some((each) => each < 0)) continue;
    const whole = [0, 0, 0, 0];
    columns.forEach((column, at) => (whole[column] = solved[at]!));
    const error = relative.reduce(
      (sum, row) => sum + (row.reduce((total, each, at) => total + each * whole[at]!, 0) - 1) ** 2,
      0,
    );
    if (error < bestError) {
      best = whole;
      bestError = error;
    }
  }
  const [operation, weight, input, output] = best as [number, number, number, number];
  return { operation, weight, input, output };
}

/**
 * Parses a file that `hw fit` wrote.
 * @throws FileError when it is none; OptionError when it was fitted to another machine than `profile`
 */
export function parseProxy(content: unknown, path: string, profile: AcceleratorProfile): CostProxy {
  const result = proxySchema.safeParse(content);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw new FileError(
      `${path}: no cost proxy (${issue.path.join('.') || 'the whole file'}: ${issue.message})`,
    );
  }
  return new CostProxy(result.data, profile);
}

const channelCounts = [8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024];
const mapSizes = [4, 7, 8, 14, 16, 28, 32, 56, 64];
const rowCounts = [1, 16, 30, 49, 64, 100, 128, 196, 256];

/**
 * Layers such as networks for small images and short sentences have, of every primitive in equal parts: dense
 * convolutions with kernels 1, 3, 5 and 7, depth-wise ones with 3, 5 and 7, matrix products; for inference at batch 1.
 */
export function typicalLayers(options: {
  readonly seed: number;
  readonly count: number;
}): LayerDescription[] {
  const random = Random.stream('typical layers', options.seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random.uniform() * from.length)]!;
  const kinds = arithmeticPrimitives.flatMap((primitive) => [
    ...[1, 3, 5, 7].map((kernel) => ({ primitive, shape: LayerShape.Dense, kernel })),
    ...[3, 5, 7].map((kernel) => ({ primitive, shape: LayerShape.DepthWise, kernel })),
    { primitive, shape: LayerShape.Matrix, kernel: 1 },
  ]);
  return Array.from({ length: options.count }, (_, at) => {
    const { primitive, shape, kernel } = kinds[at % kinds.length]!;
    const inChannels = pick(channelCounts);
    const matrix = shape === LayerShape.Matrix;
    const map = matrix ? 1 : pick(mapSizes);
    const stride = matrix ? 1 : pick([1, 1, 2]);
    const outSize = Math.ceil(map / stride);
    return {
      name: `${primitive} ${shape} ${kernel}x${kernel} ${at}`,
      primitive,
      fullyConnected: matrix,
      batch: matrix ? pick(rowCounts) : 1,
      inHeight: map,
      inWidth: map,
      inChannels,
      kernel,
      outHeight: outSize,
      outWidth: outSize,
      outChannels: shape === LayerShape.DepthWise ? inChannels : pick(channelCounts),
      stride,
      groups: shape === LayerShape.DepthWise ? inChannels : 1,
      operandBits: fp32OperandBits(primitive),
    };
  });
}
