/**
 * @file What every technique must do, whatever it is for: switched off it leaves no trace, a training with it that was
 * stopped and resumed ends with the same bits, and so does one on another number of threads. Tests only.
 */
import { describe, expect, it } from 'vitest';
import { loadNativeKernels, nativeInfo, setThreads } from '../../tensor/native/device.js';
import { poolUsage } from '../../tensor/pool.js';
import { stateOf, type NamedTensors } from '../../nn/module.js';
import type { Network } from '../../spaces/network.js';
import { Interrupted } from '../interrupted.js';
import type { Schedule } from '../schedule.js';
import type { Technique } from '../technique.js';
import { copyOf, snapshot, toyNetwork, toyOptions, toySchedule, traineeOf } from '../toy.cases.js';
import { train, type TrainingCheckpoint } from '../train.js';

/** What is trained: a network, or a few layers. */
export type ToyModel = Pick<
  Network,
  'parameters' | 'buffers' | 'forward' | 'project' | 'operatorLayers' | 'dispose'
>;

export interface TechniqueCase {
  readonly name: string;
  readonly on: (network: ToyModel) => Technique;
  /** The technique with settings under which it does nothing; absent where it has none such. */
  readonly off?: (network: ToyModel) => Technique;
  /** What it acts on; the network of the toy problem when left out. */
  readonly network?: (seed?: number) => ToyModel;
  readonly schedule?: Schedule;
}

interface Ending {
  readonly state: NamedTensors;
  /** What a stop one step before the end saves. */
  readonly saved?: TrainingCheckpoint;
}

export function describeTechniques(cases: readonly TechniqueCase[]): void {
  describe.each(cases)('technique $name', (given) => {
    const { on, off, network: make = toyNetwork, schedule = toySchedule } = given;

    /** Trains to the end, or until `stopAfter` steps of this session. */
    function trained(
      technique: ((network: ToyModel) => Technique) | undefined,
      session: {
        readonly seed?: number;
        readonly resumeFrom?: TrainingCheckpoint;
        readonly stopAfter?: number;
      } = {},
    ): Ending {
      const before = poolUsage().usedBytes;
      const network = make(session.seed);
      const used = technique?.(network);
      let saved: TrainingCheckpoint | undefined;
      let polls = 0;
      const run = (): void =>
        train(
          traineeOf(network),
          toyOptions({
            schedule,
            techniques: used === undefined ? [] : [used],
            ...(session.resumeFrom && { resumeFrom: session.resumeFrom }),
            interrupted: () => session.stopAfter !== undefined && polls++ >= session.stopAfter,
            onCheckpoint: (checkpoint) => (saved = copyOf(checkpoint)),
          }),
        );
      if (session.stopAfter === undefined) run();
      else expect(run).toThrow(Interrupted);
      const state = snapshot(stateOf(network));
      used?.dispose?.();
      network.dispose();
      expect(poolUsage().usedBytes, 'buffers given back').toBe(before);
      return { state, ...(saved && { saved }) };
    }

    it('changes what is trained', () => {
      expect(trained(on).state).not.toEqual(trained(undefined).state);
    });

    it.runIf(off !== undefined)('switched off is plain training, to the bit', () => {
      const plain = trained(undefined).state;
      const { state } = trained(off);
      for (const [name, { data }] of plain) expect(state.get(name)?.data, name).toEqual(data);
    });

    it('goes on from a checkpoint with the same bits, whatever it had been before', () => {
      const whole = trained(on);
      const straight = trained(on, { stopAfter: 11 });
      const { saved } = trained(on, { stopAfter: 5 });
      expect(saved?.step).toBe(5);
      const resumeFrom = saved as TrainingCheckpoint;
      expect(trained(on, { seed: 2, resumeFrom }).state).toEqual(whole.state);
      expect(trained(on, { seed: 3, resumeFrom, stopAfter: 6 }).saved).toEqual(straight.saved);
    });

    it.runIf(loadNativeKernels() !== undefined)('gives the same bits on any number of threads', () => {
      const { threads } = nativeInfo();
      const by = (count: number): NamedTensors => {
        setThreads(count);
        return trained(on).state;
      };
      try {
        const one = by(1);
        expect(by(2)).toEqual(one);
        expect(by(3)).toEqual(one);
      } finally {
        setThreads(threads);
      }
    });
  });
}
