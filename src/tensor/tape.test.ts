/**
 * What a tape keeps and what it shares: gradients that are passed on without a copy, memory that goes back early, and
 * checkpoints. Values of gradients are tested in `autograd.test.ts`.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { normals } from './float64.cases.js';
import { conv2d, l1Conv2d } from './ops/convolution.js';
import { add } from './ops/binary.js';
import { relu } from './ops/elementwise.js';
import { batchNorm } from './ops/normalisation.js';
import { isShared, poolUsage, resetPeak } from './pool.js';
import {
  at,
  chain,
  checkpoint,
  contribute,
  firstNonFinite,
  isRecomputing,
  record,
  Tape,
  tidy,
} from './tape.js';
import { Tensor } from './tensor.js';

let baseline: number;
beforeEach(() => {
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  expect(poolUsage().usedBytes).toBe(baseline);
});

/** One node of a graph: an op over earlier nodes; the first `leaves` nodes are leaves. */
interface Step {
  readonly op: 'add' | 'add+relu' | 'relu';
  readonly from: readonly [number, number];
}
const leaves = 3;
const size = 5;
const graphs = fc.array(
  fc.record({
    op: fc.constantFrom('add', 'add+relu', 'relu') as fc.Arbitrary<Step['op']>,
    from: fc.tuple(fc.nat(100), fc.nat(100)),
  }),
  { minLength: 1, maxLength: 12 },
);
/** Node indices of the inputs of step k. */
const inputsOf = ({ op, from }: Step, k: number): readonly number[] =>
  (op === 'relu' ? [from[0]] : from).map((each) => each % (leaves + k));

/** Gradients of the leaves by plain reverse accumulation, every buffer its own. */
function plainGradients(values: readonly Float32Array[], steps: readonly Step[]): Float64Array[] {
  const nodes = values.map((leaf) => Float64Array.from(leaf));
  steps.forEach((step, k) => {
    const [a, b] = inputsOf(step, k).map((each) => nodes[each]!);
    const sum = a!.map((value, i) => value + (b?.[i] ?? 0));
    nodes.push(step.op === 'add' ? sum : sum.map((value) => Math.max(0, value)));
  });
  const gradients = nodes.map(() => new Float64Array(size));
  gradients.at(-1)!.fill(1);
  for (let k = steps.length - 1; k >= 0; k--) {
    const step = steps[k]!;
    for (const input of inputsOf(step, k))
      gradients[leaves + k]!.forEach((gradient, i) => {
        if (step.op === 'add' || nodes[leaves + k]![i]! > 0) gradients[input]![i]! += gradient;
      });
  }
  return gradients.slice(0, leaves);
}

describe('a backward pass', () => {
  it('is refused from a loss of elsewhere, and takes one of several values as their sum', () => {
    const trained = Tensor.persistent([2], [1, 2], true);
    const elsewhere = Tensor.temporary([1], true);
    const other = Tape.record(() => relu(trained));
    expect(() => other.tape.backward(elsewhere)).toThrow(/not made by an op that this tape recorded/);
    const several = Tape.record(() => relu(trained));
    several.tape.backward(several.value);
    expect([...trained.gradient!]).toEqual([1, 1]);
    for (const tensor of [trained, elsewhere]) tensor.dispose();
  });

  it('that a rule cannot finish gives its memory back', () => {
    const leaf = Tensor.persistent([2], [1, 2], true);
    const { value, tape } = Tape.record(() =>
      record(
        'odd',
        [leaf],
        [2],
        (y) => y.fill(0),
        () =>
          contribute(leaf, () => {
            throw new Error('no gradient');
          }),
      ),
    );
    expect(() => tape.backward(value)).toThrow('no gradient');
    leaf.dispose();
  });
});

describe('gradients that several tensors share', () => {
  it('are those of plain accumulation, over random graphs, whole and with the middle recomputed', () => {
    fc.assert(
      fc.property(graphs, fc.nat(12), fc.nat(12), fc.nat(), (steps, cut, length, seed) => {
        // Quarters: sums are exact in float32, whatever their order.
        const values = Array.from({ length: leaves }, (_, i) =>
          normals(size, 'graph', seed, i).map((v) => Math.round(4 * v) / 4),
        );
        const tensors = values.map((each) => Tensor.persistent([size], each, true));
        const run = (nodes: Tensor[], from: number, to: number): Tensor => {
          for (let k = from; k < to; k++) {
            const step = steps[k]!;
            const [a, b] = inputsOf(step, k).map((each) => nodes[each]!);
            nodes.push(step.op === 'relu' ? relu(a!) : add(a!, b!, { relu: step.op === 'add+relu' }));
          }
          return nodes.at(-1)!;
        };
        const expected = plainGradients(values, steps);
        const first = Math.min(cut, steps.length - 1);
        const last = Math.min(first + length, steps.length);
        const passes = [
          () => tidy(() => run([...tensors], 0, steps.length)),
          // Everything from `first` on is computed again in the backward pass, `first` to `last` twice.
          () =>
            tidy(() => {
              const nodes = [...tensors];
              run(nodes, 0, first);
              return checkpoint(nodes, () => {
                const inner = [...nodes];
                const middle = run([...nodes], first, last);
                const again = checkpoint(nodes, () => run([...nodes], first, last));
                expect(again.data).toEqual(middle.data);
                run(inner, first, last);
                return run(inner, last, steps.length);
              });
            }),
        ];
        for (const pass of passes) {
          const { value, tape } = Tape.record(pass);
          tape.backward(value);
          tensors.forEach((tensor, i) => {
            const gradient = tensor.gradient ?? new Float32Array(size);
            expect([...gradient]).toEqual([...expected[i]!]);
            expect(isShared(gradient)).toBe(false);
            tensor.dropGradient();
          });
        }
        for (const tensor of tensors) tensor.dispose();
      }),
    );
  });

  it('of two leaves are two buffers, because their owners may write to them', () => {
    const [a, b] = [1, 2].map((v) => Tensor.persistent([2], [v, v], true)) as [Tensor, Tensor];
    const { value, tape } = Tape.record(() => add(a, b));
    tape.backward(value, 3);
    expect(a.gradient).not.toBe(b.gradient);
    a.gradient!.fill(0);
    expect([...b.gradient!]).toEqual([3, 3]);
    a.dispose();
    b.dispose();
  });
});

describe('memory on a tape', () => {
  const floats = 4096;
  const map = (): Tensor => Tensor.persistent([1, 32, 32, 4], normals(floats, 'map'), true);

  it('is kept for what a backward rule reads and for nothing else', () => {
    const x = map();
    const held = poolUsage().usedBytes;
    const afterwards = (pass: () => Tensor): number => {
      const { tape } = Tape.record(() => tidy(pass));
      const kept = poolUsage().usedBytes - held;
      tape.dispose();
      return kept / (4 * floats);
    };
    // Sums need nothing: of a chain only the result is there, of a chain of ReLUs every output.
    expect(afterwards(() => add(add(add(x, x), x), x))).toBe(1);
    expect(afterwards(() => relu(relu(relu(x))))).toBe(3);
    expect(afterwards(() => add(relu(add(x, x)), x))).toBe(2);
    x.dispose();
  });

  it('goes back at its last use where nothing is recorded: a chain holds two results at a time', () => {
    const x = map();
    resetPeak();
    const before = poolUsage().usedBytes;
    const deep = chain(
      x,
      Array.from({ length: 10 }, () => relu),
    );
    expect(poolUsage().peakBytes - before).toBe(2 * 4 * floats);
    expect(chain(deep, [])).toBe(deep);
    deep.dispose();
    x.dispose();
  });

  it('of a frozen layer is not kept: its input is not needed for a weight gradient', () => {
    const x = map();
    const kept = [true, false].map((trained) => {
      const w = Tensor.persistent([1, 1, 4, 4], normals(16, 'w'), trained);
      const before = poolUsage().usedBytes;
      const { tape } = Tape.record(() => tidy(() => conv2d(add(x, x), w)));
      const bytes = poolUsage().usedBytes - before;
      tape.dispose();
      w.dispose();
      return bytes / (4 * floats);
    });
    expect(kept).toEqual([2, 1]);
    x.dispose();
  });

  it('peaks are followed from the last reset on', () => {
    const x = map();
    resetPeak();
    const start = poolUsage();
    expect(start.peakBytes).toBe(start.usedBytes);
    tidy(() => relu(relu(x))).dispose();
    expect(poolUsage().peakBytes - start.usedBytes).toBe(2 * 4 * floats);
    x.dispose();
    expect(poolUsage().peakBytes - start.usedBytes).toBe(2 * 4 * floats);
    resetPeak();
    expect(poolUsage().peakBytes).toBe(poolUsage().usedBytes);
  });
});

describe('a checkpoint', () => {
  const parameters = (): Tensor[] => [
    Tensor.persistent([2, 6, 6, 3], normals(216, 'x'), true),
    Tensor.persistent([3, 3, 3, 3], normals(81, 'conv'), true),
    Tensor.persistent([3, 3, 3, 3], normals(81, 'add'), true),
    Tensor.persistent([3], [1, 0.5, 2], true),
    Tensor.persistent([3], [0.1, 0, -0.1], true),
  ];
  let moments = 0;
  const block = (y: Tensor, [, conv, adder, gamma, beta]: readonly Tensor[]): Tensor => {
    const options = { epsilon: 1e-5, relu: true, onMoments: () => void moments++ };
    const norm = (z: Tensor): Tensor => batchNorm(z, gamma!, beta!, options);
    return chain(y, [
      (z) => norm(conv2d(z, conv!, { padding: 1 })),
      (z) => add(norm(l1Conv2d(z, adder!, { padding: 1 })), y, { relu: true }),
    ]);
  };
  const gradientsOf = (
    pass: (own: readonly Tensor[]) => Tensor,
  ): { readonly gradients: Float32Array[]; readonly kept: number; readonly y: Float32Array } => {
    const own = parameters();
    const before = poolUsage().usedBytes;
    const { value, tape } = Tape.record(() => tidy(() => pass(own)));
    const kept = poolUsage().usedBytes - before;
    const y = value.data.slice();
    tape.backward(value, 0.5);
    const gradients = own.map(({ gradient }) => gradient!.slice());
    for (const each of own) each.dispose();
    return { gradients, kept, y };
  };
  const nested = (own: readonly Tensor[]): Tensor =>
    checkpoint([own[0]!], () => {
      const y = checkpoint([own[0]!], () => block(own[0]!, own));
      return checkpoint([y], () => block(y, own));
    });

  it('gives the same bits, keeps less, and shows every pass to statistics once', () => {
    const plain = gradientsOf((own) => block(block(own[0]!, own), own));
    expect(moments).toBe(4);
    const perBlock = gradientsOf((own) =>
      chain(own[0]!, [
        (y) => checkpoint([y], () => block(y, own)),
        (y) => checkpoint([y], () => block(y, own)),
      ]),
    );
    const twice = gradientsOf(nested);
    expect(moments).toBe(12);
    for (const other of [perBlock, twice]) {
      expect(other.y).toEqual(plain.y);
      expect(other.gradients).toEqual(plain.gradients);
    }
    expect(perBlock.kept).toBeLessThan(0.4 * plain.kept);
    expect(twice.kept).toBeLessThan(perBlock.kept);
  });

  it('runs as it stands where nothing is recorded', () => {
    const own = parameters();
    const [plain, checked] = [
      tidy(() => block(own[0]!, own)),
      checkpoint([own[0]!], () => block(own[0]!, own)),
    ];
    expect(checked.data).toEqual(plain.data);
    for (const each of [plain, checked, ...own]) each.dispose();
  });

  it('keeps the places of its ops, and tells them when they run again', () => {
    const x = Tensor.persistent([1], [1], true);
    const seen: boolean[] = [];
    const bad = Tensor.persistent([1, 1, 1, 1], [NaN], true);
    let named: unknown;
    const { value, tape } = Tape.record(() =>
      at('outer', () =>
        checkpoint([x], () => {
          seen.push(isRecomputing());
          // What fails in the second run must be named as in the first.
          named = firstNonFinite(() => conv2d(Tensor.view([1, 1, 1, 1], Float32Array.of(1)), bad));
          return at('inner', () => relu(x));
        }),
      ),
    );
    expect(named).toEqual({ place: 'outer', op: 'conv2d' });
    named = undefined;
    at('elsewhere', () => tape.backward(value));
    expect(named).toEqual({ place: 'outer', op: 'conv2d' });
    expect(seen).toEqual([false, true]);
    expect(isRecomputing()).toBe(false);
    x.dispose();
    bad.dispose();
  });

  it('is nothing around tensors that need no gradient, and around its own input', () => {
    const x = Tensor.persistent([2], [1, 2], true);
    const frozen = Tensor.persistent([2], [1, 2]);
    let runs = 0;
    const { value, tape } = Tape.record(() =>
      tidy(() => {
        const y = checkpoint([frozen], () => {
          runs++;
          return relu(frozen);
        });
        expect(y.requiresGradient).toBe(false);
        expect(checkpoint([x], () => x)).toBe(x);
        return add(x, y);
      }),
    );
    tape.backward(value);
    expect(runs).toBe(1);
    expect([...x.gradient!]).toEqual([1, 1]);
    x.dispose();
    frozen.dispose();
  });

  it('gives everything back when the second run throws', () => {
    const x = Tensor.persistent([2], [1, 2], true);
    const { value, tape } = Tape.record(() =>
      checkpoint([x], () => {
        const y = relu(relu(x));
        if (isRecomputing()) throw new Error('in the middle');
        return y;
      }),
    );
    expect(() => tape.backward(value)).toThrow('in the middle');
    expect(isRecomputing()).toBe(false);
    x.dispose();
  });
});
