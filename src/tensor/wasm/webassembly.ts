/**
 * @file The part of the WebAssembly interface in use. TypeScript declares it among the browser's types only, which would
 * bring a document and a window into a program that has none.
 */

/** A compiled module; it can be posted to other threads. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: string;
}

export interface WasmMemory {
  /** A new object after each growth; older ones remain views of the same memory, at its former length. */
  readonly buffer: SharedArrayBuffer;
}

interface WasmInstance {
  readonly exports: unknown;
}

interface WasmInterface {
  readonly Module: {
    new (bytes: Uint8Array): WasmModule;
    customSections(module: WasmModule, name: string): readonly ArrayBuffer[];
  };
  readonly Memory: new (pages: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: true;
  }) => WasmMemory;
  readonly Instance: new (
    module: WasmModule,
    imports: { readonly env: { readonly memory: WasmMemory } },
  ) => WasmInstance;
  readonly compile: (bytes: Uint8Array) => Promise<WasmModule>;
}

/** The global `WebAssembly`; undefined where there is none. */
export const webAssembly = (globalThis as { WebAssembly?: WasmInterface }).WebAssembly;
