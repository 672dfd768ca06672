/**
 * @file Writes that survive a crash: temporary file beside the target, fsync, rename, fsync of the folder.
 * A reader sees the old content or the new, never a half.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { dirname, join, basename } from 'node:path';
import { FileError, OutputError, isSystemError, messageOf } from './errors.js';

/**
 * Replaces `path` atomically with `content`, creating parent folders.
 * @throws OutputError when the folder cannot be written or the disk is full; the old file is left as it was.
 */
export function writeFileAtomic(path: string, content: string | Uint8Array): void {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${process.pid}.tmp`);
  try {
    makeFolder(folder);
    const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
    const file = openSync(temporary, 'w');
    try {
      writeWhole(file, bytes);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    syncFolder(folder);
  } catch (error) {
    removeQuietly(temporary);
    throw outputError(path, error);
  }
}

/**
 * Makes sure that {@link writeFileAtomic} can write here, before work whose result would be lost.
 * @throws OutputError as it does
 */
export function checkWritable(path: string): void {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${process.pid}.tmp`);
  try {
    if (existsSync(path) && statSync(path).isDirectory()) mkdirSync(path);
    makeFolder(folder);
    closeSync(openSync(temporary, 'w'));
  } catch (error) {
    throw outputError(path, error);
  } finally {
    removeQuietly(temporary);
  }
}

/**
 * Makes a folder and its parents, one by one: Node's recursive mkdir never returns where a parent exists but refuses
 * children with ENOENT (/proc). @throws the system's error
 */
export function makeFolder(path: string): void {
  if (existsSync(path)) {
    if (!statSync(path).isDirectory()) mkdirSync(path);
    return;
  }
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!isSystemError(error, 'EEXIST')) throw error;
  }
}

/** Cleaning up after a failure must not hide the failure. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Where nothing could be written there is nothing to remove.
  }
}

/** One call may write less than it was given (a nearly full disk). */
function writeWhole(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at, bytes.length - at);
}

/** Appends one line to an append-only log and syncs it. @throws OutputError as {@link writeFileAtomic}. */
export function appendLine(path: string, line: string): void {
  try {
    makeFolder(dirname(path));
    const file = openSync(path, 'a');
    try {
      writeWhole(file, Buffer.from(`${line}\n`, 'utf8'));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw outputError(path, error);
  }
}

/** Cuts an append-only log back to its last whole line, after a crash in the middle of a write. */
export function dropTornLine(path: string): void {
  if (!existsSync(path)) return;
  const bytes = readFileSync(path);
  truncateSync(path, bytes.lastIndexOf(0x0a) + 1);
}

/** `path` itself, or the file of that name inside where it is a folder. */
export function fileOrInside(path: string, name: string): string {
  return existsSync(path) && statSync(path).isDirectory() ? join(path, name) : path;
}

/** Reads a JSON file of ours. @throws FileError when it is missing or not JSON. */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as unknown;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) throw new FileError(`${path}: no such file`);
    throw new FileError(`${path}: not readable as JSON (${messageOf(error)})`, { cause: error });
  }
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function outputError(path: string, error: unknown): unknown {
  if (isSystemError(error, 'EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'EISDIR'))
    return new OutputError(`${path}: cannot write here (${error.code}); choose another folder with --out`, {
      cause: error,
    });
  if (isSystemError(error, 'ENOSPC', 'EDQUOT'))
    return new OutputError(
      `${path}: the disk is full; what was written before is kept, free some space and resume`,
      {
        cause: error,
      },
    );
  // Whatever else the system refuses (a limit on file sizes, a failing device) is no defect of the program either.
  if (error instanceof Error && 'syscall' in error)
    return new OutputError(`${path}: cannot be written (${error.message}); mend that and try again`, {
      cause: error,
    });
  return error;
}
