/**
 * @file One case, measured on both sides in turns: ours, PyTorch, ours, PyTorch, for every number of threads, so that
 * whatever else the machine does slows all of them alike.
 *
 * A turn begins with a pause, in which the other side's idle threads stop spinning, and an untimed call. One thread is
 * timed by processor time, which leaves out what others take of a shared machine; several threads by the clock.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { BenchCase, Subject } from './case.js';
import { agree, digest } from './inputs.js';
import { PeerCaseError, type Peer, type Prepared } from './peer.js';
import type { Samples } from './statistics.js';
import { clockOf, useThreads } from './threads.js';

/** How much time goes into a case. */
export interface Effort {
  /** Turns of each side and number of threads. */
  readonly turns: number;
  /** About how long one side is timed on one number of threads. */
  readonly budgetMs: number;
}

export interface Measurement {
  readonly threads: number;
  readonly ours: Samples;
  /** Calls that one repetition of ours averages. */
  readonly calls: number;
  readonly torch: (Prepared & { readonly samples: Samples }) | undefined;
}

export interface Comparison {
  readonly measurements: readonly Measurement[];
  /** What was wrong with the PyTorch side, or with the results of the two; in one line each. */
  readonly problems: readonly string[];
}

const pauseMs = 8;
/** A repetition lasts at least this long: clocks tick, and short calls are averaged. */
const repetitionMs = 1;
/** Calls longer than this need no untimed one before them. */
const longMs = 100;
/** Calls longer than this are timed in so many turns only: the L1 layers of PyTorch take seconds. */
const slowMs = 1000;
const slowTurns = 3;
const mostPerTurn = 12;

/** How one side is timed: turns, calls per repetition, repetitions per turn, and whether a turn begins untimed. */
interface Plan {
  readonly turns: number;
  readonly calls: number;
  readonly samples: number;
  readonly warmUp: boolean;
}

export function planFor(callMs: number, { turns, budgetMs }: Effort): Plan {
  const calls = Math.max(1, Math.min(10_000, Math.ceil(repetitionMs / Math.max(callMs, 1e-4))));
  const fitting = Math.floor(budgetMs / turns / (callMs * calls));
  return {
    turns: callMs > slowMs ? Math.min(turns, slowTurns) : turns,
    calls,
    samples: Math.max(1, Math.min(mostPerTurn, fitting)),
    warmUp: callMs < longMs,
  };
}

/** @throws PeerGoneError when the PyTorch process ends meanwhile */
export async function compare(
  benchCase: BenchCase,
  threadCounts: readonly number[],
  effort: Effort,
  peer: Peer | undefined,
): Promise<Comparison> {
  const subject = benchCase.build();
  const problems: string[] = [];
  try {
    const sides = [];
    for (const threads of threadCounts) {
      await useThreads(threads);
      const ours = planFor(warmUp(subject.run, threads), effort);
      const torch = await prepare(benchCase, subject, threads, peer, problems);
      sides.push({
        threads,
        ours: { plan: ours, samples: none() },
        torch: torch && {
          prepared: torch,
          plan: planFor(torch.forms[torch.form] as number, effort),
          samples: none(),
        },
      });
    }
    for (let turn = 0; turn < effort.turns; turn++)
      for (const { threads, ours, torch } of sides) {
        await pause(pauseMs);
        await useThreads(threads);
        append(ours.samples, repeat(subject.run, threads, ours.plan));
        if (torch === undefined || peer === undefined || turn >= torch.plan.turns) continue;
        await pause(pauseMs);
        const { calls, samples, warmUp } = torch.plan;
        append(torch.samples, await peer.time({ threads, calls, samples, warmUp }));
      }
    return {
      measurements: sides.map(({ threads, ours, torch }) => ({
        threads,
        ours: ours.samples,
        calls: ours.plan.calls,
        torch: torch && { ...torch.prepared, samples: torch.samples },
      })),
      problems,
    };
  } finally {
    subject.dispose?.();
    await peer?.release().catch(() => undefined);
  }
}

async function prepare(
  { name, peer: peerCase }: BenchCase,
  subject: Subject,
  threads: number,
  peer: Peer | undefined,
  problems: string[],
): Promise<Prepared | undefined> {
  if (peer === undefined || peerCase === undefined) return undefined;
  try {
    const prepared = await peer.prepare(peerCase, threads);
    problems.push(...disagreements(name, subject, prepared));
    return prepared;
  } catch (error) {
    if (!(error instanceof PeerCaseError)) throw error;
    problems.push(`${name}: PyTorch cannot do it here (${error.message})`);
    return undefined;
  }
}

/** Where the two sides did not compute the same thing. */
function disagreements(name: string, subject: Subject, { digests, facts }: Prepared): readonly string[] {
  const ours = subject.outputs?.();
  const problems: string[] = [];
  ours?.forEach((output, i) => {
    const theirs = digests?.[i];
    if (theirs !== undefined && !agree(digest(output), theirs))
      problems.push(
        `${name}: result ${i + 1} differs from PyTorch's (${digest(output).join(', ')}; ${theirs.join(', ')})`,
      );
  });
  for (const [fact, value] of Object.entries(subject.facts ?? {}))
    if (facts[fact] !== value)
      problems.push(`${name}: ${fact} ${value}, but PyTorch's network has ${facts[fact]}`);
  return problems;
}

const none = (): { ms: number[]; disturbed: boolean[] } => ({ ms: [], disturbed: [] });

function append(to: { ms: number[]; disturbed: boolean[] }, more: Samples): void {
  to.ms.push(...more.ms);
  to.disturbed.push(...more.disturbed);
}

/** First calls: they fault pages in, compile and start threads. Returns the milliseconds of one call. */
function warmUp(run: () => void, threads: number): number {
  const once = { calls: 1, samples: 1, warmUp: false };
  let best = repeat(run, threads, once).ms[0] as number;
  // A call that takes microseconds shows its speed only after many of them.
  for (let spent = best, i = 0; i < 3 || (spent < 20 && i < 2000); i++) {
    const ms = repeat(run, threads, once).ms[0] as number;
    best = Math.min(best, ms);
    spent += ms;
    if (best > longMs) break;
  }
  return best;
}

function repeat(
  run: () => void,
  threads: number,
  { calls, samples, warmUp: untimed }: Omit<Plan, 'turns'>,
): Samples {
  const now = clockOf(threads);
  const result = none();
  if (untimed) run();
  for (let sample = 0; sample < samples; sample++) {
    const before = process.resourceUsage().involuntaryContextSwitches;
    const start = now();
    for (let i = 0; i < calls; i++) run();
    result.ms.push((now() - start) / calls);
    result.disturbed.push(process.resourceUsage().involuntaryContextSwitches > before);
  }
  return result;
}
