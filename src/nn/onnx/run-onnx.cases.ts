/**
 * @file Runs an ONNX file in ONNX Runtime (WebAssembly, one thread), so that tests compare what we export with what a
 * stranger's runtime makes of it. Creating the session also runs its checker and shape inference. Tests only.
 */
import * as ort from 'onnxruntime-web';

ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';

export interface RunTensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

type Inputs = Readonly<Record<string, RunTensor>>;

/**
 * The outputs of the model, by name.
 * @throws what ONNX Runtime throws when it rejects the file or the inputs
 */
export async function runOnnx(bytes: Uint8Array, inputs: Inputs): Promise<Map<string, RunTensor>> {
  return withSession(bytes, inputs, async (run) => {
    const results = await run();
    return new Map(
      Object.entries(results).map(([name, tensor]) => [
        name,
        { dims: tensor.dims, data: new Float32Array(tensor.data as Float32Array) },
      ]),
    );
  });
}

/**
 * Shortest run in milliseconds among those that fit in `durationMs`, at least one. Loading the model is not counted.
 */
export async function timeOnnx(bytes: Uint8Array, inputs: Inputs, durationMs: number): Promise<number> {
  return withSession(bytes, inputs, async (run) => {
    const begin = performance.now();
    let shortest = Infinity;
    do {
      const start = performance.now();
      await run();
      shortest = Math.min(shortest, performance.now() - start);
    } while (performance.now() - begin < durationMs);
    return shortest;
  });
}

async function withSession<T>(
  bytes: Uint8Array,
  inputs: Inputs,
  use: (run: () => Promise<ort.InferenceSession.ReturnType>) => Promise<T>,
): Promise<T> {
  const session = await ort.InferenceSession.create(bytes);
  try {
    const feeds: Record<string, ort.Tensor> = {};
    for (const [name, { dims, data }] of Object.entries(inputs))
      feeds[name] = new ort.Tensor('float32', data, dims);
    return await use(() => session.run(feeds));
  } finally {
    await session.release();
  }
}
