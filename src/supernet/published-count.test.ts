import { describe, expect, it } from 'vitest';
import { createHytraImagenet } from '../spaces/hytra/space.js';
import { PublishedSharing, publishedSupernetParameters, reachableCandidates } from './published-count.js';

describe('the published supernets', () => {
  it.each([
    [PublishedSharing.None, 615_390_116],
    [PublishedSharing.Add, 489_823_652],
    [PublishedSharing.AddShiftBoth, 238_675_876],
    [PublishedSharing.AddShift, 238_503_844],
    [PublishedSharing.AddShiftOwnSigns, 364_242_340],
  ])('have the logged parameters when shared as %s (cv-search 1.4)', (sharing, logged) => {
    expect(publishedSupernetParameters(sharing)).toBe(logged);
  });

  it('hold 224 candidates, of which networks visit 91 (cv-search 1.2)', () => {
    const space = createHytraImagenet();
    expect(reachableCandidates(space).reachable).toBe(91);
    const stages = space.options.stageFamilies;
    const all = createHytraImagenet({ stageFamilies: [stages[0]!, stages[1]!, stages[2]!, stages[2]!] });
    expect(reachableCandidates(all).all).toBe(224);
  });
});
