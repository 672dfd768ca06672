import { describe, expect, it } from 'vitest';
import { operationCount, Primitive } from '../../hardware/layer.js';
import { familyNamed } from '../../operators/registry.js';
import { layersOf, operationTotal, parameterCount, planLayers } from '../layers.js';
import { NodeKind } from '../nodes.js';
import { nodesOf } from '../expand.js';
import { parseArchitecture } from '../parse.js';
import { publishedNetwork, publishedNetworks, type PublishedNetwork } from './retraining.js';

/** Values that are trained: of two tensors in each weight of pot.ps. */
const trained = (network: ReturnType<typeof publishedNetwork>): number =>
  planLayers(network).reduce(
    (sum, { family, kernel, inChannels, groups, outChannels }) =>
      sum + ((familyNamed(family).planes ?? 1) - 1) * kernel * kernel * (inChannels / groups) * outChannels,
    parameterCount(network),
  );

const gigaOf = (network: ReturnType<typeof publishedNetwork>) => {
  const of = (matches: (name: string, primitive: Primitive) => boolean): number =>
    layersOf(network, familyNamed)
      .filter(({ name, primitive }) => matches(name, primitive))
      .reduce((sum, layer) => sum + operationCount(layer), 0) / 1e9;
  const isHead = (name: string): boolean => name.startsWith('classifier');
  const isProduct = (name: string): boolean => /\.attention\.(scores|values)$/.test(name);
  return {
    conv: of((name, primitive) => primitive === Primitive.Multiply && !isProduct(name) && !isHead(name)),
    classifier: of((name) => name === 'classifier'),
    shift: of((_, primitive) => primitive === Primitive.Shift),
    add: of((_, primitive) => primitive === Primitive.Add),
    matmul: of(isProduct),
    total: of(() => true),
  };
};

/** cv-search 6.2, to the digits there: at 224 and at 256. It does not say where the two classifiers of 2 M are counted. */
const table: [PublishedNetwork, 1 | 2, number, number, number[], number[]][] = [
  ['mix-v3', 2, 29.91, 31.42, [2.9, 0.37, 0.44, 0.03, 3.75], [3.79, 0.49, 0.57, 0.05, 4.9]],
  ['mix-v4', 2, 29.91, 33.93, [2.68, 1.03, 0, 0.03, 3.75], [3.51, 1.35, 0, 0.05, 4.9]],
  ['mix-v3', 1, 29.91, 31.42, [5.41, 0.37, 0.44, 0.18, 6.4], [7.07, 0.49, 0.57, 0.3, 8.43]],
  ['mix-v4', 1, 29.91, 33.93, [5.19, 1.03, 0, 0.18, 6.4], [6.78, 1.35, 0, 0.3, 8.43]],
];

describe.each(table)(
  '%s with a last stride of %d (cv-search 6.2)',
  (name, lastStride, q, ps, at224, at256) => {
    it('has the published parameters', () => {
      expect((trained(publishedNetwork(name, { lastStride })) / 1e6).toFixed(2)).toBe(q.toFixed(2));
      expect((trained(publishedNetwork(name, { lastStride, shift: 'pot.ps' })) / 1e6).toFixed(2)).toBe(
        ps.toFixed(2),
      );
    });

    it.each([
      [224, at224],
      [256, at256],
    ])('has the published operations at %d pixels', (side, expected) => {
      const input = { height: side, width: side, channels: 3 };
      const { conv, classifier, ...others } = gigaOf(publishedNetwork(name, { lastStride, input }));
      const [expectedConv, ...expectedOthers] = expected.map((giga) => giga.toFixed(2));
      expect([0, 1, 2].map((heads) => (conv + heads * classifier).toFixed(2))).toContain(expectedConv);
      expect(Object.values(others).map((giga) => giga.toFixed(2))).toEqual(expectedOthers);
    });
  },
);

describe('the published networks', () => {
  it('have the layers of the published records (cv-search 6.2), whose query, key and value are one', () => {
    const countsOf = (name: PublishedNetwork): number[] => {
      const network = publishedNetwork(name);
      const nodes = nodesOf(network);
      const layers = planLayers(network);
      const heads = nodes.filter(({ kind }) => kind === NodeKind.Attention).length;
      const of = (family: string): number =>
        layers.filter((layer) => layer.family === family && !layer.fullyConnected).length;
      const linear = layers.filter(({ fullyConnected }) => fullyConnected).length;
      return [of('conv') - 2 * heads, of('add'), of('pot.q'), 2 * heads, linear];
    };
    expect(countsOf('mix-v3')).toEqual([78, 8, 5, 10, 2]);
    expect(countsOf('mix-v4')).toEqual([74, 0, 17, 10, 2]);
  });

  it.each([
    [2, 224, '3.44'],
    [2, 288, '5.73'],
    [1, 224, '7.94'],
    [1, 256, '10.51'],
  ] as const)(
    'have those of BossNet-T with a last stride of %d at %d pixels: %s G',
    (lastStride, side, giga) => {
      const input = { height: side, width: side, channels: 3 };
      const { total, classifier } = gigaOf(publishedNetwork('bossnet-t', { lastStride, input }));
      // BossNet has one classifier.
      expect((total - classifier).toFixed(2)).toBe(giga);
    },
  );

  it('survive JSON and take other images', () => {
    const shapes = [
      { height: 96, width: 160, channels: 1 },
      { height: 100, width: 33, channels: 3 },
    ];
    for (const [name, input] of (Object.keys(publishedNetworks) as PublishedNetwork[]).flatMap((each) =>
      shapes.map((shape) => [each, shape] as const),
    )) {
      const network = publishedNetwork(name, { input, classes: 7 });
      expect(parseArchitecture(JSON.parse(JSON.stringify(network)), 'file')).toEqual(network);
      expect(operationTotal(network)).toBeGreaterThan(0);
    }
  });
});
