/**
 * @file Any ONNX classifier as a teacher, run by ONNX Runtime. The runtime answers in promises and training does not
 * wait for promises, so the model runs on a worker thread and the training blocks on shared memory, as for its batches.
 *
 * The model gets pixels in 0..1, as the files that we write do, or normalised by statistics of its own.
 */
import { Worker } from 'node:worker_threads';
import { FileError, ToolError } from '../../base/errors.js';
import { compiledModule } from '../../base/modules.js';
import type { ChannelStatistics } from '../../data/augment.js';
import { imageLength, type ImageShape } from '../../data/dataset.js';
import type { Teacher } from '../../training/techniques/distillation.js';
import { renormalisation } from './network-teacher.js';
import {
  ask,
  close,
  createShared,
  refusal,
  Status,
  waitWhile,
  type OnnxTeacherWork,
} from './onnx-teacher-protocol.js';

/** How long the runtime may take to start, and to answer. */
const patienceMs = 120_000;

/**
 * Starts the runtime and waits until the model has classified one image. `seen` is the normalisation of the images that
 * it will be given, at most `batchSize` at once; `own` the one that the model expects (pixels in 0..1 when left out).
 * @throws FileError for a model that is none, takes other images or tells other numbers of classes apart; ToolError when
 *   ONNX Runtime is not installed
 */
export function onnxTeacher(
  path: string,
  data: { readonly shape: ImageShape; readonly statistics: ChannelStatistics; readonly classes: number },
  options: { readonly batchSize: number; readonly own?: ChannelStatistics | undefined },
): Teacher {
  const { shape, classes } = data;
  const { channels } = shape;
  const pixels = { mean: data.statistics.mean.map(() => 0), std: data.statistics.std.map(() => 1) };
  const { scale, shift } = renormalisation(data.statistics, options.own ?? pixels);
  const shared = createShared(options.batchSize, imageLength(shape), classes);
  const work: OnnxTeacherWork = { path, shape, classes, shared };
  // The parent's flags (loaders, inspectors) are of no use to compiled JavaScript.
  const worker = new Worker(compiledModule('pipeline/training/onnx-teacher-worker.js'), {
    workerData: work,
    execArgv: [],
  });
  worker.unref();
  const dispose = (): void => {
    close(shared);
    void worker.terminate();
  };
  const answered = (status: typeof Status.Starting | typeof Status.Asked): void => {
    const now = waitWhile(shared, status, patienceMs);
    if (now === Status.Ready) return;
    dispose();
    if (now !== Status.Refused)
      throw new ToolError(`${path}: ONNX Runtime made no answer in ${patienceMs / 1000} s`);
    const why = refusal(shared);
    throw why.includes('npm install') ? new ToolError(why) : new FileError(why);
  };
  answered(Status.Starting);
  return {
    classes,
    logits(images, count) {
      for (let i = 0; i < images.length; i += channels)
        for (let c = 0; c < channels; c++) shared.images[i + c] = scale[c]! * images[i + c]! + shift[c]!;
      ask(shared, count);
      answered(Status.Asked);
      return shared.logits.slice(0, count * classes);
    },
    dispose,
  };
}
