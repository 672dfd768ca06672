/**
 * @file One instance of the WebAssembly module of `native/wasm` and its memory.
 */
import { webAssembly, type WasmMemory, type WasmModule } from './webassembly.js';

/** What the module exports. Addresses come as signed 32-bit numbers: `>>> 0` makes them what they are. */
export interface EngineExports {
  readonly __stack_pointer: { value: number };
  sa_allocate(bytes: number, zeroed: number): number;
  sa_free(address: number): void;
  sa_call_room(size: number): number;
  sa_invoke(op: number, items: number): Status;
  sa_result(): number;
  sa_message(): number;
  sa_recover(): void;
  sa_op_count(): number;
  sa_op_name(op: number): number;
  sa_op_buffers(op: number): number;
  sa_op_holds_integers(op: number, buffer: number): number;
  sa_op_items(op: number, size: number): number;
  sa_isa(): number;
  sa_threads(): number;
  sa_set_threads(threads: number): void;
  sa_started(): number;
  sa_lacking(): number;
  sa_may_sleep(yes: number): void;
}

/** How an op ended; the words of native/wasm/wasm.c. */
export enum Status {
  Done,
  NoMemory,
  BadCall,
  BadIndex,
  ThreadFailed,
}

const KIB = 1024;
/** As the module is linked (scripts/build-wasm.mjs): its data and the stack of the thread that owns it. */
const INITIAL_PAGES = 32;
/** Addresses and lengths are 32-bit, so the last page of 4 GiB is left out. */
const MOST_PAGES = 65536 - 1;
const FEWEST_PAGES = 1024;

export class Instance {
  readonly memory: WasmMemory;
  readonly exports: EngineExports;
  /** Typed arrays keep the buffer object of their time; all of these are the module's memory. */
  readonly #buffers = new WeakSet<ArrayBufferLike>();
  readonly #garbage: FinalizationRegistry<number>;

  /** @throws Error where there is no WebAssembly with SIMD and threads */
  constructor(readonly module: WasmModule) {
    if (webAssembly === undefined) throw new Error('there is no WebAssembly here');
    this.memory = createMemory();
    this.exports = new webAssembly.Instance(module, { env: { memory: this.memory } })
      .exports as EngineExports;
    this.#garbage = new FinalizationRegistry((address) => this.exports.sa_free(address));
  }

  /** Whether `array` lies in the module's memory. */
  owns(array: ArrayBufferView): boolean {
    return this.#buffers.has(array.buffer);
  }

  /** A zeroed array in the module's memory, whose memory goes back when the array is garbage. */
  allocate(length: number): Float32Array {
    if (!Number.isInteger(length) || length < 0)
      throw badCall('allocate', 'the length must be a whole number of floats');
    const address = this.exports.sa_allocate(length * 4, 1) >>> 0;
    if (address === 0)
      throw noMemory(
        `allocate: not enough memory for ${Math.round((length * 4) / KIB ** 2)} MiB; use a smaller batch or network (WebAssembly has 4096 MiB at most)`,
      );
    const { buffer } = this.memory;
    this.#buffers.add(buffer);
    const array = new Float32Array(buffer, address, length);
    this.#garbage.register(array, address);
    return array;
  }

  /** Address of a block with arbitrary content, to be given back by `free`; undefined when memory is short. */
  take(bytes: number): number | undefined {
    const address = this.exports.sa_allocate(bytes, 0) >>> 0;
    return address === 0 ? undefined : address;
  }

  free(address: number): void {
    this.exports.sa_free(address);
  }

  /** The C string at `address`. */
  text(address: number): string {
    const bytes = new Uint8Array(this.memory.buffer, address >>> 0);
    return String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0)));
  }
}

/** Memory that grows from little, as far as the surroundings allow. */
function createMemory(): WasmMemory {
  for (let maximum = MOST_PAGES; ; maximum = Math.floor(maximum / 2)) {
    try {
      return new webAssembly!.Memory({ initial: INITIAL_PAGES, maximum, shared: true });
    } catch (error) {
      if (maximum < 2 * FEWEST_PAGES) throw error;
    }
  }
}

/** The errors of the addon, by class and code. */
export function badCall(
  op: string,
  what: string,
  kind: ErrorConstructor | RangeErrorConstructor = Error,
): Error {
  return Object.assign(new kind(`${op}: ${what}`), { code: 'BAD_CALL' });
}

export function noMemory(message: string): Error {
  return Object.assign(new Error(message), { code: 'NO_MEMORY' });
}
