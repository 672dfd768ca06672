/**
 * @file Which subnet each training step uses: fair to the operator families.
 *
 * Uniform single-path sampling trains the families of a block unequally by chance, and early rankings favour whoever
 * got more updates (FairNAS, arXiv 1907.01845). Steps come in cycles of as many steps as there are families. In a
 * cycle every block visits each family exactly once, in its own random order; whether the block is skipped is drawn
 * once per cycle; widths are drawn per step. So after every cycle all families of a block have had equally many
 * updates.
 */
import { Random } from '../base/random.js';
import { BlockKind } from '../spaces/architecture.js';
import type { Genome } from '../spaces/contract.js';
import type { MiniPosition } from '../spaces/mini/space.js';

/** Probability that a skippable block is left out for a cycle. */
const skipProbability = 0.25;

/** The genome of training step `step`, a pure function of the seed. */
export function fairGenome(positions: readonly MiniPosition[], seed: number, step: number): Genome {
  return positions.map((position, index) => {
    const families = familiesOf(position);
    const cycle = Math.floor(step / families.length);
    const ofCycle = Random.stream(seed, 'sampler', index, cycle);
    const order = ofCycle.shuffle([...families]);
    const skipAt = position.options.findIndex((option) => option.kind === BlockKind.Skip);
    if (skipAt >= 0 && ofCycle.uniform() < skipProbability) return skipAt;
    const family = order[step % families.length];
    const widths = position.options.flatMap((option, at) =>
      option.kind === BlockKind.Residual && option.family === family ? [at] : [],
    );
    return Random.stream(seed, 'sampler', index, cycle, step).pick(widths);
  });
}

/** Operator families among the options of a position, in option order. */
export function familiesOf(position: MiniPosition): readonly string[] {
  return [
    ...new Set(
      position.options.flatMap((option) => (option.kind === BlockKind.Residual ? [option.family] : [])),
    ),
  ];
}
