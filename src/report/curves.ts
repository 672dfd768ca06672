/**
 * @file Training curves: loss and accuracy of the supernet and of every retrained network.
 */
import { line } from 'd3-shape';
import type { TrainingEvent } from '../pipeline/run/result.js';
import { bottomAxis, figure, frameOf, horizontal, leftAxis, paddedDomain, svg, vertical } from './chart.js';
import { percent, significant } from './format.js';
import { type Content, type Markup, html } from './markup.js';
import { thinCurve } from './thin.js';
import type { RunView } from './view.js';

const retrainPrefix = 'retrain:';
const stretches = 120;

/** The progress of one phase, in order of steps. */
export interface Curve {
  readonly phase: string;
  readonly steps: readonly number[];
  readonly losses: readonly number[];
  readonly accuracies: readonly number[];
}

/**
 * One curve per phase. A resumed run reports some steps again: the last report of an (epoch, step) counts. Where
 * `step` begins anew in every epoch, the reports are numbered instead.
 */
export function curvesOf(events: readonly TrainingEvent[]): readonly Curve[] {
  const phases = new Map<string, Map<string, TrainingEvent>>();
  for (const event of events) {
    const reports = phases.get(event.phase) ?? new Map<string, TrainingEvent>();
    reports.set(`${event.epoch}:${event.step}`, event);
    phases.set(event.phase, reports);
  }
  return [...phases].map(([phase, reports]) => {
    const ordered = [...reports.values()].sort((a, b) => a.epoch - b.epoch || a.step - b.step);
    const rising = ordered.every((event, at) => at === 0 || event.step > ordered[at - 1]!.step);
    return {
      phase,
      steps: ordered.map((event, at) => (rising ? event.step : at + 1)),
      losses: ordered.map(({ loss }) => loss),
      accuracies: ordered.map(({ accuracy }) => accuracy),
    };
  });
}

interface Line {
  readonly name: string;
  readonly colour: string;
  readonly dash: string;
  readonly curve: Curve;
}

/** The training section; says so when there is nothing to draw yet. */
export function curvesSection(view: RunView): Markup {
  const lines = curvesOf(view.training).map((curve): Line => {
    const name = curve.phase.startsWith(retrainPrefix)
      ? curve.phase.slice(retrainPrefix.length)
      : curve.phase;
    const network = view.networks.find((candidate) => candidate.network.name === name);
    return { name, curve, colour: network?.colour ?? 'var(--ink)', dash: network?.dash ?? '' };
  });
  if (lines.length === 0) return html`<p class="empty">No training progress has been recorded yet.</p>`;
  const retrained = lines.filter(({ curve }) => curve.phase.startsWith(retrainPrefix));
  const others = lines.filter((line) => !retrained.includes(line));
  return html`<div class="pair">
    ${others.map((line) => [
      curveFigure(view, `Loss, ${line.name}`, [line], 'loss'),
      curveFigure(view, `Accuracy in training, ${line.name}`, [line], 'accuracy'),
    ])}${
      retrained.length > 0 && [
        curveFigure(view, 'Loss, retraining from scratch', retrained, 'loss'),
        curveFigure(view, 'Accuracy in training, retraining from scratch', retrained, 'accuracy'),
      ]
    }
  </div>`;
}

function curveFigure(
  view: RunView,
  title: string,
  lines: readonly Line[],
  quantity: 'loss' | 'accuracy',
): Markup {
  const values = (curve: Curve): readonly number[] => (quantity === 'loss' ? curve.losses : curve.accuracies);
  const width = 430;
  const frame = frameOf(width, 270, { left: 56, bottom: 44 });
  const most = Math.max(...lines.map(({ curve }) => curve.steps[curve.steps.length - 1]!));
  const least = Math.min(...lines.map(({ curve }) => curve.steps[0]!));
  const x = horizontal(frame, most > least ? [Math.min(least, most), most] : [least - 1, most + 1]);
  const all = lines.flatMap(({ curve }) => [...values(curve)]);
  const y = vertical(
    frame,
    quantity === 'loss' ? paddedDomain([0, ...all], 0.04, 0) : paddedDomain(all, 0.06, 0, 1.005),
  );
  const show = quantity === 'loss' ? significant : (value: number): string => percent(value, 1);
  const drawn: Content = lines.map(({ name, colour, dash, curve }) => {
    const series = values(curve);
    const points = thinCurve(series, stretches).map((at): [number, number] => [
      x(curve.steps[at]!),
      y(series[at]!),
    ]);
    const path = line().digits(1)(points) ?? '';
    const end = series[series.length - 1]!;
    return html`<path class="curve" style="stroke:${colour}" stroke-dasharray="${dash}" d="${path}"
      ><title>${name}: ${quantity} ${show(end)} at the end</title></path
    >`;
  });
  const ends = lines.map(({ name, curve }) => `${name} ${show(values(curve)[values(curve).length - 1]!)}`);
  return figure({
    title,
    legend:
      lines.length > 1 &&
      html`<ul class="legend">
        ${lines.map(
          ({ name, colour, dash }) =>
            html`<li>
              <svg class="swatch long" viewBox="0 -9 30 18" aria-hidden="true">
                <path class="curve" style="stroke:${colour}" stroke-dasharray="${dash}" d="M0 0H30" />
              </svg>
              ${name}
            </li>`,
        )}
      </ul>`,
    body: svg(width, frame.height, `${title}; at the end: ${ends.join(', ')}.`, [
      bottomAxis(frame, x, 'step', 5),
      leftAxis(frame, y, quantity, 5, quantity === 'loss' ? undefined : '.3~%'),
      drawn,
    ]),
    provenance: view.provenance,
  });
}
