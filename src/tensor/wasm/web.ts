/**
 * @file The WebAssembly device in a browser: in a page, or better in a Web Worker, as computing blocks the thread that it is
 * called on. Knows nothing of Node.
 *
 * Several threads need memory that is shared between them, which browsers allow only to pages that are cross-origin
 * isolated (served with `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp`).
 * Elsewhere one thread computes, with the same results. A page whose content security policy limits workers must allow
 * `blob:`, or it gets one thread as well.
 */
import { messageOf, OptionError } from '../../base/errors.js';
import { checkThreads, maxThreads } from '../compiled/device.js';
import { describeDevice, setDevice, type DeviceDescription } from '../device.js';
import { createWasmDevice, threadBody, type ThreadStart } from './engine.js';
import { webAssembly, type WasmModule } from './webassembly.js';

export interface EngineSource {
  /**
   * The module `shiftaddnas.wasm`: its address, its bytes, or what `WebAssembly.compile` made of it. Default: the file of
   * this package, which bundlers that know `new URL(..., import.meta.url)` put beside the bundle.
   */
  readonly wasm?: string | URL | ArrayBuffer | Uint8Array | WasmModule;
  /** Threads, the caller's included. Default: one per processor where the page is cross-origin isolated, else one. */
  readonly threads?: number;
}

/** What a browser offers beside Node's globals. */
interface WebGlobals {
  readonly crossOriginIsolated?: boolean;
  readonly navigator?: { readonly hardwareConcurrency?: number };
  readonly Worker: new (url: string) => WebWorker;
  readonly URL: {
    readonly createObjectURL: (blob: Blob) => string;
    readonly revokeObjectURL: (url: string) => void;
  };
}

interface WebWorker {
  onmessage: (() => void) | null;
  onerror: ((event: { preventDefault(): void }) => void) | null;
  postMessage(message: unknown): void;
}

const web = globalThis as unknown as WebGlobals;

/** How long the browser may take to start the threads; after that the engine goes on with those that are there. */
const START_LIMIT_MS = 10_000;

/**
 * Loads the engine into this page or worker and makes it the device that computes. Resolves when its threads run.
 * @throws OptionError when the module cannot be fetched or `threads` makes no sense; Error where the browser has no
 *   WebAssembly with SIMD and shared memory
 */
export async function loadEngine(source: EngineSource = {}): Promise<DeviceDescription> {
  const isolated = web.crossOriginIsolated === true;
  const threads = source.threads ?? Math.min(web.navigator?.hardwareConcurrency ?? 1, maxThreads);
  checkThreads(threads);
  const module = await moduleFrom(source.wasm ?? new URL('./shiftaddnas.wasm', import.meta.url));
  const starting: Promise<void>[] = [];
  const device = createWasmDevice(module, {
    threads: isolated ? threads : 1,
    maySleep: maySleep(),
    startThread: (start, lost) => starting.push(startThread(start, lost)),
  });
  device.startThreads();
  await Promise.race([Promise.all(starting), new Promise((resolve) => setTimeout(resolve, START_LIMIT_MS))]);
  setDevice(device.kernels);
  return describeDevice();
}

async function moduleFrom(wasm: NonNullable<EngineSource['wasm']>): Promise<WasmModule> {
  if (webAssembly === undefined) throw new Error('this browser has no WebAssembly');
  if (typeof wasm === 'string' || wasm instanceof URL) {
    const response = await fetch(wasm).catch((error: unknown) => {
      throw new OptionError(
        `${String(wasm)} cannot be fetched (${messageOf(error)}); give loadEngine the address or the bytes of shiftaddnas.wasm`,
        { cause: error },
      );
    });
    if (!response.ok)
      throw new OptionError(
        `${String(wasm)}: ${response.status} ${response.statusText}; give loadEngine the address of shiftaddnas.wasm`,
      );
    return webAssembly.compile(new Uint8Array(await response.arrayBuffer()));
  }
  if (wasm instanceof ArrayBuffer) return webAssembly.compile(new Uint8Array(wasm));
  return wasm instanceof Uint8Array ? webAssembly.compile(wasm) : wasm;
}

/** Whether this thread may wait for others without spinning: a worker may, a page may not. */
function maySleep(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}

const threadScript = `onmessage = ({ data: start }) => {
  const ready = () => postMessage('ready');
  ${threadBody}
};`;

/** Starts a thread; resolves when it runs or when it is known that it never will. */
function startThread(start: ThreadStart, lost: () => void): Promise<void> {
  return new Promise((resolve) => {
    const failed = (): void => {
      lost();
      resolve();
    };
    try {
      const url = web.URL.createObjectURL(new Blob([threadScript], { type: 'text/javascript' }));
      const worker = new web.Worker(url);
      worker.onmessage = () => {
        web.URL.revokeObjectURL(url);
        resolve();
      };
      worker.onerror = (event) => {
        event.preventDefault();
        failed();
      };
      worker.postMessage(start);
    } catch {
      failed();
    }
  });
}
