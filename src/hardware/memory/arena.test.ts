import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultAlignment, PlanOrder, planArena, planOrders, type ArenaPlan } from './arena.js';
import { buffersOf, type ActivationGraph, type Buffer } from './graph.js';

const lives = fc
  .record({
    bytes: fc.integer({ min: 1, max: 60 }),
    firstStep: fc.integer({ min: -1, max: 12 }),
    steps: fc.nat(5),
  })
  .map(({ bytes, firstStep, steps }) => ({ bytes, firstStep, lastStep: firstStep + steps }));
const someBuffers = (most: number, mostBytes = 60) =>
  fc
    .array(
      lives.map((each) => ({ ...each, bytes: 1 + (each.bytes % mostBytes) })),
      { minLength: 1, maxLength: most },
    )
    .map((all): Buffer[] =>
      all.toSorted((a, b) => a.firstStep - b.firstStep).map((each, at) => ({ tensors: [`t${at}`], ...each })),
    );

/** Byte by byte and step by step, without the planner's own idea of overlap. */
function expectSound({ buffers, bytes, boundBytes }: ArenaPlan, alignment: number): void {
  const end = Math.max(...buffers.map(({ offset, alignedBytes }) => offset + alignedBytes));
  expect(bytes).toBe(end);
  let most = 0;
  for (let step = -1; step <= 20; step++) {
    const owner = new Array<number | undefined>(bytes).fill(undefined);
    let alive = 0;
    buffers.forEach(({ offset, bytes: size, alignedBytes, firstStep, lastStep }, at) => {
      expect(offset % alignment).toBe(0);
      expect(alignedBytes).toBe(Math.ceil(size / alignment) * alignment);
      if (step < firstStep || step > lastStep) return;
      alive += alignedBytes;
      for (let byte = offset; byte < offset + size; byte++) {
        expect(owner[byte]).toBeUndefined();
        owner[byte] = at;
      }
    });
    most = Math.max(most, alive);
  }
  expect(boundBytes).toBe(most);
  expect(bytes).toBeGreaterThanOrEqual(most);
}

describe('an arena', () => {
  it.each(planOrders)('never lets two live buffers overlap, placed by %s', (order) => {
    fc.assert(
      fc.property(someBuffers(14), fc.constantFrom(1, 4, 16), (buffers, alignment) => {
        expectSound(planArena(buffers, { order, alignment }), alignment);
      }),
    );
  });

  it('is no larger by the better order than by either, and the same every time', () => {
    fc.assert(
      fc.property(someBuffers(14), (buffers) => {
        const sizeOf = (order: PlanOrder): number => planArena(buffers, { order }).bytes;
        const best = planArena(buffers);
        expect(best.bytes).toBeLessThanOrEqual(Math.min(sizeOf(PlanOrder.Size), sizeOf(PlanOrder.Time)));
        expect(planArena(buffers)).toEqual(best);
      }),
    );
  });

  it('is the smallest there is for a few buffers', () => {
    fc.assert(
      fc.property(someBuffers(6, 7), (buffers) => {
        expect(planArena(buffers, { alignment: 1 }).bytes).toBe(smallestArena(buffers));
      }),
      { numRuns: 200 },
    );
  });

  it('by size alone can miss the best, and says how far it is from the bound', () => {
    // Found by search: the largest first leaves a hole that the middle ones do not fill.
    const found = fc.sample(someBuffers(9), { numRuns: 3000, seed: 7 }).find((buffers) => {
      const plan = planArena(buffers, { order: PlanOrder.Size, alignment: 1 });
      return plan.bytes > planArena(buffers, { alignment: 1 }).bytes;
    });
    expect(found).toBeDefined();
  });

  it('aligns to 16 bytes unless told otherwise, and refuses what is no alignment', () => {
    const buffers: Buffer[] = [{ tensors: ['a'], bytes: 17, firstStep: 0, lastStep: 1 }];
    expect(planArena(buffers).bytes).toBe(2 * defaultAlignment);
    expect(planArena(buffers, { alignment: 1 }).bytes).toBe(17);
    expect(() => planArena(buffers, { alignment: 0 })).toThrow(RangeError);
    expect(planArena([]).bytes).toBe(0);
  });
});

/** Branch and bound over every offset, one buffer after the other: the oracle. */
function smallestArena(buffers: readonly Buffer[]): number {
  let best = buffers.reduce((sum, { bytes }) => sum + bytes, 0);
  const aliveAt = (step: number): number =>
    buffers.reduce(
      (sum, { bytes, firstStep, lastStep }) => (firstStep <= step && step <= lastStep ? sum + bytes : sum),
      0,
    );
  const bound = Math.max(...buffers.map(({ firstStep }) => aliveAt(firstStep)));
  const place = (
    placed: readonly { buffer: Buffer; offset: number }[],
    rest: readonly Buffer[],
    top: number,
  ): void => {
    if (top >= best || best === bound) return;
    const [next, ...others] = rest;
    if (next === undefined) {
      best = top;
      return;
    }
    for (let offset = 0; offset + next.bytes < best; offset++) {
      const clash = placed.some(
        ({ buffer, offset: at }) =>
          !(buffer.lastStep < next.firstStep || next.lastStep < buffer.firstStep) &&
          at < offset + next.bytes &&
          offset < at + buffer.bytes,
      );
      if (!clash) place([...placed, { buffer: next, offset }], others, Math.max(top, offset + next.bytes));
    }
  };
  place(
    [],
    buffers.toSorted((a, b) => b.bytes - a.bytes),
    0,
  );
  return best;
}

describe('the buffers of a graph', () => {
  const tensor = (name: string, bytes = 8) => ({ name, bytes });
  const chain = (sizes: readonly number[]): ActivationGraph => ({
    inputs: [tensor('x0', sizes[0]!)],
    steps: sizes
      .slice(1)
      .map((bytes, at) => ({ name: `s${at}`, inputs: [`x${at}`], output: tensor(`x${at + 1}`, bytes) })),
    outputs: [`x${sizes.length - 1}`],
  });

  it('of a chain need the largest pair of neighbours, which two ends of the arena give', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 2, maxLength: 20 }), (sizes) => {
        const plan = planArena(buffersOf(chain(sizes)), { alignment: 1 });
        const pairs = sizes.slice(1).map((size, at) => size + sizes[at]!);
        expect(plan.boundBytes).toBe(Math.max(...pairs));
        expect(plan.bytes).toBe(plan.boundBytes);
        expect(plan.boundStep).toBe(pairs.indexOf(Math.max(...pairs)));
      }),
    );
  });

  it('live from the step that writes them to the last that reads them', () => {
    const graph: ActivationGraph = {
      inputs: [tensor('x')],
      steps: [
        { name: 'a', inputs: ['x'], output: tensor('y') },
        { name: 'b', inputs: ['y'], output: tensor('unread') },
        { name: 'join', inputs: ['y', 'x'], output: tensor('z'), mayOverwrite: ['y', 'x'] },
      ],
      outputs: ['z'],
    };
    expect(buffersOf(graph)).toEqual([
      { tensors: ['x'], bytes: 8, firstStep: -1, lastStep: 2 },
      { tensors: ['y', 'z'], bytes: 8, firstStep: 0, lastStep: 3 },
      { tensors: ['unread'], bytes: 8, firstStep: 1, lastStep: 1 },
    ]);
  });

  it('are shared only where the input is read for the last time and is large enough', () => {
    const relu = (bytes: number, outputs: readonly string[]): readonly Buffer[] =>
      buffersOf({
        inputs: [tensor('x')],
        steps: [{ name: 'relu', inputs: ['x'], output: tensor('y', bytes), mayOverwrite: ['x'] }],
        outputs,
      });
    expect(relu(8, ['y'])).toHaveLength(1);
    expect(relu(4, ['y'])).toHaveLength(1);
    expect(relu(9, ['y'])).toHaveLength(2);
    expect(relu(8, ['x', 'y'])).toHaveLength(2);
  });

  it('cannot be told of a graph that makes no sense', () => {
    const graph = (part: Partial<ActivationGraph>): ActivationGraph => ({
      inputs: [tensor('x')],
      steps: [],
      outputs: ['x'],
      ...part,
    });
    const step = (name: string, from: string, output = tensor(name)) => ({ name, inputs: [from], output });
    expect(() => buffersOf(graph({ steps: [step('a', 'nobody')] }))).toThrow(
      /step 'a' reads 'nobody', which nothing has written/,
    );
    expect(() => buffersOf(graph({ steps: [step('x', 'x')] }))).toThrow(/tensor 'x' is written twice/);
    expect(() => buffersOf(graph({ outputs: ['z'] }))).toThrow(/output 'z' is written by no step/);
    expect(() => buffersOf(graph({ inputs: [tensor('x', 0)] }))).toThrow(/'x' has 0 bytes/);
  });
});
