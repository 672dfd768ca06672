/**
 * @file The contract of a search space: genome <-> architecture, and the moves of a search.
 *
 * A genome is one option index per position, and every such list is one: moves that know no more of a space than
 * `optionCounts` cannot leave it. Where what a position offers depends on another one, several genomes stand for the same
 * architecture, and `canonical` names one of them. Spaces are finite and know their exact size. Nothing above this floor knows
 * what the options of a space mean.
 */
import type { Random } from '../base/random.js';
import type { Architecture } from './architecture.js';

export type Genome = readonly number[];

/** What an option makes of the block of its position. */
export interface BlockChoice {
  /** Operator family; undefined for a block that is left out. */
  readonly family: string | undefined;
  /** Grows with the width of the block and of its kernels; options of one family and size differ in nothing. */
  readonly size: number;
}

export interface SearchSpace {
  readonly name: string;
  /** A string that changes whenever genomes of another space would mean something else (name and every option). */
  readonly identity: string;
  /** What the space was made with, every default filled in; absent where it was declared as a whole. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Number of options at each position. */
  readonly optionCounts: readonly number[];
  /**
   * Positions that say what the others mean (how many layers a stage has); the cost of a network is a sum over the others.
   * No two of them say something of the same position. Absent: none.
   */
  readonly structure?: readonly number[];
  /** Operator families that blocks choose from, in the order in which they are listed to people. */
  readonly families: readonly string[];
  /** Exact number of architectures, which is that of canonical genomes. */
  readonly size: bigint;
  /** The genome that stands for all with the same architecture; itself where it is the only one. */
  canonical(genome: Genome): Genome;
  /** Uniform over the architectures; canonical, as what the moves below make of canonical genomes is. */
  sample(random: Random): Genome;
  /** Each gene is redrawn uniformly with probability `rate` (cv-search: 0.2). */
  mutate(genome: Genome, rate: number, random: Random): Genome;
  /** Each gene from one of the two parents at even odds, where positions do not depend on each other. */
  crossover(first: Genome, second: Genome, random: Random): Genome;
  /** The resolved architecture, with its canonical genome. Throws on an illegal genome. */
  architecture(genome: Genome): Architecture;
  /** What an option means where the structure offers it; undefined at positions of structure. */
  choice(position: number, option: number): BlockChoice | undefined;
  /** One human-readable label per position and option, for example `add x0.5`. */
  optionLabel(position: number, option: number): string;
}
