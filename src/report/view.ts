/**
 * @file What every section of the report draws from: the run with names, colours, units and candidates settled once.
 */
import { familyNamed } from '../operators/registry.js';
import { symbolCircle, symbolDiamond, symbolSquare, symbolStar, symbolTriangle, symbolWye } from 'd3-shape';
import type { SymbolType } from 'd3-shape';
import type {
  BudgetRecord,
  CandidateEvent,
  NetworkResult,
  NoticeEvent,
  RunEvent,
  RunResult,
  TrainingEvent,
} from '../pipeline/run/result.js';
import type { Architecture } from '../spaces/architecture.js';
import { type Unit, byteUnit, energyUnit, latencyUnit, squareMillimetres, withUnit } from './format.js';
import { safeColour } from './markup.js';

/** How an operator family is shown; an `OperatorFamily` is one. */
export interface FamilyStyle {
  readonly name: string;
  readonly title: string;
  readonly colour: string;
}

/** What is known of a run before its result exists. */
export interface ReportHeader {
  readonly name: string;
  readonly dataset?: string;
  readonly profile?: string;
  readonly seed?: number;
  readonly command?: string;
  /** Resolved limits. */
  readonly budget?: readonly BudgetRecord[];
  /** The budget as the user wrote it (`energy=50%`), which may be relative to a network not priced yet. */
  readonly budgetAsGiven?: string;
}

/** How a network is marked in every chart. */
export interface NetworkStyle {
  readonly colour: string;
  readonly symbol: SymbolType;
  /** SVG `stroke-dasharray`; empty for a solid line. */
  readonly dash: string;
}

export interface NetworkView extends NetworkStyle {
  readonly network: NetworkResult;
}

export interface RunView {
  readonly result: RunResult | undefined;
  readonly header: ReportHeader;
  /** Data set, profile and seed: stands under every figure. */
  readonly provenance: string;
  readonly budget: readonly BudgetRecord[];
  readonly families: readonly FamilyStyle[];
  /** In order of evaluation, each (generation, genome) once. */
  readonly candidates: readonly CandidateEvent[];
  /** Candidate events left out because a resumed run recorded them again. */
  readonly repeated: number;
  readonly training: readonly TrainingEvent[];
  readonly notices: readonly string[];
  readonly networks: readonly NetworkView[];
  readonly energy: Unit;
  readonly latency: Unit;
  readonly architectureOf: ((genome: readonly number[]) => Architecture) | undefined;
}

/** Name of the network that the search found; the others are its baselines. */
export const foundName = 'hybrid';

/** Gathers and orders what the sections need. */
export function viewOf(
  result: RunResult | undefined,
  events: readonly RunEvent[],
  families: readonly FamilyStyle[],
  header: ReportHeader,
  architectureOf?: (genome: readonly number[]) => Architecture,
): RunView {
  const known: ReportHeader =
    result === undefined
      ? header
      : {
          name: result.name,
          dataset: result.dataset.name,
          profile: result.profile,
          seed: result.seed,
          command: result.command,
          budget: result.budget,
        };
  const recorded = events.filter((event): event is CandidateEvent => event.type === 'candidate');
  const candidates = eachOnce(recorded);
  const styles = families.map((family) => ({ ...family, colour: safeColour(family.colour) }));
  const networks = result?.networks ?? [];
  const baselines = networks.map(({ name }) => name).filter((name) => name !== foundName);
  const notices = events.filter((event): event is NoticeEvent => event.type === 'notice');
  return {
    result,
    header: known,
    provenance: [
      `data set ${known.dataset ?? 'not recorded yet'}`,
      `profile ${known.profile ?? 'not recorded yet'}`,
      `seed ${known.seed ?? 'not recorded yet'}`,
    ].join(' · '),
    budget: known.budget ?? [],
    families: styles,
    candidates,
    repeated: recorded.length - candidates.length,
    training: events.filter((event): event is TrainingEvent => event.type === 'training'),
    notices: [...new Set([...(result?.dataset.notices ?? []), ...notices.map(({ message }) => message)])],
    networks: networks.map((network) => ({
      network,
      ...styleOf(network, baselines.indexOf(network.name), styles),
    })),
    energy: energyUnit([
      ...candidates.map(({ energyMj }) => energyMj),
      ...networks.map((network) => network.energyMj[known.profile ?? ''] ?? 0),
    ]),
    latency: latencyUnit([
      ...candidates.map(({ latencyMs }) => latencyMs),
      ...networks.map((network) => network.latencyMs[known.profile ?? ''] ?? 0),
    ]),
    architectureOf,
  };
}

function eachOnce(candidates: readonly CandidateEvent[]): readonly CandidateEvent[] {
  const seen = new Set<string>();
  return candidates.filter(({ generation, genome }) => {
    const key = `${generation}:${genome.join()}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

// Shapes and dashes differ too, so that no figure depends on telling colours apart.
const baselineSymbols = [symbolSquare, symbolTriangle, symbolDiamond, symbolCircle, symbolWye];
const baselineDashes = ['', '7 3', '2 3', '9 3 2 3', '14 3'];

/** A network of one family is drawn in the family's colour, the found one in the report's own. */
function styleOf(network: NetworkResult, at: number, families: readonly FamilyStyle[]): NetworkStyle {
  if (network.name === foundName) return { colour: 'var(--found)', symbol: symbolStar, dash: '' };
  const used = new Set(
    network.architecture.blocks.flatMap(({ family }) => (family === undefined ? [] : [family])),
  );
  const only = used.size === 1 ? [...used][0] : undefined;
  return {
    colour: only === undefined ? 'var(--muted)' : familyStyle({ families }, only).colour,
    symbol: baselineSymbols[at % baselineSymbols.length]!,
    dash: baselineDashes[at % baselineDashes.length]!,
  };
}

/** The style of a family, also of one that is not registered any more. */
export function familyStyle(view: Pick<RunView, 'families'>, name: string): FamilyStyle {
  return view.families.find((family) => family.name === name) ?? unlistedStyle(name);
}

/** Of families with operands of few bits, which are in no list; grey for a name that means nothing. */
function unlistedStyle(name: string): FamilyStyle {
  try {
    const { title, colour } = familyNamed(name);
    return { name, title, colour: safeColour(colour) };
  } catch {
    return { name, title: name, colour: '#808890' };
  }
}

/** A family's title without what stands in brackets, for narrow places. */
export function shortTitle(family: FamilyStyle): string {
  return family.title.replace(/\s*\(.*\)$/, '') || family.name;
}

/** True when the candidate keeps every limit of the budget that it records. */
export function keepsBudget(candidate: CandidateEvent, budget: readonly BudgetRecord[]): boolean {
  return budget.every(({ quantity, limit }) => {
    const value = quantityOf(candidate, quantity);
    return value === undefined || value <= limit;
  });
}

/** The candidate's value of a budget quantity, undefined when it records none of that name. */
export function quantityOf(candidate: CandidateEvent, quantity: string): number | undefined {
  switch (quantity) {
    case 'energyMj':
      return candidate.energyMj;
    case 'latencyMs':
      return candidate.latencyMs;
    case 'macs':
      return candidate.macs;
    case 'params':
      return candidate.params;
    case 'areaMm2':
      return candidate.areaMm2;
    case 'sramBytes':
      return candidate.sramBytes;
    case 'flashBytes':
      return candidate.flashBytes;
    default:
      return undefined;
  }
}

/** `energy ≤ 0.4 mJ`, `params ≤ 20,000`. */
export function budgetText({ quantity, limit }: BudgetRecord): string {
  switch (quantity) {
    case 'energyMj':
      return `energy ≤ ${withUnit(limit, energyUnit([limit]))}`;
    case 'latencyMs':
      return `latency ≤ ${withUnit(limit, latencyUnit([limit]))}`;
    case 'macs':
      return `operations ≤ ${limit.toLocaleString('en-US')}`;
    case 'params':
      return `parameters ≤ ${limit.toLocaleString('en-US')}`;
    case 'areaMm2':
      return `area ≤ ${withUnit(limit, squareMillimetres)}`;
    case 'sramBytes':
      return `SRAM ≤ ${withUnit(limit, byteUnit([limit]))}`;
    case 'flashBytes':
      return `flash ≤ ${withUnit(limit, byteUnit([limit]))}`;
    default:
      return `${quantity} ≤ ${limit.toLocaleString('en-US')}`;
  }
}
