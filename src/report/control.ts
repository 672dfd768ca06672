/**
 * @file The search beside random search after equally many evaluations: best accuracy and hypervolume of both.
 */
import type { ControlRecord } from '../pipeline/run/result.js';
import {
  bottomAxis,
  figure,
  forBothWidths,
  frameOf,
  horizontal,
  leftAxis,
  narrowWidth,
  paddedDomain,
  svg,
  vertical,
} from './chart.js';
import { integer, percent } from './format.js';
import { html, px, type Markup } from './markup.js';
import type { RunView } from './view.js';

type Quantity = 'bestAccuracy' | 'hypervolume';

/** Two charts and a sentence; nothing where the run has no control. */
export function controlFigures(view: RunView): Markup | null {
  const control = view.result?.search.control;
  if (control === undefined) return null;
  const { search, random, objectives } = control;
  const legend = html`<ul class="legend">
    <li>
      <svg class="swatch" viewBox="-9 -9 18 18" aria-hidden="true"><path class="best" d="M-9 0H9" /></svg>
      this search
    </li>
    <li>
      <svg class="swatch" viewBox="-9 -9 18 18" aria-hidden="true"><path class="median" d="M-9 0H9" /></svg>
      random search
    </li>
  </ul>`;
  const chart = (title: string, quantity: Quantity, caption: string): Markup =>
    figure({
      title,
      legend,
      body: forBothWidths((width) => drawCurves(control, quantity, width)),
      caption,
      provenance: view.provenance,
    });
  return html`<div class="pair">
    ${chart(
      'Best accuracy against random search',
      'bestAccuracy',
      `After ${integer(search.evaluations)} evaluations ${percent(search.bestAccuracy)} on search-validation; random search after ${integer(random.evaluations)} ${percent(random.bestAccuracy)}, by the same judge.`,
    )}
    ${chart(
      'Hypervolume against random search',
      'hypervolume',
      `Of ${objectives.join(', ')} up to a common reference point: ${search.hypervolume.toPrecision(4)}, random search ${random.hypervolume.toPrecision(4)}.`,
    )}
  </div>`;
}

function drawCurves({ search, random }: ControlRecord, quantity: Quantity, width: number): Markup {
  const sides = [random, search];
  const frame = frameOf(width, width > narrowWidth ? 320 : 280);
  const x = horizontal(frame, [0, Math.max(...sides.map(({ evaluations }) => evaluations))]);
  const y = vertical(
    frame,
    paddedDomain(sides.flatMap(({ curve }) => curve.map((point) => point[quantity]))),
  );
  const path = (side: ControlRecord['search']): string =>
    side.curve
      .map((point, at) => {
        const [left, top] = [px(x(point.evaluations)), px(y(point[quantity]))];
        return at === 0 ? `M${left} ${top}` : `H${left}V${top}`;
      })
      .join('');
  const isAccuracy = quantity === 'bestAccuracy';
  return svg(
    width,
    frame.height,
    `${isAccuracy ? 'Best accuracy' : 'Hypervolume'} over evaluations: the search ends at ${shown(search[quantity], isAccuracy)}, random search at ${shown(random[quantity], isAccuracy)}.`,
    [
      bottomAxis(frame, x, 'evaluations', width > narrowWidth ? 8 : 4),
      isAccuracy
        ? leftAxis(frame, y, 'best accuracy', 6, '.3~%')
        : leftAxis(frame, y, 'hypervolume', 6, '.3~g'),
      html`<path class="median" d="${path(random)}" /><path class="best" d="${path(search)}" />`,
    ],
  );
}

function shown(value: number, isAccuracy: boolean): string {
  return isAccuracy ? percent(value) : value.toPrecision(4);
}
