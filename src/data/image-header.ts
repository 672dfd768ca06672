/**
 * @file Size and colour of a PNG or JPEG from its first bytes.
 *
 * The size that all images are brought to must be known before the first is decoded; asking the decoder costs a
 * thread hop and 0.15 ms an image, reading two fields costs nothing. PNG: ISO/IEC 15948 section 11.2.2; JPEG: ITU-T
 * T.81 annex B.2.2.
 */

export interface ImageHeader {
  readonly width: number;
  readonly height: number;
  /** One channel, apart from transparency. */
  readonly grey: boolean;
  /** A three-component JPEG without EXIF data: decoding alone gives upright 8-bit RGB. */
  readonly plain: boolean;
}

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** The header, or undefined when the bytes are neither a PNG nor a JPEG with a frame. Orientation is not applied. */
export function readImageHeader(bytes: Buffer): ImageHeader | undefined {
  return bytes.subarray(0, 8).equals(PNG_SIGNATURE) ? pngHeader(bytes) : jpegHeader(bytes);
}

function pngHeader(bytes: Buffer): ImageHeader | undefined {
  if (bytes.length < 26 || bytes.toString('latin1', 12, 16) !== 'IHDR') return undefined;
  const colourType = bytes[25];
  return checked(bytes.readUInt32BE(16), bytes.readUInt32BE(20), colourType === 0 || colourType === 4, false);
}

function jpegHeader(bytes: Buffer): ImageHeader | undefined {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return undefined;
  let hasExif = false;
  for (let at = 2; at + 4 <= bytes.length;) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at++; // fill byte
      continue;
    }
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2; // markers without a segment
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) {
      if (at + 10 > bytes.length) return undefined;
      const components = bytes[at + 9]!;
      const [height, width] = [bytes.readUInt16BE(at + 5), bytes.readUInt16BE(at + 7)];
      return checked(width, height, components === 1, components === 3 && !hasExif);
    }
    if (marker === 0xe1) hasExif = true;
    at += 2 + bytes.readUInt16BE(at + 2);
  }
  return undefined;
}

function checked(width: number, height: number, grey: boolean, plain: boolean): ImageHeader | undefined {
  return width > 0 && height > 0 ? { width, height, grey, plain } : undefined;
}
