/**
 * @file Decoding and resizing with sharp (libvips), several images in flight.
 *
 * libvips would give each image its own threads; for small images that is all overhead, so it runs one thread an
 * image and we keep as many images in flight as libuv has threads.
 */
import sharp, { type OutputInfo } from 'sharp';
import type { ImageShape } from './dataset.js';
import type { ImageHeader } from './image-header.js';

/** libuv's default thread pool. */
const IN_FLIGHT = 4;

/** Runs `work` for 0 to count - 1, a few at a time. The first rejection stops the rest and is rethrown. */
export async function eachConcurrently(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    while (next < count && !failed) {
      try {
        await work(next++);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

/** Runs `body` with libvips set for many small images; puts the settings of the process back afterwards. */
export async function withSmallImageSettings<T>(body: () => Promise<T>): Promise<T> {
  const threads = sharp.concurrency();
  const { memory, files, items } = sharp.cache();
  sharp.concurrency(1);
  sharp.cache(false);
  try {
    return await body();
  } finally {
    sharp.concurrency(threads);
    sharp.cache({ memory: memory.max, files: files.max, items: items.max });
  }
}

/**
 * Decodes one PNG or JPEG to exactly `shape`: upright (EXIF orientation applied), without transparency, 8 bits a
 * channel. An image of another size is scaled to cover the shape, keeping its proportions, and the excess is cut off
 * around the centre.
 * @throws sharp's error when the image is corrupt.
 */
export async function decodeImage(
  bytes: Buffer,
  header: ImageHeader,
  shape: ImageShape,
): Promise<Uint8Array> {
  const fits = header.width === shape.width && header.height === shape.height;
  if (fits && header.plain && shape.channels === 3) {
    // Every further step of the pipeline costs as much as the decoding of a small image.
    const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
    if (hasShape(info, shape)) return data;
  }
  const upright = async (resize: boolean): Promise<{ data: Uint8Array; info: OutputInfo }> => {
    const image = sharp(bytes).autoOrient();
    if (resize) image.resize(shape.width, shape.height, { fit: 'cover' });
    return image
      .removeAlpha()
      .toColourspace(shape.channels === 1 ? 'b-w' : 'srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
  };
  let { data, info } = await upright(!fits);
  // An image that lies on its side has the right size in its header and the wrong one once it stands.
  if (fits && !hasShape(info, shape)) ({ data, info } = await upright(true));
  if (!hasShape(info, shape)) throw new Error(`decoded to ${info.width}x${info.height}x${info.channels}`);
  return data;
}

function hasShape(info: OutputInfo, shape: ImageShape): boolean {
  return info.width === shape.width && info.height === shape.height && info.channels === shape.channels;
}

/** Resizes raw images ([count, height, width, channels] uint8) one by one into `target`, of shape `to`. */
export async function resizeAll(
  images: Uint8Array,
  from: ImageShape,
  to: ImageShape,
  target: Uint8Array,
): Promise<void> {
  const fromLength = from.height * from.width * from.channels;
  const toLength = to.height * to.width * to.channels;
  const raw = { width: from.width, height: from.height, channels: from.channels as 1 | 3 };
  await eachConcurrently(images.length / fromLength, async (i) => {
    const source = Buffer.from(images.subarray(i * fromLength, (i + 1) * fromLength));
    const data = await sharp(source, { raw })
      .resize(to.width, to.height, { fit: 'cover' })
      .toColourspace(to.channels === 1 ? 'b-w' : 'srgb')
      .raw()
      .toBuffer();
    target.set(data, i * toLength);
  });
}
