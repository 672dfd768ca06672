/**
 * @file From the section `techniques` of a configuration to the techniques of one training.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../../base/random.js';
import { FileError, OptionError } from '../../base/errors.js';
import type { OperatorFamily } from '../../operators/contract.js';
import { quantisedParts } from '../../operators/quantised/family.js';
import { familyNamed, listFamilies } from '../../operators/registry.js';
import type { Architecture } from '../../spaces/architecture.js';
import { planLayers } from '../../spaces/layers.js';
import { fixedFamily } from '../../spaces/blocks/ends.js';
import { isLinear } from '../../spaces/modules.js';
import { Network } from '../../spaces/network.js';
import type { Schedule } from '../../training/schedule.js';
import { crossEntropy, type Technique } from '../../training/technique.js';
import { averagedWeights } from '../../training/techniques/averaged-weights.js';
import { bitPruning } from '../../training/techniques/bit-pruning.js';
import { kernelDistillation } from '../../training/techniques/kernel-distillation.js';
import { distillation, type Teacher } from '../../training/techniques/distillation.js';
import { lpAnnealing } from '../../training/techniques/lp-annealing.js';
import { twoStepBinarisation } from '../../training/techniques/two-step-binarisation.js';
import { maskPruning } from '../../training/techniques/mask-pruning.js';
import { mixedImages } from '../../training/techniques/mixed-images.js';
import { requireDensities, sparseWeights } from '../../training/techniques/sparse-weights.js';
import { loadModel } from '../models/model-files.js';
import { networkTeacher } from './network-teacher.js';
import { onnxTeacher } from './onnx-teacher.js';
import type { InputForm } from './prepared-data.js';
import type { TechniqueSettings } from '../config/technique-settings.js';

export interface TechniqueSubject {
  readonly network: Network;
  readonly data: InputForm & { readonly classes: readonly string[] };
  readonly schedule: Schedule;
  readonly seed: number;
}

/**
 * The techniques in the order in which they act: what changes the batch, what changes the loss, what changes the weights
 * after a step, and last the average of these. Whoever opens them disposes of them.
 * @throws OptionError, FileError, ToolError
 */
export function openTechniques(
  settings: TechniqueSettings | undefined,
  { network, data, schedule, seed }: TechniqueSubject,
): readonly Technique[] {
  const { ema, mixup, cutmix, distill, lpAnneal, twoStepBinary, prune, sparse, bitPrune, pkkd } =
    settings ?? {};
  const classes = network.architecture.classes;
  const techniques: Technique[] = [];
  if (mixup !== undefined || cutmix !== undefined)
    techniques.push(mixedImages({ seed, classes, shape: data.shape, mixup, cutmix }));
  if (distill !== undefined) {
    const { target, labels } = distill;
    const heads = network.architecture.classifier?.heads === 2 ? network : undefined;
    const temperature = distill.temperature ?? (labels ? 4 : 1);
    // Of two heads each has a loss of its own, and the published ones count alike.
    const weight = distill.weight ?? (labels ? (heads === undefined ? 0.9 : 0.5) : 1);
    techniques.push(
      distillation(teacherOf(distill, data, schedule.batchSize), { target, temperature, weight }, heads),
    );
  }
  const { parameters, operatorLayers } = network;
  if (pkkd !== undefined) {
    const teacher = new Network(multiplying(network.architecture), Random.stream(seed, 'weights', 'pkkd'));
    techniques.push(kernelDistillation(network, teacher, pkkd, crossEntropy(schedule.labelSmoothing), seed));
  }
  if (lpAnneal !== undefined) techniques.push(lpAnnealing(parameters, lpAnneal));
  if (twoStepBinary !== undefined) techniques.push(twoStepBinarisation(operatorLayers, twoStepBinary));
  if (prune !== undefined) techniques.push(maskPruning(operatorLayers, prune));
  if (sparse !== undefined) techniques.push(sparseWeights(operatorLayers, sparse, seed));
  if (bitPrune !== undefined) techniques.push(bitPruning(operatorLayers, bitPrune, seed));
  if (ema !== undefined) techniques.push(averagedWeights(network, ema.decay));
  return techniques;
}

/** The same architecture in convolution throughout. */
function multiplying(architecture: Architecture): Architecture {
  const blocks = architecture.blocks.map((block) =>
    'family' in block && block.family !== undefined ? { ...block, family: fixedFamily } : block,
  );
  return { ...architecture, genome: null, blocks };
}

type DistillSettings = NonNullable<TechniqueSettings['distill']>;

function isOnnx(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}

/** Opens the teacher and makes sure that it can teach on these data. */
function teacherOf(
  { teacher: path, mean, std }: DistillSettings,
  { shape, statistics, classes }: TechniqueSubject['data'],
  batchSize: number,
): Teacher {
  if (isOnnx(path)) {
    for (const [key, values] of Object.entries({ mean, std }))
      if (values !== undefined && values.length !== shape.channels)
        throw new OptionError(
          `'techniques.distill.${key}': ${values.length} value(s) for images of ${shape.channels} channel(s); give one a channel`,
        );
    const own = mean !== undefined && std !== undefined ? { mean, std } : undefined;
    return onnxTeacher(path, { shape, statistics, classes: classes.length }, { batchSize, own });
  }
  if (mean !== undefined)
    throw new OptionError(
      "'techniques.distill.mean' and 'std' go with an ONNX teacher; a model folder carries its own normalisation",
    );
  const { network, info } = loadModel(path);
  try {
    const { input } = network.architecture;
    if (input.height !== shape.height || input.width !== shape.width || input.channels !== shape.channels)
      throw new FileError(
        `${path}: takes images of ${input.height}x${input.width}x${input.channels}, those of the data are ` +
          `${shape.height}x${shape.width}x${shape.channels}; use a teacher for images of this size`,
      );
    if (info.classes.length !== classes.length)
      throw new FileError(
        `${path}: tells ${info.classes.length} classes apart, the data has ${classes.length}; a teacher must know the same classes`,
      );
    const other = classes.findIndex((name, i) => name !== info.classes[i]);
    if (other >= 0)
      throw new FileError(
        `${path}: class ${other} is '${info.classes[other]}', that of the data '${classes[other]}'; ` +
          'a teacher must know the same classes in the same order',
      );
    return networkTeacher(network, info.statistics, statistics);
  } catch (error) {
    network.dispose();
    throw error;
  }
}

/** Techniques that act on layers of certain families: which these are. */
const layerTechniques = {
  lpAnneal: ({ own = [] }) => own.some(({ name, fixed }) => name === 'exponent' && fixed === true),
  twoStepBinary: ({ firstStage }) => firstStage !== undefined,
  prune: ({ masking }) => masking !== undefined,
  sparse: ({ masking }) => masking !== undefined,
  bitPrune: ({ name }) => name === fixedFamily,
  pkkd: ({ name }) => name !== fixedFamily,
} satisfies Partial<Record<keyof TechniqueSettings, (family: OperatorFamily) => boolean>>;

/**
 * Makes sure before long work that the techniques can be used on these data and, where one is given, on this
 * architecture; of the networks of a search, those without layers for a technique are trained without it.
 * @throws as {@link openTechniques}
 */
export function requireTechniques(
  settings: TechniqueSettings | undefined,
  data: TechniqueSubject['data'],
  schedule: Schedule,
  architecture?: Architecture,
): void {
  if (architecture !== undefined) requireLayersFor(settings, architecture);
  if (settings?.distill !== undefined) teacherOf(settings.distill, data, schedule.batchSize).dispose();
}

/** @throws OptionError for a technique that the layers of this architecture do not allow or have no use for */
export function requireLayersFor(settings: TechniqueSettings | undefined, architecture: Architecture): void {
  const layers = planLayers(architecture);
  const present = new Set(layers.map(({ family }) => family));
  for (const [key, acts] of Object.entries(layerTechniques)) {
    if (
      settings?.[key as keyof TechniqueSettings] !== undefined &&
      ![...present].some((name) => acts(familyNamed(name)))
    ) {
      const families = listFamilies()
        .filter(acts)
        .map(({ name }) => name);
      throw new OptionError(
        `'techniques.${key}' acts on layers of ${families.join(', ') || 'families that are not there'}, and this network has ` +
          `none (only ${[...present].join(', ')}); leave it out or choose another family`,
      );
    }
  }
  const rounded = [...present].find((name) => quantisedParts(name) !== undefined);
  if (settings?.bitPrune !== undefined && rounded !== undefined)
    throw new OptionError(
      `'techniques.bitPrune' prunes the digits of real weights, and those of ${rounded} layers are few bits already; leave it out or ` +
        'choose another family',
    );
  const whole = [...present].filter((name) => familyNamed(name).masking === undefined);
  const { prune, sparse } = settings ?? {};
  // A list of densities says itself which layers are meant.
  const named = prune !== undefined ? 'prune' : typeof sparse?.density === 'number' ? 'sparse' : undefined;
  if (named !== undefined && whole.length > 0)
    throw new OptionError(
      `'techniques.${named}' cannot take terms out of ${whole.join(', ')} layers: no weight makes a term of theirs zero; ` +
        'leave it out or choose another family',
    );
  if (sparse !== undefined) {
    const maskable = layers.filter(
      (layer) => !isLinear(layer) && familyNamed(layer.family).masking !== undefined,
    );
    requireDensities(
      sparse.density,
      maskable.map(({ name }) => name),
    );
  }
}

/**
 * What of the techniques lies in files, by content: part of the identity of a job. Nothing without such files.
 * @throws FileError when a file is missing
 */
export function techniqueInputs(settings: TechniqueSettings | undefined): readonly string[] {
  const file = teacherFile(settings);
  return file === undefined ? [] : [createHash('sha256').update(readFileSync(file)).digest('hex')];
}

/** The weights of the teacher, where there is one. @throws FileError when the file is missing */
export function teacherFile(settings: TechniqueSettings | undefined): string | undefined {
  if (settings?.distill === undefined) return undefined;
  const { teacher } = settings.distill;
  const file = isOnnx(teacher) ? teacher : join(teacher, 'model.safetensors');
  if (!existsSync(file))
    throw new FileError(
      `${teacher}: no such teacher; give the folder of a trained model (model.safetensors, architecture.json) or an ONNX file`,
    );
  return file;
}
