/**
 * @file How the layers of a network are dealt to its stages: `[2, 4, 5, 5]` are 2 layers on the widest map, then 4, 5 and 5.
 */

/** Which of the splits a space holds. */
export enum SplitRule {
  /**
   * The first two for each choice of all stages but the last two: the released code stops there, which makes 19 of the 27
   * splits of ShiftAddNAS.
   */
  Published = 'published',
  All = 'all',
}

/** Stages as long as the one before or longer, of 1 to `longest` layers each. */
export interface SplitOptions {
  readonly layers: number;
  readonly stages: number;
  readonly longest: number;
  readonly rule: SplitRule;
}

export type Split = readonly number[];

const taken = 2;

/** The splits in lexicographic order; none when the layers do not fit the stages. */
export function stageSplits({ layers, stages, longest, rule }: SplitOptions): readonly Split[] {
  const all = nonDecreasing(layers, stages, 1, longest);
  if (rule === SplitRule.All) return all;
  const beginnings = new Map<string, number>();
  return all.filter((split) => {
    const beginning = split.slice(0, -2).join('-');
    const before = beginnings.get(beginning) ?? 0;
    beginnings.set(beginning, before + 1);
    return before < taken;
  });
}

function nonDecreasing(layers: number, stages: number, least: number, longest: number): readonly Split[] {
  if (stages === 1) return layers >= least && layers <= longest ? [[layers]] : [];
  const splits: Split[] = [];
  for (let first = least; first <= longest && first * stages <= layers; first++)
    for (const rest of nonDecreasing(layers - first, stages - 1, first, longest))
      splits.push([first, ...rest]);
  return splits;
}

/** The stage of every layer: `[2, 1]` gives `[0, 0, 1]`. */
export function stagesOfLayers(split: Split): readonly number[] {
  return split.flatMap((length, stage) => Array.from({ length }, () => stage));
}
