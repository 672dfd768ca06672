/**
 * @file One way in: a data set is named by a line such as `mnist` or `folder:./flowers`.
 */
import { DataError, OptionError } from '../base/errors.js';
import { CIFAR_10, CIFAR_100, loadCifar } from './cifar.js';
import {
  allocateImages,
  countPerClass,
  fingerprintOf,
  imageLength,
  type ImageDataset,
  type ImagePart,
  type ImageShape,
  type LoadContext,
  type LoadedImages,
  type LoadOptions,
} from './dataset.js';
import { loadIdx, loadMnist } from './idx.js';

interface Scheme {
  readonly usage: string;
  readonly load: (path: string, context: LoadContext) => Promise<LoadedImages>;
}

const schemes = new Map<string, Scheme>([
  ['mnist', { usage: 'mnist', load: () => loadMnist() }],
  ['idx', { usage: 'idx:FOLDER', load: (path) => loadIdx(path) }],
  ['cifar10', { usage: 'cifar10:PATH', load: (path, context) => loadCifar(CIFAR_10, path, context) }],
  ['cifar100', { usage: 'cifar100:PATH', load: (path, context) => loadCifar(CIFAR_100, path, context) }],
  // The image decoder is loaded when it is needed: it takes longer to start than all the rest.
  [
    'folder',
    {
      usage: 'folder:PATH',
      load: async (path, context) => (await import('./folder.js')).loadFolder(path, context),
    },
  ],
]);

/** How each kind of data set is written, for help texts. */
export const datasetUsages: readonly string[] = [...schemes.values()].map((scheme) => scheme.usage);

/**
 * Loads a data set into memory.
 * @param spec `mnist`, `idx:FOLDER`, `cifar10:PATH`, `cifar100:PATH` (binary version, folder or .tar.gz) or
 *   `folder:PATH` (image folder, or .tar/.tar.gz of one).
 * @throws DataError with one line for anything wrong with the data; OptionError for a bad `imageSize` or `seed`.
 */
export async function loadDataset(spec: string, options: LoadOptions = {}): Promise<ImageDataset> {
  const { imageSize, seed = 1 } = options;
  if (imageSize !== undefined && (!Number.isInteger(imageSize) || imageSize < 1 || imageSize > 4096))
    throw new OptionError(`image size ${imageSize}: give a whole number of pixels from 1 to 4096`);
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new OptionError(`seed ${seed}: give a whole number, at least 0`);
  const colon = spec.indexOf(':');
  const name = colon < 0 ? spec : spec.slice(0, colon);
  const path = colon < 0 ? '' : spec.slice(colon + 1);
  const scheme = schemes.get(name);
  if (!scheme) throw new DataError(`unknown data set "${spec}"; give one of ${datasetUsages.join(', ')}`);
  if (scheme.usage.includes(':') && path === '')
    throw new DataError(`data set "${spec}" needs a path: ${scheme.usage}`);
  if (!scheme.usage.includes(':') && colon >= 0)
    throw new DataError(`data set "${spec}" takes no path: write ${scheme.usage}`);

  const notices: string[] = [];
  const context: LoadContext = {
    imageSize,
    seed,
    notice: (line) => {
      notices.push(line);
      options.onNotice?.(line);
    },
    progress: options.onProgress ?? (() => undefined),
  };
  const loaded = await resized(await scheme.load(path, context), context);
  checkUsable(spec, loaded, context);
  return { ...loaded, spec, notices, fingerprint: loaded.fingerprint ?? fingerprintOf(loaded) };
}

/** Formats of a fixed size are brought to the size asked for here; a folder has done so while decoding. */
async function resized(loaded: LoadedImages, context: LoadContext): Promise<LoadedImages> {
  const size = context.imageSize;
  if (size === undefined || (loaded.height === size && loaded.width === size)) return loaded;
  const shape: ImageShape = { height: size, width: size, channels: loaded.channels };
  const { resizeAll, withSmallImageSettings } = await import('./decode.js');
  const resizePart = async (part: ImagePart): Promise<ImagePart> => {
    const images = allocateImages(part.labels.length, shape);
    await withSmallImageSettings(() => resizeAll(part.images, loaded, shape, images));
    return { images, labels: part.labels };
  };
  const result = {
    ...loaded,
    ...shape,
    train: await resizePart(loaded.train),
    test: await resizePart(loaded.test),
  };
  context.notice(`images were scaled from ${loaded.width}x${loaded.height} to ${size}x${size}`);
  return result;
}

function checkUsable(spec: string, loaded: LoadedImages, context: LoadContext): void {
  const { train, test, classes } = loaded;
  if (imageLength(loaded) === 0) throw new DataError(`${spec}: the images have no pixels`);
  if (train.labels.length === 0) throw new DataError(`${spec}: the training part is empty`);
  if (test.labels.length === 0)
    throw new DataError(`${spec}: the test part is empty; there would be nothing to report an accuracy on`);
  const counts = countPerClass(train.labels, classes.length);
  const filled = counts.filter((count) => count > 0).length;
  if (filled < 2)
    throw new DataError(`${spec}: the training images are all of one class; a classifier needs at least two`);
  if (filled < classes.length) {
    const empty = classes.filter((_, c) => counts[c] === 0);
    const more = empty.length > 5 ? ` and ${empty.length - 5} more` : '';
    context.notice(`${spec}: no training images of class ${empty.slice(0, 5).join(', ')}${more}`);
  }
}
