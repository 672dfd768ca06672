/**
 * @file Small machines and layers that tests share.
 */
import { Primitive, type LayerDescription } from '../layer.js';
import { machineSchema, type Machine } from './machine.js';

export function toyLayer(sizes: Partial<LayerDescription> = {}): LayerDescription {
  const { outHeight = 4, outWidth = 4, stride = 1 } = sizes;
  return {
    name: 'toy',
    primitive: Primitive.Multiply,
    fullyConnected: false,
    batch: 1,
    inHeight: outHeight * stride,
    inWidth: outWidth * stride,
    inChannels: 4,
    kernel: 1,
    outHeight,
    outWidth,
    outChannels: 4,
    stride,
    groups: 1,
    operandBits: { weight: 8, activation: 8, partialSum: 32 },
    ...sizes,
  };
}

/** Main memory, a buffer of `bufferWords`, an x by y array of elements with `registerWords` for all three tensors. */
export function toyMachine(
  options: {
    readonly bufferWords?: number;
    readonly registerWords?: number;
    readonly x?: number;
    readonly y?: number;
    readonly dramWordsPerCycle?: number;
    readonly bufferWordsPerCycle?: number;
  } = {},
): Machine {
  const {
    bufferWords = 24,
    registerWords = 6,
    x = 2,
    y = 2,
    dramWordsPerCycle = 2,
    bufferWordsPerCycle = 4,
  } = options;
  const source = 'test';
  const access = (pj: number): object => ({ readPj: pj, fillPj: pj, updatePj: pj, drainPj: pj, source });
  const keeps = ['weights', 'inputs', 'outputs'];
  const port = (wordsPerCycle: number): object => ({
    tensors: keeps,
    directions: ['read', 'write', 'drain'],
    wordsPerCycle,
    source,
  });
  return machineSchema.parse({
    schemaVersion: 1,
    name: 'toy',
    description: 'toy',
    source,
    clockMhz: { value: 100, source },
    operandWidths: 'word',
    haloReuse: 'consecutive',
    arithmetic: { operations: [{ primitive: 'multiply', bits: 8, pj: 1, source }] },
    levels: [
      {
        name: 'dram',
        storage: { keeps, wordBits: 8, access: access(100), ports: [port(dramWordsPerCycle)] },
      },
      {
        name: 'buffer',
        storage: {
          keeps,
          wordBits: 8,
          capacity: { words: bufferWords, source },
          access: access(6),
          ports: [port(bufferWordsPerCycle)],
        },
        ...(x * y > 1 ? { fanout: { x, y, source, network: { pjPerWord: 2, wordBits: 8, source } } } : {}),
      },
      {
        name: 'registers',
        storage: { keeps, wordBits: 8, capacity: { words: registerWords, source }, access: access(1) },
      },
    ],
  });
}
