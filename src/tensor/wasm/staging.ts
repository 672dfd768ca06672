/**
 * @file Copies, in the module's memory, of buffers that lie elsewhere: taken before an op, copied back after it, because the
 * table of ops does not say which buffers an op writes.
 *
 * Buffers that overlap get one copy between them, so that `y may be x` holds for copies too.
 */
import type { Instance } from './instance.js';

/** One stretch of foreign memory and its copy. */
interface Stretch {
  readonly buffer: ArrayBufferLike;
  /** In bytes from the start of the buffer. */
  first: number;
  end: number;
  address: number;
}

export class Staging {
  readonly #stretches: Stretch[] = [];

  constructor(
    private readonly instance: Instance,
    private readonly arrays: readonly ArrayBufferView[],
  ) {
    for (const { buffer, byteOffset, byteLength } of arrays) {
      const stretch = { buffer, first: byteOffset, end: byteOffset + byteLength, address: 0 };
      for (const other of this.#overlapping(stretch)) {
        stretch.first = Math.min(stretch.first, other.first);
        stretch.end = Math.max(stretch.end, other.end);
        this.#stretches.splice(this.#stretches.indexOf(other), 1);
      }
      this.#stretches.push(stretch);
    }
  }

  /** Takes memory and copies in. False, with nothing taken, when memory is short. */
  copyIn(): boolean {
    for (const stretch of this.#stretches) {
      const address = this.instance.take(stretch.end - stretch.first);
      if (address === undefined) {
        this.free();
        return false;
      }
      stretch.address = address;
      this.#copyOf(stretch).set(originalOf(stretch));
    }
    return true;
  }

  /** Where the copy of one of the arrays is. */
  addressOf(array: ArrayBufferView): number {
    const { buffer, byteOffset, byteLength } = array;
    const [stretch] = this.#overlapping({ buffer, first: byteOffset, end: byteOffset + byteLength });
    return stretch === undefined ? 0 : stretch.address + byteOffset - stretch.first;
  }

  /** Copies back, but for arrays of integers: they are indices, which no op writes. */
  copyOut(): void {
    const written = this.arrays.filter((array) => !(array instanceof Int32Array));
    for (const { buffer, byteOffset, byteLength } of written) {
      const part = { buffer, first: byteOffset, end: byteOffset + byteLength };
      const [stretch] = this.#overlapping(part);
      if (stretch !== undefined)
        originalOf(part).set(
          this.#copyOf(stretch).subarray(part.first - stretch.first, part.end - stretch.first),
        );
    }
  }

  free(): void {
    for (const stretch of this.#stretches) {
      if (stretch.address !== 0) this.instance.free(stretch.address);
      stretch.address = 0;
    }
  }

  #overlapping({ buffer, first, end }: Omit<Stretch, 'address'>): readonly Stretch[] {
    return this.#stretches.filter(
      (other) => other.buffer === buffer && other.first < end && first < other.end,
    );
  }

  #copyOf({ first, end, address }: Stretch): Uint8Array {
    return new Uint8Array(this.instance.memory.buffer, address, end - first);
  }
}

function originalOf({ buffer, first, end }: Omit<Stretch, 'address'>): Uint8Array {
  return new Uint8Array(buffer, first, end - first);
}
