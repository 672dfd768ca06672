/**
 * @file How the search went: best so far, and the middle of each generation, over the number of evaluations.
 */
import { median, quantile } from 'd3-array';
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
import { percent } from './format.js';
import { type Markup, html, px } from './markup.js';
import { type RunView, budgetText, keepsBudget } from './view.js';

/** One generation's stretch of the evaluations and the spread of its accuracies. */
interface Generation {
  readonly generation: number;
  /** Evaluations done before it and after it. */
  readonly from: number;
  readonly to: number;
  readonly low: number;
  readonly middle: number;
  readonly high: number;
}

/** Best accuracy within the budget after each evaluation that improved it. */
interface Improvement {
  readonly evaluation: number;
  readonly accuracy: number;
}

/** Contiguous stretches of equal generation in order of evaluation, with quartiles of their accuracies. */
export function generationsOf(view: Pick<RunView, 'candidates'>): readonly Generation[] {
  const { candidates } = view;
  const generations: Generation[] = [];
  for (let from = 0; from < candidates.length;) {
    const { generation } = candidates[from]!;
    let to = from;
    while (to < candidates.length && candidates[to]!.generation === generation) to++;
    const accuracies = candidates.slice(from, to).map(({ accuracy }) => accuracy);
    generations.push({
      generation,
      from,
      to,
      low: quantile(accuracies, 0.25)!,
      middle: median(accuracies)!,
      high: quantile(accuracies, 0.75)!,
    });
    from = to;
  }
  return generations;
}

/** The evaluations at which the best accuracy among candidates within the budget rose. */
export function improvementsOf(view: Pick<RunView, 'candidates' | 'budget'>): readonly Improvement[] {
  const improvements: Improvement[] = [];
  let best = Number.NEGATIVE_INFINITY;
  view.candidates.forEach((candidate, at) => {
    if (candidate.accuracy <= best || !keepsBudget(candidate, view.budget)) return;
    best = candidate.accuracy;
    improvements.push({ evaluation: at + 1, accuracy: best });
  });
  return improvements;
}

/** The trajectory section; says so when there is nothing to draw yet. */
export function trajectorySection(view: RunView): Markup {
  if (view.candidates.length === 0)
    return html`<p class="empty">The search has not evaluated a candidate yet.</p>`;
  const limits = view.budget.map(budgetText).join(' and ');
  return figure({
    legend: html`<ul class="legend">
      <li>
        <svg class="swatch" viewBox="-9 -9 18 18" aria-hidden="true"><path class="best" d="M-9 0H9" /></svg>
        best so far${limits !== '' && ` with ${limits}`}
      </li>
      <li>
        <svg class="swatch" viewBox="-9 -9 18 18" aria-hidden="true"><path class="median" d="M-9 0H9" /></svg>
        median of the generation
      </li>
      <li>
        <svg class="swatch" viewBox="-9 -9 18 18" aria-hidden="true">
          <path class="band" d="M-9 -6H9V6H-9Z" />
        </svg>
        middle half of the generation
      </li>
    </ul>`,
    body: forBothWidths((width) => drawTrajectory(view, width)),
    caption: html`Search-validation accuracy with weights inherited from the supernet; each step of the median
    is one
    generation.${
      view.repeated > 0 && ` ${view.repeated} evaluations recorded twice around a resume are counted once.`
    }`,
    provenance: view.provenance,
  });
}

function drawTrajectory(view: RunView, width: number): Markup {
  const generations = generationsOf(view);
  const improvements = improvementsOf(view);
  const total = view.candidates.length;
  const frame = frameOf(width, width > narrowWidth ? 320 : 280);
  const x = horizontal(frame, [0, total]);
  // The first few candidates may be far worse than any generation's middle half; their climb begins at the edge.
  const spread = generations.flatMap(({ low, high }) => [low, high]);
  const least = Math.min(...spread);
  const bests = improvements.map(({ accuracy }) => accuracy).filter((accuracy) => accuracy >= least);
  const y = vertical(frame, paddedDomain([...spread, ...bests], 0.06, 0, 1.005));
  const inside = (accuracy: number): number => px(Math.min(frame.bottom, y(accuracy)));
  const band = generations
    .map(
      ({ from, to, low, high }) =>
        `M${px(x(from))} ${inside(low)}V${inside(high)}H${px(x(to))}V${inside(low)}Z`,
    )
    .join('');
  const middle = generations
    .map(
      ({ from, to, middle: at }, rank) =>
        `${rank === 0 ? 'M' : 'L'}${px(x(from))} ${inside(at)}H${px(x(to))}`,
    )
    .join('');
  const best = improvements
    .map(({ evaluation, accuracy }, rank) =>
      rank === 0 ? `M${px(x(evaluation))} ${inside(accuracy)}` : `H${px(x(evaluation))}V${inside(accuracy)}`,
    )
    .join('');
  const last = improvements[improvements.length - 1];
  const alternative =
    `Search over ${total} evaluations in ${generations.length} generations: ` +
    (last === undefined
      ? 'no candidate met the budget.'
      : `best accuracy ${percent(last.accuracy)}, reached at evaluation ${last.evaluation}; ` +
        `median from ${percent(generations[0]!.middle)} in the first to ${percent(generations[generations.length - 1]!.middle)} in the last generation.`);
  return svg(width, frame.height, alternative, [
    bottomAxis(frame, x, 'evaluations', width > narrowWidth ? 10 : 5),
    leftAxis(frame, y, 'accuracy', 6, '.3~%'),
    html`<path class="band" d="${band}" /><path class="median" d="${middle}" />`,
    best !== '' && html`<path class="best" d="${best}H${px(x(total))}" />`,
    improvements
      .filter(({ accuracy }) => accuracy >= y.domain()[0]!)
      .map(
        ({ evaluation, accuracy }) =>
          html`<circle class="best-point" cx="${px(x(evaluation))}" cy="${inside(accuracy)}" r="3.5"
            ><title>${percent(accuracy)} at evaluation ${evaluation}</title></circle
          >`,
      ),
  ]);
}
