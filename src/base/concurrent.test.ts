import { describe, expect, it } from 'vitest';
import { mapConcurrently } from './concurrent.js';

const pause = (ms: number): Promise<void> => new Promise((resume) => setTimeout(resume, ms));

describe('mapConcurrently', () => {
  it.each([1, 2, 3, 10])('gives results in the order of the items, %i at once at most', async (limit) => {
    let running = 0;
    let most = 0;
    const results = await mapConcurrently([5, 1, 4, 2, 3], limit, async (item, index) => {
      most = Math.max(most, ++running);
      await pause(item);
      running--;
      return `${index}:${item}`;
    });
    expect(results).toEqual(['0:5', '1:1', '2:4', '3:2', '4:3']);
    expect(most).toBe(Math.min(limit, 5));
  });

  it('begins nothing after a failure, waits for what is in progress, and throws the first failure', async () => {
    const begun: number[] = [];
    const ended: number[] = [];
    const failing = mapConcurrently([0, 1, 2, 3], 2, async (item) => {
      begun.push(item);
      await pause(item === 1 ? 1 : 10);
      ended.push(item);
      throw new Error(`item ${item}`);
    });
    await expect(failing).rejects.toThrow('item 1');
    expect(begun).toEqual([0, 1]);
    expect(ended).toEqual([1, 0]);
  });

  it('makes nothing of nothing', async () => {
    expect(await mapConcurrently([], 4, () => 1)).toEqual([]);
  });
});
