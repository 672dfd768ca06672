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

/**
 * The outputs of the model, by name.
 * @throws what ONNX Runtime throws when it rejects the file or the inputs
 */
export async function runOnnx(
  bytes: Uint8Array,
  inputs: Readonly<Record<string, RunTensor>>,
): Promise<Map<string, RunTensor>> {
  const session = await ort.InferenceSession.create(bytes);
  try {
    const feeds = Object.entries(inputs).map(([name, { dims, data }]) => [
      name,
      new ort.Tensor('float32', data, dims),
    ]);
    const results = await session.run(Object.fromEntries(feeds) as ort.InferenceSession.FeedsType);
    return new Map(
      Object.entries(results).map(([name, tensor]) => [
        name,
        { dims: tensor.dims, data: new Float32Array(tensor.data as Float32Array) },
      ]),
    );
  } finally {
    await session.release();
  }
}
