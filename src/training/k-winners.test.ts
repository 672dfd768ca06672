import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { Mode, stateOf, type NamedTensors } from '../nn/module.js';
import { architectureOfModel } from '../spaces/models/contract.js';
import { modelNamed } from '../spaces/models/registry.js';
import { Network } from '../spaces/network.js';
import { Interrupted } from './interrupted.js';
import { copyOf, snapshot, toyOptions, toyShape, toyStepsPerEpoch } from './toy.cases.js';
import { train, type TrainingCheckpoint } from './train.js';

const small = architectureOfModel(modelNamed('kwinners-mnist'), {
  ...{ input: toyShape, classes: 4, families: ['conv'] },
});

describe('a training with k winners', () => {
  const trained = (session: { resumeFrom?: TrainingCheckpoint; stopAfter?: number; recompute?: boolean }) => {
    const network = new Network(
      small,
      Random.stream('toy weights', session.resumeFrom === undefined ? 1 : 2),
    );
    let saved: TrainingCheckpoint | undefined;
    let polls = 0;
    const run = (): void =>
      train(
        {
          name: 'toy',
          ...{ parameters: network.parameters, buffers: network.buffers },
          forward: (images, step) =>
            network.forward(images, Mode.Training, {
              recomputeBlocks: session.recompute ?? false,
              chance: { seed: 1, step, stepsPerEpoch: toyStepsPerEpoch },
            }),
        },
        toyOptions({
          ...(session.resumeFrom && { resumeFrom: session.resumeFrom }),
          interrupted: () => session.stopAfter !== undefined && polls++ >= session.stopAfter,
          onCheckpoint: (checkpoint) => (saved = copyOf(checkpoint)),
        }),
      );
    if (session.stopAfter === undefined) run();
    else expect(run).toThrow(Interrupted);
    const state: NamedTensors = snapshot(stateOf(network));
    network.dispose();
    return { state, saved };
  };

  it('ends with the same bits when it was stopped and resumed, and when blocks are computed again', () => {
    const { state } = trained({});
    expect([...state.keys()].filter((name) => /\.(duty|seen)$/.test(name))).toHaveLength(6);
    const { saved } = trained({ stopAfter: 6 });
    expect(trained({ resumeFrom: saved! }).state).toEqual(state);
    expect(trained({ recompute: true }).state).toEqual(state);
    // A resumed training that had forgotten its duty cycles would choose others.
    const forgetful = new Map(saved!.tensors);
    for (const [name, { shape, data }] of saved!.tensors)
      if (name.endsWith('.duty')) forgetful.set(name, { shape, data: data.map((_, i) => (i % 2 ? 0.9 : 0)) });
    expect(trained({ resumeFrom: { ...saved!, tensors: forgetful } }).state).not.toEqual(state);
  });
});
