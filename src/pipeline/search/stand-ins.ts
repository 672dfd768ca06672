/**
 * @file Where networks of one family have blocks of another, because the space does not offer the family there.
 */
import { familyNamed } from '../../operators/registry.js';
import { BlockKind } from '../../spaces/architecture.js';
import type { NetworkResult, RunResult } from '../run/result.js';

/** `all-shift: 2 of 8 blocks are conv, because the space offers no shift there`, for each such network of a run. */
export function standInNotes({ networks, space }: Pick<RunResult, 'networks' | 'space'>): readonly string[] {
  return networks.flatMap((network) => {
    const family = space.families.find((name) => `all-${familyNamed(name).shortName}` === network.name);
    const note = family === undefined ? undefined : noteOf(network, family);
    return note ?? [];
  });
}

function noteOf({ name, architecture }: NetworkResult, family: string): string | undefined {
  // Adapters are part of no choice; blocks without a family are left out.
  const families = architecture.blocks.flatMap((block) =>
    block.kind === BlockKind.Adapter ? [] : (block.family ?? []),
  );
  const others = families.filter((each) => each !== family);
  if (others.length === 0) return undefined;
  const named = [...new Set(others)].map((each) => familyNamed(each).shortName);
  const verb = others.length === 1 ? 'block is' : 'blocks are';
  return `${name}: ${others.length} of ${families.length} ${verb} ${named.join(', ')}, because the space offers no ${familyNamed(family).shortName} there`;
}
