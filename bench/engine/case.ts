/**
 * @file What a row of the benchmark is made of.
 */

/** What bounds a kernel: one of the processor's arithmetic peaks (elements), or memory (bytes). */
export enum Bound {
  MultiplyAccumulate = 'fma',
  AbsoluteDifference = 'distance',
  ClampedGradient = 'clamp',
  Memory = 'memory',
}

/** Work that a peak puts a least time to. */
export interface Work {
  readonly bound: Bound;
  /** Multiply-accumulates or absolute differences; for memory, bytes read and written. */
  readonly amount: number;
  /** Memory only: bytes of all buffers together, which decides what cache level they come from. */
  readonly footprint?: number;
}

/** A case in the words of the PyTorch side: `kind` names a builder of `peer/`, the rest are its parameters. */
export interface PeerCase {
  readonly kind: string;
  readonly [parameter: string]: string | number | boolean | readonly number[];
}

/** A case ready to run on our side. */
export interface Subject {
  readonly run: () => void;
  /** Results in the order in which the PyTorch side gives them. Absent: not compared. */
  readonly outputs?: () => readonly Float32Array[];
  /** Counts that the PyTorch side must have too (parameters of a network). */
  readonly facts?: Readonly<Record<string, number>>;
  readonly dispose?: () => void;
}

export interface BenchCase {
  readonly name: string;
  /** Heading of the table under which it stands. */
  readonly group: string;
  /** The shape in words. */
  readonly shape: string;
  /** Empty where no peak applies. */
  readonly work: readonly Work[];
  /** Absent where PyTorch has no counterpart. */
  readonly peer?: PeerCase;
  /** Measured longer: a row with a target. */
  readonly headline?: boolean;
  /** Left out unless asked for by name or with --all. */
  readonly extra?: boolean;
  readonly build: () => Subject;
}
