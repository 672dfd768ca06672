/**
 * @file What long phases share: checkpoints that save the time spent with them, and training progress in the event log.
 */
import type { JobHost } from './host.js';
import type { PhaseClock } from './phases.js';
import type { RunEvent } from './result.js';
import type { RunFolder } from './run-folder.js';
import type { CheckpointHooks } from '../training/train-network.js';

/** Checkpoints of `phase` in the folder. */
export function checkpointsOf(
  {
    everySeconds,
    folder,
    identity,
  }: { readonly everySeconds: number; readonly folder: RunFolder; readonly identity: string },
  phase: string,
  clock: Pick<PhaseClock<unknown>, 'tick'>,
): CheckpointHooks {
  return {
    everySeconds,
    resumeFrom: folder.readCheckpoint(phase, identity),
    save(checkpoint) {
      folder.writeCheckpoint(phase, identity, checkpoint);
      clock.tick();
    },
  };
}

/** A host that also writes training progress into the event log. */
export function logged(folder: RunFolder, host: JobHost): JobHost {
  return {
    send(message) {
      host.send(message);
      if (message.type !== 'training') return;
      const { name, epoch, step, loss, accuracy, learningRate, passes } = message;
      const event: RunEvent = {
        type: 'training',
        time: new Date().toISOString(),
        phase: name,
        epoch,
        step,
        loss,
        accuracy,
        learningRate,
        ...(passes !== undefined && { passes }),
      };
      folder.append(event);
    },
    interrupted: () => host.interrupted(),
  };
}
