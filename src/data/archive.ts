/**
 * @file Reads tar and tar.gz archives into memory, entry by entry; nothing is written to disk.
 *
 * Compression is told by content (the gzip magic), not by the file's name. An archive must end with the zero block
 * that POSIX asks for: an uncompressed archive that was cut between two entries shows no other sign of it.
 */
import { createReadStream, openSync, readSync, closeSync, statSync } from 'node:fs';
import { Transform, pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import tar from 'tar-stream';
import { DataError, isSystemError, messageOf } from '../base/errors.js';

const BLOCK_BYTES = 512;

export interface ArchiveFile {
  /** Path inside the archive with `/` between parts, without a leading `./`. */
  readonly path: string;
  readonly bytes: Buffer;
}

export interface ArchiveContent {
  readonly files: readonly ArchiveFile[];
  /** Paths of files that `wanted` refused. */
  readonly refused: readonly string[];
  /** Paths of folder entries. */
  readonly folders: readonly string[];
}

/**
 * Reads the files whose path `wanted` accepts. `onBytes` is told how many bytes of the archive file have been read.
 * @throws DataError when the file is no tar or tar.gz archive, is corrupt, or ends early.
 */
export async function readArchive(
  path: string,
  wanted: (entryPath: string) => boolean,
  onBytes?: (done: number, total: number) => void,
): Promise<ArchiveContent> {
  const totalBytes = statSync(path).size;
  const compressed = startsWithGzipMagic(path);
  const source = createReadStream(path, { highWaterMark: 1 << 18 });
  const tail = new TailWatch();
  const extract = tar.extract();
  if (onBytes) source.on('data', () => onBytes(source.bytesRead, totalBytes));
  const stages = compressed
    ? [source, createGunzip({ chunkSize: 1 << 18 }), tail, extract]
    : [source, tail, extract];
  // Errors of every stage reach the loop below through the destroyed extractor.
  pipeline(stages as unknown as NodeJS.ReadWriteStream[], () => undefined);

  const files: ArchiveFile[] = [];
  const refused: string[] = [];
  const folders: string[] = [];
  try {
    for await (const entry of extract) {
      const entryPath = entry.header.name.replace(/^(\.?\/)+/, '').replace(/\/+$/, '');
      const isFile = entry.header.type === 'file' || entry.header.type === 'contiguous-file';
      const keep = isFile && wanted(entryPath);
      const chunks: Buffer[] = [];
      for await (const chunk of entry) if (keep) chunks.push(chunk as Buffer);
      if (keep) files.push({ path: entryPath, bytes: Buffer.concat(chunks) });
      else if (isFile) refused.push(entryPath);
      else if (entry.header.type === 'directory' && entryPath !== '' && entryPath !== '.')
        folders.push(entryPath);
    }
  } catch (error) {
    throw archiveError(path, error, compressed);
  }
  if (!tail.endsWithZeroBlock) throw endsEarly(path);
  return { files, refused, folders };
}

/** Remembers whether the last 512 bytes that passed were all zero. */
class TailWatch extends Transform {
  #zeroBytes = 0;
  get endsWithZeroBlock(): boolean {
    return this.#zeroBytes >= BLOCK_BYTES;
  }
  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error: null, data: Buffer) => void,
  ): void {
    let at = chunk.length;
    const stop = Math.max(0, at - BLOCK_BYTES);
    while (at > stop && chunk[at - 1] === 0) at--;
    const zeros = chunk.length - at;
    this.#zeroBytes = zeros === chunk.length ? this.#zeroBytes + zeros : zeros;
    done(null, chunk);
  }
}

function startsWithGzipMagic(path: string): boolean {
  const file = openSync(path, 'r');
  try {
    const magic = Buffer.alloc(2);
    return readSync(file, magic, 0, 2, 0) === 2 && magic[0] === 0x1f && magic[1] === 0x8b;
  } finally {
    closeSync(file);
  }
}

function endsEarly(path: string, cause?: unknown): DataError {
  return new DataError(
    `${path}: the archive ends early; it was not copied or downloaded to the end, fetch it again`,
    { cause },
  );
}

function archiveError(path: string, error: unknown, compressed: boolean): unknown {
  const text = messageOf(error);
  if (/unexpected end/i.test(text)) return endsEarly(path, error);
  if (/invalid tar header|invalid magic|invalid checksum/i.test(text))
    return new DataError(
      `${path}: not a tar or tar.gz archive; pack the folder with "tar czf", or unpack it and name the folder`,
      { cause: error },
    );
  if (compressed && isSystemError(error, 'Z_DATA_ERROR', 'Z_BUF_ERROR'))
    return new DataError(`${path}: the gzip data is corrupt (${text}); fetch the archive again`, {
      cause: error,
    });
  if (isSystemError(error, 'EACCES', 'EPERM', 'EIO'))
    return new DataError(`${path}: cannot be read (${error.code})`, { cause: error });
  return error;
}
