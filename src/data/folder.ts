/**
 * @file Image folders and archives of image folders: the way in for the user's own data.
 *
 * Corrupt images are named, skipped and counted, because a scraped set nearly always has some; more than one in a
 * hundred means that something else is wrong, and training on the rest would hide it.
 */
import { existsSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import sharp from 'sharp';
import { DataError, messageOf } from '../base/errors.js';
import { cacheFileFor, readCache, writeCache } from './cache.js';
import {
  allocateImages,
  allocateLabels,
  fingerprintOf,
  imageLength,
  type ImagePart,
  type ImageShape,
  type LoadContext,
  type LoadedImages,
} from './dataset.js';
import { decodeImage, eachConcurrently, withSmallImageSettings } from './decode.js';
import { holdOutTest } from './hold-out.js';
import { readImageHeader, type ImageHeader } from './image-header.js';
import { labelTree, listArchive, listFolder, type LabelledFile } from './image-tree.js';

const MOST_CORRUPT = 0.01;
const NAMED_CORRUPT = 5;

/**
 * Loads a folder or a .tar/.tar.gz archive of images; see `image-tree.ts` for the layouts. When every image is grey
 * the result has one channel, else three. Sizes are brought to the most common one, or to `context.imageSize`. A tree
 * without a test part has one drawn by `context.seed`.
 * @throws DataError for a missing path, an unusable layout, a broken archive, or more than 1 % corrupt images.
 */
export async function loadFolder(path: string, context: LoadContext): Promise<LoadedImages> {
  const decoded = await loadTree(path, context);
  return decoded.test.labels.length > 0 ? decoded : holdOutTest(path, decoded, context.seed, context.notice);
}

/** As it was decoded, or as the cache has it, whatever the seed: of a tree without parts, `test` is empty. */
async function loadTree(path: string, context: LoadContext): Promise<LoadedImages> {
  if (!existsSync(path)) throw new DataError(`${path}: no such file or folder`);
  const status = statSync(path);
  const listing = status.isDirectory() ? listFolder(path) : undefined;
  const stamps = listing?.stamps ?? [`${status.size} ${status.mtimeMs}`];
  const other = listing ? [...listing.folders, `${listing.otherCount}`] : [];
  const cacheFile = cacheFileFor(
    [resolve(path), `${context.imageSize ?? 'own size'}`],
    [sharp.versions.vips, ...[...stamps].sort(), ...[...other].sort()],
  );
  const cached = cacheFile && readCache(cacheFile);
  if (cached) {
    cached.notices.forEach(context.notice);
    return cached.loaded;
  }

  const notices: string[] = [];
  const recording: LoadContext = {
    ...context,
    notice: (line) => {
      notices.push(line);
      context.notice(line);
    },
  };
  const decoded = await decodeTree(path, listing ?? (await listArchive(path, recording)), recording);
  // What is yet to be divided gets its fingerprint afterwards.
  const loaded =
    decoded.test.labels.length > 0 ? { ...decoded, fingerprint: fingerprintOf(decoded) } : decoded;
  if (cacheFile) writeCache(cacheFile, loaded, notices);
  return loaded;
}

async function decodeTree(
  path: string,
  listed: Parameters<typeof labelTree>[1],
  context: LoadContext,
): Promise<LoadedImages> {
  const tree = labelTree(path, listed, context);
  const files = [...tree.train, ...tree.test];
  const corrupt = new CorruptImages(path, files.length);

  const headers = new Array<ImageHeader | undefined>(files.length);
  await eachConcurrently(files.length, async (i) => {
    headers[i] = readImageHeader(await readBytes(path, files[i]!));
    if (!headers[i]) corrupt.add(i, files[i]!.path, 'neither PNG nor JPEG, or cut off in its header');
  });
  const shape = commonShape(headers, context.imageSize);

  const images = allocateImages(files.length, shape);
  let done = 0;
  await withSmallImageSettings(() =>
    eachConcurrently(files.length, async (i) => {
      const header = headers[i];
      if (header) {
        const bytes = await readBytes(path, files[i]!);
        try {
          images.set(await decodeImage(bytes, header, shape), i * imageLength(shape));
        } catch (error) {
          corrupt.add(i, files[i]!.path, messageOf(error).split('\n')[0]!);
        }
      }
      context.progress({ phase: 'decoding', done: ++done, total: files.length });
    }),
  );

  corrupt.report(context.notice);
  const resized = headers.filter(
    (header, i) =>
      header && !corrupt.has(i) && (header.width !== shape.width || header.height !== shape.height),
  ).length;
  if (resized > 0)
    context.notice(
      `${path}: ${resized} of ${files.length} images had another size and were scaled to ` +
        `${shape.width}x${shape.height} (proportions kept, excess cut off)`,
    );
  const part = (from: number, to: number): ImagePart =>
    compacted(images, shape, files, from, to, tree.classes.length, (i) => corrupt.has(i));
  const train = part(0, tree.train.length);
  const test = part(tree.train.length, files.length);
  const lost = (files: readonly LabelledFile[], part: ImagePart): boolean =>
    files.length > 0 && part.labels.length === 0;
  if (lost(tree.train, train) || lost(tree.test, test))
    throw new DataError(
      `${path}: no readable image is left in the ${train.labels.length === 0 ? 'training' : 'test'} part`,
    );
  return {
    name: basename(resolve(path)).replace(/\.(tar|tar\.gz|tgz)$/i, ''),
    ...shape,
    classes: tree.classes,
    train,
    test,
  };
}

async function readBytes(source: string, file: LabelledFile): Promise<Buffer> {
  try {
    return await file.read();
  } catch (error) {
    throw new DataError(`${source}: ${file.path}: cannot be read (${messageOf(error)})`, { cause: error });
  }
}

/** The most common size (ties: the larger), or the size asked for; grey only when every image is. */
function commonShape(headers: readonly (ImageHeader | undefined)[], imageSize?: number): ImageShape {
  const counts = new Map<string, { header: ImageHeader; count: number }>();
  let grey = true;
  for (const header of headers) {
    if (!header) continue;
    grey &&= header.grey;
    const key = `${header.width}x${header.height}`;
    const seen = counts.get(key);
    if (seen) seen.count++;
    else counts.set(key, { header, count: 1 });
  }
  const channels = grey ? 1 : 3;
  if (imageSize !== undefined) return { height: imageSize, width: imageSize, channels };
  const area = (header: ImageHeader): number => header.width * header.height;
  const [first] = [...counts.values()].sort(
    (a, b) => b.count - a.count || area(b.header) - area(a.header) || b.header.width - a.header.width,
  );
  return { height: first!.header.height, width: first!.header.width, channels };
}

/** Moves the readable images of [from, to) together, within the same memory, and collects their labels. */
function compacted(
  images: Uint8Array,
  shape: ImageShape,
  files: readonly LabelledFile[],
  from: number,
  to: number,
  classCount: number,
  isCorrupt: (index: number) => boolean,
): ImagePart {
  const length = imageLength(shape);
  const kept: number[] = [];
  for (let i = from; i < to; i++) if (!isCorrupt(i)) kept.push(i);
  const labels = allocateLabels(kept.length, classCount);
  kept.forEach((i, at) => {
    labels[at] = files[i]!.label;
    if (i !== from + at) images.copyWithin((from + at) * length, i * length, (i + 1) * length);
  });
  return { images: images.subarray(from * length, (from + kept.length) * length), labels };
}

/** Counts images that cannot be decoded and gives up as soon as there are too many. */
class CorruptImages {
  readonly #reasons = new Map<number, { path: string; reason: string }>();
  constructor(
    readonly source: string,
    readonly total: number,
  ) {}

  has(index: number): boolean {
    return this.#reasons.has(index);
  }

  add(index: number, path: string, reason: string): void {
    this.#reasons.set(index, { path, reason });
    if (this.#reasons.size > MOST_CORRUPT * this.total)
      throw new DataError(
        `${this.source}: more than 1 % of the ${this.total} images are corrupt, among them ${this.#named()}; ` +
          'repair or remove them',
      );
  }

  report(notice: (line: string) => void): void {
    if (this.#reasons.size > 0)
      notice(`${this.source}: ${this.#reasons.size} corrupt images were skipped: ${this.#named()}`);
  }

  #named(): string {
    const sorted = [...this.#reasons].sort(([a], [b]) => a - b).map(([, entry]) => entry);
    const named = sorted.slice(0, NAMED_CORRUPT).map(({ path, reason }) => `${path} (${reason})`);
    const more = sorted.length - named.length;
    return named.join(', ') + (more > 0 ? ` and ${more} more` : '');
  }
}
