/**
 * @file Finds the images of a folder or an archive, and sorts them into classes and parts.
 *
 * Two layouts are understood: `train/CLASS/...` beside `test/CLASS/...`, and one tree `CLASS/...`, to be divided by
 * `hold-out.ts`. Everything below a class folder belongs to the class. Names are sorted by code unit, so that the same
 * tree gives the same labels and the same order on every machine.
 */
import { readdirSync, realpathSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError, isSystemError } from '../base/errors.js';
import { readArchive } from './archive.js';
import type { LoadContext } from './dataset.js';

const TEST_NAMES = ['test', 'val', 'valid', 'validation'];

export interface TreeFile {
  /** Path below the root with `/` between parts. */
  readonly path: string;
  read(): Promise<Buffer>;
}

export interface ImageTree {
  readonly files: readonly TreeFile[];
  /** Files that are no PNG or JPEG by name. */
  readonly otherCount: number;
  /** Folders, with or without images. */
  readonly folders: readonly string[];
}

/** A file with its class and part. */
export interface LabelledFile extends TreeFile {
  readonly label: number;
}

export interface LabelledTree {
  readonly classes: readonly string[];
  /** All files, when the tree has no parts. */
  readonly train: readonly LabelledFile[];
  /** Empty exactly when the tree has no parts. */
  readonly test: readonly LabelledFile[];
}

interface FolderListing extends ImageTree {
  /** `path size mtime` of every image, for the cache key. */
  readonly stamps: readonly string[];
}

function isImagePath(path: string): boolean {
  const parts = path.split('/');
  return /\.(png|jpe?g)$/i.test(path) && !parts.some((part) => part.startsWith('.') || part === '__MACOSX');
}

/** Lists a folder, following links. */
export function listFolder(root: string): FolderListing {
  const files: TreeFile[] = [];
  const folders: string[] = [];
  const stamps: string[] = [];
  let otherCount = 0;
  const walk = (folder: string, prefix: string, above: readonly string[]): void => {
    const real = realpathSync(folder);
    if (above.includes(real)) return; // a link back up
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = prefix + entry.name;
      const full = join(folder, entry.name);
      const isImage = isImagePath(path);
      const status =
        isImage || entry.isSymbolicLink() ? statSync(full, { throwIfNoEntry: false }) : undefined;
      if ((status ?? entry).isDirectory()) {
        if (entry.name.startsWith('.') || entry.name === '__MACOSX') continue;
        folders.push(path);
        walk(full, `${path}/`, [...above, real]);
      } else if (isImage && status?.isFile()) {
        files.push({ path, read: () => readFile(full) });
        stamps.push(`${path} ${status.size} ${status.mtimeMs}`);
      } else otherCount++;
    }
  };
  try {
    walk(root, '', []);
  } catch (error) {
    if (isSystemError(error, 'EACCES', 'EPERM', 'EIO'))
      throw new DataError(`${error.path ?? root}: cannot be read (${error.code})`, { cause: error });
    throw error;
  }
  return { files, otherCount, folders, stamps };
}

/** Reads the images of a tar or tar.gz archive into memory, still encoded. */
export async function listArchive(path: string, context: LoadContext): Promise<ImageTree> {
  const content = await readArchive(path, isImagePath, (done, total) =>
    context.progress({ phase: 'reading', done, total }),
  );
  return {
    files: content.files.map(({ path: inside, bytes }) => ({
      path: inside,
      read: () => Promise.resolve(bytes),
    })),
    otherCount: content.refused.length,
    folders: content.folders,
  };
}

/**
 * Gives every file its class and part.
 * @throws DataError when there are no images, one class only, train/ without test images, or a class that only the test
 *   part has.
 */
export function labelTree(source: string, tree: ImageTree, context: LoadContext): LabelledTree {
  const { notice } = context;
  if (tree.otherCount > 0)
    notice(`${source}: ${tree.otherCount} files that are not PNG or JPEG were ignored`);
  if (tree.files.length === 0)
    throw new DataError(
      `${source}: no PNG or JPEG images found; expected CLASS/image.png, or train/CLASS/... and test/CLASS/...`,
    );
  const { files, folders } = withoutCommonRoot(tree);
  const tops = new Set([
    ...files.filter((file) => file.path.includes('/')).map((file) => firstPart(file.path)),
    ...folders.map(firstPart),
  ]);
  if (!tops.has('train')) return labelOneTree(source, files, folders, notice);

  const testName = TEST_NAMES.find((name) => tops.has(name));
  if (testName === undefined)
    throw new DataError(
      `${source}: there is train/ but no test/; add test/CLASS/..., or put the classes at the top to have ` +
        '20 % of each held out',
    );
  if (testName !== 'test') notice(`${source}: no test/ folder; ${testName}/ is used as the test part`);
  const train = classFiles(files, 'train/');
  const test = classFiles(files, `${testName}/`);
  const outside = files.length - train.length - test.length;
  if (outside > 0)
    notice(`${source}: ${outside} images outside a class folder of train/ and ${testName}/ were ignored`);
  if (train.length === 0) throw new DataError(`${source}: train/ holds no images in class folders`);
  if (test.length === 0) throw new DataError(`${source}: ${testName}/ holds no images in class folders`);
  const classes = classesOf(train);
  checkClasses(source, classes);
  const strange = classesOf(test).find((name) => !classes.includes(name));
  if (strange !== undefined)
    throw new DataError(`${source}: class "${strange}" is in ${testName}/ but not in train/`);
  const tested = new Set(classesOf(test));
  noticeEmpty(source, folders, 'train/', classes, notice);
  for (const name of classes)
    if (!tested.has(name)) notice(`${source}: class "${name}" has no images in ${testName}/`);
  return { classes, train: labelled(train, classes), test: labelled(test, classes) };
}

function labelOneTree(
  source: string,
  files: readonly TreeFile[],
  folders: readonly string[],
  notice: (line: string) => void,
): LabelledTree {
  const inClasses = classFiles(files, '');
  const outside = files.length - inClasses.length;
  if (inClasses.length === 0)
    throw new DataError(
      `${source}: the images lie in no class folder; expected CLASS/image.png, or train/CLASS/... and test/CLASS/...`,
    );
  if (outside > 0) notice(`${source}: ${outside} images outside a class folder were ignored`);
  const classes = classesOf(inClasses);
  checkClasses(source, classes);
  noticeEmpty(source, folders, '', classes, notice);
  return { classes, train: labelled(inClasses, classes), test: [] };
}

/** Archives often wrap everything in one folder; drop it unless it is itself a class or `train`. */
function withoutCommonRoot(tree: ImageTree): {
  files: readonly TreeFile[];
  folders: readonly string[];
} {
  const root = firstPart(tree.files[0]!.path);
  const prefix = `${root}/`;
  const wraps =
    root !== 'train' &&
    !TEST_NAMES.includes(root) &&
    tree.files.every((file) => file.path.startsWith(prefix)) &&
    tree.folders.every((folder) => folder === root || folder.startsWith(prefix)) &&
    tree.files.some((file) => file.path.slice(prefix.length).includes('/'));
  if (!wraps) return tree;
  return withoutCommonRoot({
    otherCount: 0,
    files: tree.files.map((file) => ({ path: file.path.slice(prefix.length), read: file.read })),
    folders: tree.folders.filter((folder) => folder !== root).map((folder) => folder.slice(prefix.length)),
  });
}

/** Files below `prefix` that lie in a class folder, with paths from the class folder on, sorted. */
function classFiles(files: readonly TreeFile[], prefix: string): TreeFile[] {
  return files
    .filter((file) => file.path.startsWith(prefix) && file.path.slice(prefix.length).includes('/'))
    .map((file) => ({ path: file.path.slice(prefix.length), read: file.read }))
    .sort((a, b) => byCodeUnit(firstPart(a.path), firstPart(b.path)) || byCodeUnit(a.path, b.path));
}

function classesOf(files: readonly TreeFile[]): string[] {
  return [...new Set(files.map((file) => firstPart(file.path)))].sort(byCodeUnit);
}

function labelled(files: readonly TreeFile[], classes: readonly string[]): LabelledFile[] {
  const numbers = new Map(classes.map((name, label) => [name, label]));
  return files.map((file) => ({ ...file, label: numbers.get(firstPart(file.path))! }));
}

function checkClasses(source: string, classes: readonly string[]): void {
  if (classes.length < 2)
    throw new DataError(
      `${source}: only one class ("${classes[0]}") has images; a classifier needs at least two`,
    );
}

function noticeEmpty(
  source: string,
  folders: readonly string[],
  prefix: string,
  classes: readonly string[],
  notice: (line: string) => void,
): void {
  for (const folder of [...folders].sort(byCodeUnit)) {
    const name = folder.slice(prefix.length);
    if (folder.startsWith(prefix) && name !== '' && !name.includes('/') && !classes.includes(name))
      notice(`${source}: class folder "${name}" holds no images and was left out`);
  }
}

function firstPart(path: string): string {
  const slash = path.indexOf('/');
  return slash < 0 ? path : path.slice(0, slash);
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
