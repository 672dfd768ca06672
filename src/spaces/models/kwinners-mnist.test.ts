import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { Mode } from '../../nn/module.js';
import { OptionError, FileError } from '../../base/errors.js';
import { ActivationKind } from '../../nn/activation.js';
import { normals } from '../../tensor/float64.cases.js';
import { Tensor } from '../../tensor/tensor.js';
import { BlockKind } from '../architecture.js';
import { nodesOf } from '../expand.js';
import { operationTotal, parameterCount } from '../layers.js';
import { Network } from '../network.js';
import { NodeKind } from '../nodes.js';
import { parseArchitecture } from '../parse.js';
import { architectureOfModel } from './contract.js';
import { modelNamed } from './registry.js';

const model = modelNamed('kwinners-mnist');
const published = architectureOfModel(model, { ...model.published, families: ['conv'] });

describe('kwinners-mnist', () => {
  it('has as many winners behind each layer as nupic.torch, pooled before, and no ReLU', () => {
    const network = new Network(published, Random.stream(1));
    const images = Tensor.view([2, 28, 28, 1], normals(2 * 784, 'images'));
    network.forward(images, Mode.Training, { chance: { seed: 1, step: 0 } }).dispose();
    // The duty cycles of a first batch add up to the share that won, over channels of as many positions each.
    const duty = network.buffers.filter(({ name }) => name.endsWith('.duty'));
    expect(duty.map(({ data }) => data.length)).toEqual([32, 64, 700]);
    const shares = duty.map(({ data }) => data.reduce((sum, v) => sum + v, 0) / data.length);
    const exact = [Math.round(0.1 * 4608) / 4608, Math.round(0.2 * 1024) / 1024, 140 / 700];
    shares.forEach((share, i) => expect(share).toBeCloseTo(exact[i]!, 5));
    const kinds = nodesOf(published).map(({ kind }) => kind);
    expect(kinds.slice(0, 3)).toEqual([NodeKind.Layer, NodeKind.MaxPool, NodeKind.KWinners]);
    expect(kinds).not.toContain(NodeKind.Activation);
    network.dispose();
  });

  it('costs what the same network of ReLUs costs, which `activation: relu` makes of it', () => {
    const dense = architectureOfModel(model, {
      ...{ ...model.published, families: ['conv'] },
      activation: ActivationKind.Relu,
    });
    expect(nodesOf(dense).filter(({ kind }) => kind === NodeKind.KWinners)).toEqual([]);
    expect(nodesOf(dense).filter(({ kind }) => kind === NodeKind.Activation)).toHaveLength(3);
    expect([parameterCount(dense), operationTotal(dense)]).toEqual([776_606, operationTotal(published)]);
    expect(() =>
      architectureOfModel(model, { ...model.published, families: ['conv'], selfShortcut: true }),
    ).toThrow(OptionError);
  });

  it('is read from files with its settings, and wrong ones are refused in one line', () => {
    const block = (activation: object): unknown => ({
      ...published,
      blocks: published.blocks.map((each) =>
        each.kind === BlockKind.Dense ? { ...each, activation } : each,
      ),
    });
    const whole = { kind: 'kwinners', share: 0.5, boost: 0, factor: 1, inferenceFactor: 2, local: true };
    expect(parseArchitecture(block(whole), 'f').blocks[2]).toMatchObject({ activation: whole });
    for (const wrong of [
      { share: 0 },
      { share: 1.5 },
      { boost: -1 },
      { inferenceFactor: 3 },
      { kind: 'k' },
      { at: 1 },
    ])
      expect(() => parseArchitecture(block({ ...whole, ...wrong }), 'f')).toThrow(FileError);
  });
});
