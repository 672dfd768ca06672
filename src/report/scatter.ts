/**
 * @file Accuracy against cost: the candidates of the search, their Pareto front, the budget, the retrained networks.
 *
 * Two different measurements share the vertical axis and are therefore never drawn alike: small dots are candidates
 * on search-validation with weights inherited from the supernet, large symbols are networks trained from scratch on
 * the test set, with the 95 % sampling interval of that test set.
 */
import { quantileSorted } from 'd3-array';
import { symbol } from 'd3-shape';
import { objectiveQuantity } from '../search/objectives.js';
import { paretoFront } from '../search/pareto.js';
import {
  type Frame,
  type Scale,
  bottomAxis,
  figure,
  forBothWidths,
  frameOf,
  horizontal,
  leftAxis,
  narrowWidth,
  paddedDomain,
  paddedLogDomain,
  svg,
  vertical,
  wideWidth,
} from './chart.js';
import {
  type Unit,
  byteUnit,
  countUnit,
  percent,
  squareMillimetres,
  wilsonInterval,
  withUnit,
} from './format.js';
import { type Content, type Markup, html, px } from './markup.js';
import { type Place, thinByCell } from './thin.js';
import { type NetworkView, type RunView, budgetText, foundName, quantityOf } from './view.js';

/** Most candidates drawn as dots; more cannot be told apart at this size. */
export const candidateLimit = 1500;
const generationShades = 5;

/** One cost that candidates can be plotted against. */
interface CostAxis {
  readonly quantity: string;
  readonly title: string;
  readonly unit: Unit;
  /** Cost of the candidate at this index, in `unit`. */
  readonly costs: readonly number[];
  readonly networkCost: (view: NetworkView) => number;
}

/** The candidates that are drawn: indices into `view.candidates`, by generation, and how they were chosen. */
export interface DrawnCandidates {
  readonly indices: readonly number[];
  /** Side of the grid cell that keeps one candidate, in user units of the wide drawing; 0 when all are drawn. */
  readonly cell: number;
}

/** Chooses the candidates to draw; all charts and the click data use the same ones. */
export function chooseDrawn(view: RunView): DrawnCandidates {
  const axes = costAxes(view);
  const always = new Set(axes.flatMap((axis) => frontOf(view, axis)));
  const scene = sceneOf(view, axes[0]!, wideWidth);
  const { kept, cell } = thinByCell(scene.places, candidateLimit, always);
  const byGeneration = (a: number, b: number): number =>
    view.candidates[a]!.generation - view.candidates[b]!.generation || a - b;
  return { indices: [...kept].sort(byGeneration), cell };
}

/** The scatter section: energy first, then every other cost of the budget or the objectives; a line without candidates. */
export function scatterSection(view: RunView, drawn: DrawnCandidates): Markup {
  if (view.candidates.length === 0)
    return html`<p class="empty">
      No candidate has been evaluated yet; this chart appears with the first generation.
    </p>`;
  const { indices, cell } = drawn;
  const { length } = view.candidates;
  const charts = costAxes(view).map((axis) => {
    const scene = sceneOf(view, axis, wideWidth);
    const below = scene.clipped;
    return figure({
      title: `Accuracy against ${axis.title}`,
      legend: legend(view),
      body: forBothWidths((width) => drawScatter(view, axis, drawn, width)),
      caption: html`Dots: search-validation accuracy with weights inherited from the supernet. Large symbols:
      test accuracy after training from scratch, with the 95 % sampling interval of the test set. These are
      different measurements: compare dots with dots and symbols with
      symbols.${scene.log ? ' The cost axis is logarithmic.' : ''}${
        below > 0 && ` ${below} of the candidates lie below the axis and are drawn on its lower edge.`
      }${
        cell > 0 &&
        ` ${indices.length.toLocaleString('en-US')} of ${length.toLocaleString('en-US')} candidates are drawn: the first in every cell of ${cell.toFixed(1)} units and the whole front.`
      }`,
      provenance: view.provenance,
    });
  });
  return html`${charts}
    <div id="candidate" class="candidate" hidden aria-live="polite"></div>
    <p class="script-only hint" hidden>
      Click a dot to see the candidate's blocks. Members of the front can be reached with the Tab key.
    </p>`;
}

function costAxes(view: RunView): readonly CostAxis[] {
  const profile = view.header.profile ?? '';
  const macs = countUnit(view.candidates.map((candidate) => candidate.macs));
  const params = countUnit(view.candidates.map((candidate) => candidate.params));
  const axis = (
    quantity: string,
    title: string,
    unit: Unit,
    networkCost: (network: NetworkView) => number,
  ): CostAxis => ({
    quantity,
    title,
    unit,
    costs: view.candidates.map((candidate) => (quantityOf(candidate, quantity) ?? Number.NaN) * unit.factor),
    networkCost: (network) => networkCost(network) * unit.factor,
  });
  const bytesOf = (quantity: 'sramBytes' | 'flashBytes'): Unit =>
    byteUnit(view.candidates.map((candidate) => candidate[quantity] ?? 0));
  const energy = axis(
    'energyMj',
    'energy',
    view.energy,
    ({ network }) => network.energyMj[profile] ?? Number.NaN,
  );
  const others = [
    axis('latencyMs', 'latency', view.latency, ({ network }) => network.latencyMs[profile] ?? Number.NaN),
    axis('macs', 'operations', macs, ({ network }) => network.macs),
    axis('params', 'parameters', params, ({ network }) => network.params),
    axis('areaMm2', 'area', squareMillimetres, ({ network }) => network.areaMm2 ?? Number.NaN),
    axis('sramBytes', 'SRAM', bytesOf('sramBytes'), ({ network }) => network.sramBytes ?? Number.NaN),
    axis('flashBytes', 'flash', bytesOf('flashBytes'), ({ network }) => network.flashBytes ?? Number.NaN),
  ];
  const objectives = (view.result?.search.objectives ?? []).map(objectiveQuantity);
  return [
    energy,
    ...others.filter(
      ({ quantity }) =>
        view.budget.some((limit) => limit.quantity === quantity) ||
        objectives.some((objective) => objective === quantity),
    ),
  ];
}

function frontOf(view: RunView, axis: CostAxis): readonly number[] {
  return paretoFront(
    [...view.candidates.keys()],
    (at) => axis.costs[at]!,
    (at) => view.candidates[at]!.accuracy,
  );
}

interface Scene {
  readonly frame: Frame;
  readonly x: Scale;
  readonly y: Scale;
  readonly log: boolean;
  readonly limit: number | undefined;
  /** Where each candidate stands. */
  readonly places: readonly Place[];
  /** Candidates below the axis. */
  readonly clipped: number;
}

function sceneOf(view: RunView, axis: CostAxis, width: number): Scene {
  const frame = frameOf(width, width >= wideWidth ? 460 : 360, { top: 26 });
  const record = view.budget.find(({ quantity }) => quantity === axis.quantity);
  const limit = record && record.limit * axis.unit.factor;
  const costs = [...axis.costs, ...view.networks.map(axis.networkCost), limit ?? Number.NaN].filter(
    Number.isFinite,
  );
  const least = costs.reduce((low, cost) => Math.min(low, cost), Number.POSITIVE_INFINITY);
  const most = costs.reduce((high, cost) => Math.max(high, cost), 0);
  const log = least > 0 && most / least >= 10;
  const x = horizontal(frame, log ? paddedLogDomain(costs) : paddedDomain(costs, 0.06, 0), log);

  const accuracies = view.candidates.map(({ accuracy }) => accuracy);
  const floor = axisFloor(accuracies);
  const tests = view.networks.flatMap(({ network }) => testInterval(view, network.testAccuracy));
  const shown = accuracies.filter((accuracy) => accuracy >= floor);
  const y = vertical(frame, paddedDomain([...shown, ...tests], 0.06, 0, 1.005));
  return {
    frame,
    x,
    y,
    log,
    limit,
    places: accuracies.map((accuracy, at) => ({
      x: x(axis.costs[at]!),
      y: Math.min(frame.bottom - 3, y(accuracy)),
    })),
    clipped: accuracies.length - shown.length,
  };
}

/**
 * The least accuracy that the axis must show: the minimum, unless the lowest twentieth of the candidates would take
 * more than 40 % of the height, as collapsed candidates do.
 */
function axisFloor(accuracies: readonly number[]): number {
  const sorted = [...accuracies].sort((a, b) => a - b);
  const low = sorted[0] ?? 0;
  const twentieth = quantileSorted(sorted, 0.05) ?? low;
  const high = sorted[sorted.length - 1] ?? 1;
  return twentieth - low > 0.4 * (high - low) ? twentieth : low;
}

function testInterval(view: RunView, accuracy: number): readonly [number, number] {
  return wilsonInterval(accuracy, Math.max(1, view.result?.dataset.testImages ?? 1));
}

function drawScatter(view: RunView, axis: CostAxis, drawn: DrawnCandidates, width: number): Markup {
  const scene = sceneOf(view, axis, width);
  const { frame, x, y, limit, places } = scene;
  const front = frontOf(view, axis);
  const ticks = width > narrowWidth ? 8 : 4;
  const alternative =
    `Scatter of ${view.candidates.length} candidates: search-validation accuracy against ${axis.title} in ${axis.unit.label || 'units'}; ` +
    `${front.length} of them form the Pareto front` +
    (view.networks.length > 0
      ? `; test accuracy of ${view.networks.map(({ network }) => `${network.name} ${percent(network.testAccuracy)}`).join(', ')}.`
      : '.');
  const content: Content = [
    bottomAxis(frame, x, axis.unit.label === '' ? axis.title : `${axis.title} (${axis.unit.label})`, ticks),
    leftAxis(frame, y, 'accuracy', 6, '.3~%'),
    limit !== undefined && budgetLine(view, axis, scene, limit),
    dots(view, drawn, places),
    frontLine(view, axis, front, scene, drawn),
    networkMarks(view, axis, scene, width),
  ];
  return html`<div class="scatter">${svg(width, frame.height, alternative, content, 'group')}</div>`;
}

function budgetLine(view: RunView, axis: CostAxis, { frame, x }: Scene, limit: number): Markup {
  const at = px(x(limit));
  const record = view.budget.find(({ quantity }) => quantity === axis.quantity)!;
  const right = at > (frame.left + frame.right) / 2;
  return html`<path class="budget" d="M${at} ${frame.top}V${frame.bottom}" /><text
      class="budget-text"
      x="${right ? at + 1 : at - 1}"
      y="${frame.top - 8}"
      text-anchor="${right ? 'end' : 'start'}"
      >budget: ${budgetText(record)}</text
    >`;
}

/** One path per shade of generation; a dot is a line of no length with round ends, the shortest form SVG has. */
function dots(view: RunView, { indices }: DrawnCandidates, places: readonly Place[]): Content {
  const shades = shadesOf(view, indices);
  const groups: Markup[] = [];
  for (let from = 0; from < indices.length;) {
    let to = from;
    while (to < indices.length && shades[to] === shades[from]) to++;
    const path = indices
      .slice(from, to)
      .map((at) => `M${px(places[at]!.x)} ${px(places[at]!.y)}h0`)
      .join('');
    groups.push(html`<path class="dots shade${shades[from]!}" data-first="${from}" d="${path}" />`);
    from = to;
  }
  return groups;
}

function shadesOf(view: RunView, indices: readonly number[]): readonly number[] {
  const generations = indices.map((at) => view.candidates[at]!.generation);
  const first = generations[0] ?? 0;
  const span = (generations[generations.length - 1] ?? 0) - first + 1;
  return generations.map((generation) => Math.floor(((generation - first) * generationShades) / span));
}

function frontLine(
  view: RunView,
  axis: CostAxis,
  front: readonly number[],
  scene: Scene,
  drawn: DrawnCandidates,
): Markup {
  const ranks = new Map(drawn.indices.map((at, rank) => [at, rank]));
  const corners = front.map((at, rank) => {
    const { x, y } = scene.places[at]!;
    return rank === 0 ? `M${px(x)} ${px(y)}` : `H${px(x)}V${px(y)}`;
  });
  return html`<path class="front" d="${corners.join('')}" />${front.map((at) => {
      const candidate = view.candidates[at]!;
      const { x, y } = scene.places[at]!;
      return html`<circle
        class="front-point"
        data-candidate="${ranks.get(at)}"
        cx="${px(x)}"
        cy="${px(y)}"
        r="4.5"
        ><title>
          On the Pareto front: ${percent(candidate.accuracy)} on search-validation,
          ${withUnit(axis.costs[at]!, { label: axis.unit.label, factor: 1 })}, generation
          ${candidate.generation}
        </title></circle
      >`;
    })}`;
}

function networkMarks(view: RunView, axis: CostAxis, scene: Scene, width: number): Content {
  const { frame, x, y } = scene;
  const marks = view.networks
    .map((network) => ({ ...network, x: x(axis.networkCost(network)), y: y(network.network.testAccuracy) }))
    .filter((mark) => Number.isFinite(mark.x));
  const labels = placeLabels(
    marks.map((mark) => ({ x: mark.x, y: mark.y, text: mark.network.name })),
    frame,
  );
  return marks.map((mark, at) => {
    const { network, colour } = mark;
    const [low, high] = testInterval(view, network.testAccuracy);
    const label = labels[at]!;
    const size = network.name === foundName ? 190 : 110;
    return html`<g class="network"
      ><title>
        ${network.name}: ${percent(network.testAccuracy)} on the test set (95 % interval ${percent(low)} to
        ${percent(high)}), ${withUnit(axis.networkCost(mark), { label: axis.unit.label, factor: 1 })}</title
      ><path class="whisker" style="stroke:${colour}" d="M${px(mark.x)} ${px(y(low))}V${px(y(high))}" /><path
        class="mark"
        style="fill:${colour}"
        transform="translate(${px(mark.x)} ${px(mark.y)})"
        d="${symbolPath(mark, size)}"
      />${
        width > narrowWidth &&
        html`<text x="${px(label.x)}" y="${px(label.y + 4)}" text-anchor="${label.anchor}"
          >${network.name}</text
        >`
      }</g
    >`;
  });
}

function symbolPath(network: NetworkView, size: number): string {
  return symbol(network.symbol, size).digits(1)() ?? '';
}

interface Label {
  readonly x: number;
  readonly y: number;
  readonly anchor: 'start' | 'end';
}

/** Labels beside their marks, right or left, moved up or down as little as leaves no label on a label or a mark. */
export function placeLabels(
  marks: readonly { readonly x: number; readonly y: number; readonly text: string }[],
  frame: Frame,
): readonly Label[] {
  const boxes: { left: number; right: number; y: number }[] = [];
  const placed = new Map<number, Label>();
  const order = marks.map((_, at) => at).sort((a, b) => marks[a]!.y - marks[b]!.y);
  for (const at of order) {
    const { x, y, text } = marks[at]!;
    const width = labelWidth(text);
    const sides: Label[] = [
      { x: x + 13, y, anchor: 'start' },
      { x: x - 13, y, anchor: 'end' },
    ];
    const offsets = Array.from({ length: 21 }, (_, step) => (step % 2 ? -7 : 7) * Math.ceil(step / 2));
    const tried = offsets.flatMap((offset) => sides.map((side) => ({ ...side, y: y + offset })));
    const inside = tried.filter((label) => {
      const left = label.anchor === 'start' ? label.x : label.x - width;
      return left >= frame.left && left + width <= frame.right && label.y > frame.top;
    });
    const clear = inside.find((label) => {
      const left = label.anchor === 'start' ? label.x : label.x - width;
      const right = left + width;
      return (
        boxes.every((box) => box.right < left || box.left > right || Math.abs(box.y - label.y) >= 15) &&
        marks.every((mark) => mark.x + 9 < left || mark.x - 9 > right || Math.abs(mark.y - label.y) >= 14)
      );
    });
    const label = clear ?? inside[0] ?? sides[0]!;
    const left = label.anchor === 'start' ? label.x : label.x - width;
    boxes.push({ left, right: left + width, y: label.y });
    placed.set(at, label);
  }
  return marks.map((_, at) => placed.get(at)!);
}

/** About the width of a bold label, in user units. */
export function labelWidth(text: string): number {
  return text.length * 7.2;
}

/** A network's symbol for a legend or a table. */
export function networkSwatch(network: NetworkView): Markup {
  return html`<svg class="swatch" viewBox="-9 -9 18 18" aria-hidden="true">
    <path style="fill:${network.colour}" d="${symbolPath(network, 90)}" />
  </svg>`;
}

function legend(view: RunView): Markup {
  return html`<ul class="legend">
    <li>
      <svg class="swatch ramp" viewBox="0 0 60 18" aria-hidden="true">
        ${[0, 1, 2, 3, 4].map(
          (shade) => html`<path class="dots shade${shade}" d="M${6 + shade * 12} 9h0" />`,
        )}
      </svg>
      candidate, early to late generation
    </li>
    <li>
      <svg class="swatch" viewBox="-9 -9 18 18" aria-hidden="true">
        <circle class="front-point" r="4.5" />
      </svg>
      Pareto front of the candidates
    </li>
    ${view.networks.map(
      (network) => html`<li>${networkSwatch(network)} ${network.network.name}, retrained</li>`,
    )}
  </ul>`;
}
