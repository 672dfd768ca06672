/**
 * @file `report.html`, made from a run's result and events. Without the script every chart is still there; the script
 * adds tooltips and the blocks of a clicked candidate.
 */
import type { RunEvent, RunResult } from '../pipeline/run/result.js';
import { type Architecture, BlockKind } from '../spaces/architecture.js';
import { architectureSection, blockLines } from './architecture.js';
import { comparisonSection, headline } from './comparison.js';
import { controlFigures } from './control.js';
import { curvesSection } from './curves.js';
import { factsSection, noticeList } from './facts.js';
import { integer, percent, withUnit } from './format.js';
import { histogramSection } from './histograms.js';
import { layersSection } from './layers.js';
import { renderPage } from './frame.js';
import { type Content, html } from './markup.js';
import { type DrawnCandidates, chooseDrawn, scatterSection } from './scatter.js';
import { trajectorySection } from './trajectory.js';
import {
  type FamilyStyle,
  type ReportHeader,
  type RunView,
  familyStyle,
  keepsBudget,
  viewOf,
} from './view.js';

export interface ReportOptions {
  /** What is known of a run that has no result yet; a result speaks for itself. */
  readonly header?: ReportHeader;
  /** Resolves a candidate's genome, so that a click can show its blocks. Without it the genome itself is shown. */
  readonly architectureOf?: (genome: readonly number[]) => Architecture;
  /** Things a reader of the report should know, for example lines of the event log that could not be read. */
  readonly remarks?: readonly string[];
}

/**
 * The report as HTML text. `result` is undefined while a run goes on or when it was stopped; then the page shows what
 * the events hold under a banner that says so. `families` are the registered operator families.
 */
export function renderReport(
  result: RunResult | undefined,
  events: readonly RunEvent[],
  families: readonly FamilyStyle[],
  options: ReportOptions = {},
): string {
  const header = options.header ?? { name: 'run' };
  const view = viewOf(result, events, families, header, options.architectureOf);
  const drawn = view.candidates.length > 0 ? chooseDrawn(view) : { indices: [], cell: 0 };
  const notices = [...view.notices, ...(options.remarks ?? [])];
  const sections: readonly (readonly [id: string, title: string, content: Content])[] = [
    ['networks', 'Networks compared', comparisonSection(view)],
    ['tradeoff', 'Accuracy against cost', scatterSection(view, drawn)],
    ['trajectory', 'Search trajectory', [trajectorySection(view), controlFigures(view)]],
    ['architecture', 'Found architecture', architectureSection(view)],
    ['energy', 'Where the energy goes', layersSection(view)],
    ['weights', 'Weights', histogramSection(view)],
    ['training', 'Training', curvesSection(view)],
    ['facts', 'Run facts', [noticeList(notices), factsSection(view)]],
  ];
  return renderPage({
    title: `${view.header.name} – architecture search report`,
    heading: view.header.name,
    introduction: [
      result === undefined &&
        html`<p class="banner" role="status">
          <b>This run is not finished.</b> It is still going or was stopped; the report shows what has been
          recorded so far.
        </p>`,
      headline(view),
    ],
    sections: sections.map(([id, title, content]) => ({ id, title, content })),
    footer:
      "Made by shiftaddnas from the run's own files. Energies and latencies are computed by cost models, not measured on a chip.",
    data: clientData(view, drawn),
  });
}

/**
 * What the script shows of a clicked candidate, ready to print. Blocks repeat between candidates, so each distinct
 * one is stored once and candidates refer to it by number.
 */
function clientData(view: RunView, { indices }: DrawnCandidates): unknown {
  const blocks: string[][] = [];
  const numbers = new Map<string, number>();
  const numberOf = (block: string[]): number => {
    const key = block.join('\n');
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, blocks.length);
    return blocks.push(block) - 1;
  };
  const candidates = indices.map((at) => {
    const candidate = view.candidates[at]!;
    const architecture = resolve(view, candidate.genome);
    return {
      t: [
        percent(candidate.accuracy),
        withUnit(candidate.energyMj, view.energy),
        withUnit(candidate.latencyMs, view.latency),
        integer(candidate.macs),
        integer(candidate.params),
        `${candidate.generation} (${candidate.origin})`,
        ...(view.budget.length === 0 ? [] : [keepsBudget(candidate, view.budget) ? 'yes' : 'no']),
      ],
      g: candidate.genome.join(' '),
      b: (architecture?.blocks ?? []).map((block) => {
        const family = block.family === undefined ? undefined : familyStyle(view, block.family);
        const title = block.kind === BlockKind.Skip ? 'skip' : (family?.title ?? '');
        return numberOf([block.name, title, blockLines(block).join(', '), family?.colour ?? '']);
      }),
    };
  });
  const labels = [
    'search-validation accuracy',
    'energy',
    'latency',
    'operations',
    'parameters',
    'generation',
  ];
  return {
    labels: view.budget.length === 0 ? labels : [...labels, 'within budget'],
    provenance: view.provenance,
    blocks,
    candidates,
  };
}

/** The candidate's architecture; undefined when the space does not know the genome (another version wrote the run). */
function resolve(view: RunView, genome: readonly number[]): Architecture | undefined {
  const known = view.networks.find(({ network }) => network.architecture.genome?.join() === genome.join());
  if (known !== undefined) return known.network.architecture;
  try {
    return view.architectureOf?.(genome);
  } catch {
    return undefined;
  }
}
