/**
 * @file The worker thread of an ONNX teacher: runs the model in ONNX Runtime (WebAssembly, one thread, so that the same
 * images always give the same bits) whenever the training asks, and writes the logits into memory that both share.
 */
import { readFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { messageOf } from '../../base/errors.js';
import {
  answer,
  inputPlan,
  refuse,
  Status,
  waitWhile,
  type OnnxTeacherWork,
} from './onnx-teacher-protocol.js';

const work = workerData as OnnxTeacherWork;

try {
  await serve();
} catch (error) {
  refuse(work.shared, messageOf(error).split('\n')[0] as string);
}

async function serve(): Promise<void> {
  const { shared, path, shape } = work;
  let ort: typeof import('onnxruntime-web');
  try {
    ort = await import('onnxruntime-web');
  } catch {
    throw new Error(
      `${path}: an ONNX teacher needs ONNX Runtime, which is not installed; npm install onnxruntime-web brings it`,
    );
  }
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = 'error';
  const session = await ort.InferenceSession.create(readFileSync(path)).catch((error: unknown) => {
    throw new Error(`${path}: ONNX Runtime cannot run it (${messageOf(error).split('\n')[0]})`);
  });
  const [declared] = session.inputMetadata;
  const [inputName, outputName] = [session.inputNames[0] as string, session.outputNames[0] as string];
  if (session.inputNames.length !== 1 || declared?.isTensor !== true || declared.type !== 'float32')
    throw new Error(
      `${path}: takes ${session.inputNames.length} input(s) (${session.inputNames.join(', ')}); ` +
        'a teacher takes one float32 tensor of images',
    );
  const plan = inputPlan(path, declared.shape, shape);
  const run = async (images: Float32Array, count: number): Promise<Float32Array> => {
    const { [outputName]: logits } = await session.run({
      [inputName]: new ort.Tensor('float32', plan.arranged(images, count), plan.dims(count)),
    });
    return (logits as { data: unknown }).data as Float32Array;
  };
  const imageLength = shape.height * shape.width * shape.channels;
  const classes =
    (await run(new Float32Array((plan.batch ?? 1) * imageLength), plan.batch ?? 1)).length /
    (plan.batch ?? 1);
  if (classes !== work.classes)
    throw new Error(
      `${path}: tells ${classes} classes apart, the data has ${work.classes}; a teacher must know the same classes`,
    );
  for (;;) {
    answer(shared);
    if (waitWhile(shared, Status.Ready) !== Status.Asked) return;
    const count = Atomics.load(shared.control, 1);
    const part = plan.batch ?? count;
    for (let start = 0; start < count; start += part) {
      const here = Math.min(part, count - start);
      const images = new Float32Array(part * imageLength);
      images.set(shared.images.subarray(start * imageLength, (start + here) * imageLength));
      const logits = await run(images, part);
      shared.logits.set(logits.subarray(0, here * classes), start * classes);
    }
  }
}
