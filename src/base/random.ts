/**
 * @file Seeded random numbers, by labelled streams.
 *
 * Every consumer of chance asks for its own stream, `Random.stream(seed, 'loader', epoch, step)`, so that adding a
 * draw in one place never changes another, results do not depend on the number of threads or on who draws first,
 * and a resumed run needs no recorded history: it asks for the same stream again. The generator is sfc32 (Chris
 * Doty-Humphrey, PractRand), seeded through a 32-bit mixing hash of the labels.
 */

export type RandomState = readonly [number, number, number, number];

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter: number;
  #spareNormal: number | undefined;

  private constructor(state: RandomState) {
    [this.#a, this.#b, this.#c, this.#counter] = state;
  }

  /** The stream named by these labels: the same labels give the same numbers, any other label unrelated ones. */
  static stream(...labels: readonly (string | number)[]): Random {
    const words: number[] = [];
    for (let lane = 0; lane < 3; lane++) {
      let hash = 0x9e3779b9 ^ Math.imul(lane + 1, 0x85ebca6b);
      for (const label of labels) {
        const text = `${typeof label}:${label}`;
        for (let i = 0; i < text.length; i++) hash = mix(hash ^ text.charCodeAt(i));
        hash = mix(hash ^ 0x1f);
      }
      words.push(hash >>> 0);
    }
    const random = new Random([words[0]!, words[1]!, words[2]!, 1]);
    for (let i = 0; i < 12; i++) random.uint32();
    return random;
  }

  static fromState(state: RandomState): Random {
    return new Random(state);
  }

  /** What {@link fromState} needs to go on from here. Call it between draws of `normal` pairs or lose one spare. */
  get state(): RandomState {
    return [this.#a, this.#b, this.#c, this.#counter];
  }

  /** Uniform integer in [0, 2^32). */
  uint32(): number {
    const t = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    this.#c |= 0;
    return t >>> 0;
  }

  /** Uniform in [0, 1) with 32 bits. */
  uniform(): number {
    return this.uint32() / 4294967296;
  }

  /** Uniform integer in [0, bound), unbiased (rejection). @throws RangeError unless bound is 1 .. 2^32 */
  integer(bound: number): number {
    if (!(Number.isInteger(bound) && bound >= 1 && bound <= 4294967296))
      throw new RangeError(`cannot draw one of ${bound} integers`);
    const limit = 4294967296 - (4294967296 % bound);
    for (;;) {
      const draw = this.uint32();
      if (draw < limit) return draw % bound;
    }
  }

  /** Uniform in [0, bound) for a bound of any size >= 1, unbiased (rejection). */
  below(bound: bigint): bigint {
    let range = 1n;
    while (range < bound) range <<= 32n;
    for (;;) {
      let draw = 0n;
      for (let reached = 1n; reached < range; reached <<= 32n) draw = (draw << 32n) | BigInt(this.uint32());
      if (draw < range - (range % bound)) return draw % bound;
    }
  }

  /** Standard normal (Box-Muller). */
  normal(): number {
    if (this.#spareNormal !== undefined) {
      const spare = this.#spareNormal;
      this.#spareNormal = undefined;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** One element of a non-empty list. */
  pick<T>(items: readonly T[]): T {
    return items[this.integer(items.length)] as T;
  }

  /** Shuffles in place (Fisher-Yates) and returns the same array. */
  shuffle<T extends unknown[] | Int32Array | Uint32Array>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const held = items[i];
      items[i] = items[j];
      items[j] = held;
    }
    return items;
  }
}

/** The 32-bit finaliser of MurmurHash3 (Austin Appleby, public domain). */
function mix(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}
