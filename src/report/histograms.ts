/**
 * @file Weight histograms, one small chart per network and family.
 *
 * The published argument for sharing weights across families is that convolution weights look Gaussian and adder
 * weights Laplacian (ShiftAddNAS, arXiv 2205.08119, section 3.2); the excess kurtosis under each chart says which
 * of the two a histogram is nearer to.
 */
import type { WeightHistogram } from '../pipeline/result.js';
import { bottomAxis, figure, frameOf, horizontal, svg, vertical } from './chart.js';
import { significant } from './format.js';
import { type Markup, html, px } from './markup.js';
import { type RunView, familyStyle, foundName } from './view.js';

/** The histogram section: the found network and the networks of one family. */
export function histogramSection(view: RunView): Markup {
  const shown = view.networks.filter(
    ({ network }) => network.name === foundName || network.name.startsWith('all-'),
  );
  const charts = shown.flatMap(({ network }) =>
    network.weightHistograms
      .filter(({ counts }) => counts.some((count) => count > 0))
      .map((histogram) => drawHistogram(view, network.name, histogram)),
  );
  if (charts.length === 0)
    return html`<p class="empty">Weight histograms are recorded when the run has finished.</p>`;
  return figure({
    body: html`<div class="multiples">${charts}</div>`,
    caption: html`Density of all weights of a family in a retrained network, as the layers compute with them.
    Excess kurtosis, estimated from the bins: 0 for a Gaussian, 3 for a Laplace distribution.`,
    provenance: view.provenance,
  });
}

/** Moments of a histogram with every weight at the middle of its bin. */
export function momentsOf({ edges, counts }: WeightHistogram): {
  readonly count: number;
  readonly deviation: number;
  /** Fourth standardised moment minus 3; NaN when all weights share a bin. */
  readonly excessKurtosis: number;
} {
  const middles = counts.map((_, at) => (edges[at]! + edges[at + 1]!) / 2);
  const count = counts.reduce((sum, value) => sum + value, 0);
  const moment = (power: number, about: number): number =>
    counts.reduce((sum, value, at) => sum + value * (middles[at]! - about) ** power, 0) / count;
  const mean = moment(1, 0);
  const variance = moment(2, mean);
  return {
    count,
    deviation: Math.sqrt(variance),
    excessKurtosis: variance > 0 ? moment(4, mean) / variance ** 2 - 3 : Number.NaN,
  };
}

function drawHistogram(view: RunView, network: string, histogram: WeightHistogram): Markup {
  const family = familyStyle(view, histogram.family);
  const { edges, counts } = histogram;
  const { count, deviation, excessKurtosis } = momentsOf(histogram);
  const width = 280;
  const frame = frameOf(width, 170, { left: 12, right: 12, top: 8, bottom: 24 });
  const densities = counts.map((value, at) => value / count / (edges[at + 1]! - edges[at]!));
  const x = horizontal(frame, [edges[0]!, edges[edges.length - 1]!]);
  const y = vertical(frame, [0, Math.max(...densities) * 1.04]);
  const steps = densities.map((density, at) => `V${px(y(density))}H${px(x(edges[at + 1]!))}`).join('');
  const title = `${network}, ${family.title}`;
  const numbers = `${count.toLocaleString('en-US')} weights, standard deviation ${significant(deviation)}, excess kurtosis ${kurtosisText(excessKurtosis)}`;
  const drawing = svg(width, frame.height, `Weight histogram of ${title}: ${numbers}.`, [
    bottomAxis({ ...frame }, x, '', 4),
    html`<path
      class="area"
      style="fill:${family.colour};stroke:${family.colour}"
      d="M${px(x(edges[0]!))} ${frame.bottom}${steps}V${frame.bottom}Z"
    />`,
  ]);
  return html`<div>
    <h3>${title}</h3>
    ${drawing}
    <p class="small">${numbers}</p>
  </div>`;
}

function kurtosisText(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const digits = Math.abs(value).toFixed(1);
  return value < 0 && Number(digits) > 0 ? `−${digits}` : digits;
}
