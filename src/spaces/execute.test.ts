import { describe, expect, it } from 'vitest';
import { add } from '../tensor/ops/binary.js';
import { relu } from '../tensor/ops/elementwise.js';
import { sum } from '../tensor/ops/reduction.js';
import { poolUsage } from '../tensor/pool.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { programOf, run } from './execute.js';
import { inputName, NodeKind, type Node } from './nodes.js';

const map = { outHeight: 1, outWidth: 1, outChannels: 4 };
const node = (name: string, block: number | null, ...inputs: string[]): Node =>
  inputs.length === 2
    ? { kind: NodeKind.Join, name, inputs, block, ...map, relu: false }
    : { kind: NodeKind.Flatten, name, inputs, block, ...map };

/** a = relu(x); b is a itself; c = b + a; d = c + b; e = d + x. */
const nodes = [
  node('a', 0, inputName),
  node('b', 0, 'a'),
  node('c', 0, 'b', 'a'),
  node('d', 1, 'c', 'c'),
  node('e', null, 'd', inputName),
];
const evaluate = ({ name }: Node, [x, y]: readonly Tensor[]): Tensor =>
  name === 'a' ? relu(x!) : name === 'b' ? x! : add(x!, y!);

describe('running nodes', () => {
  const values = Float32Array.of(1, -2, 3, 0.5);
  it.each([false, true])('gives 4 relu(x) + x and its gradient, blocks recomputed: %s', (recomputeBlocks) => {
    const before = poolUsage().usedBytes;
    const x = Tensor.persistent([1, 1, 1, 4], values, true);
    const { value, tape } = Tape.record(() => sum(run(programOf(nodes), x, evaluate, { recomputeBlocks })));
    expect(value.data[0]).toBe(4 * 4.5 + 2.5);
    tape.backward(value);
    expect([...x.gradient!]).toEqual([5, 1, 5, 5]);
    x.dispose();
    expect(poolUsage().usedBytes).toBe(before);
  });

  it('holds no value longer than its last reader, whatever the depth', () => {
    const size = 1 << 16;
    const x = Tensor.view([1, 1, 1, size], new Float32Array(size).fill(1));
    const before = poolUsage().usedBytes;
    let most = 0;
    const deep = Array.from({ length: 30 }, (_, i) => node(`n${i}`, null, i === 0 ? inputName : `n${i - 1}`));
    const y = run(programOf(deep), x, (_, [from]) => {
      const out = relu(from!);
      most = Math.max(most, poolUsage().usedBytes - before);
      return out;
    });
    expect(most).toBe(2 * 4 * size);
    y.dispose();
    expect(poolUsage().usedBytes).toBe(before);
  });

  it('gives everything back when a node throws', () => {
    const before = poolUsage().usedBytes;
    const x = Tensor.view([1, 1, 1, 4], values);
    const failing = (at: Node, inputs: readonly Tensor[]): Tensor => {
      if (at.name === 'd') throw new Error('broken');
      return evaluate(at, inputs);
    };
    for (const recomputeBlocks of [false, true])
      expect(() => run(programOf(nodes), x, failing, { recomputeBlocks })).toThrow('broken');
    expect(poolUsage().usedBytes).toBe(before);
  });

  it('makes one step of a block, unless a value inside it is read behind it', () => {
    const blocks = (list: readonly Node[]): readonly string[] =>
      programOf(list).byBlock.map(({ name }) => name);
    expect(blocks(nodes)).toEqual(['c', 'd', 'e']);
    expect(blocks([...nodes.slice(0, 3), node('f', 1, 'a', 'c')])).toEqual(['a', 'b', 'c', 'f']);
  });
});
