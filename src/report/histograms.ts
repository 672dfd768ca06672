/**
 * @file Weight histograms, one small chart per network and family.
 *
 * The published argument for sharing weights across families is that convolution weights look Gaussian and adder
 * weights Laplacian (ShiftAddNAS, arXiv 2205.08119, section 3.2); the excess kurtosis under each chart says which
 * of the two a histogram is nearer to.
 */
import type { WeightHistogram } from '../pipeline/run/result.js';
import { bottomAxis, figure, frameOf, horizontal, svg, vertical } from './chart.js';
import { significant } from './format.js';
import { type Markup, html, px } from './markup.js';
import { type RunView, familyStyle, foundName } from './view.js';

/** The histogram section: what the families see in the supernet, the found network, and the networks of one family. */
export function histogramSection(view: RunView): Markup {
  const shown = view.networks.filter(
    ({ network }) => network.name === foundName || network.name.startsWith('all-'),
  );
  const charts = shown.flatMap(({ network }) =>
    network.weightHistograms
      .filter(({ counts }) => counts.some((count) => count > 0))
      .map((histogram) => drawNetwork(view, network.name, histogram)),
  );
  if (charts.length === 0)
    return html`<p class="empty">Weight histograms are recorded when the run has finished.</p>`;
  return html`${supernetFigure(view)}${figure({
    body: html`<div class="multiples">${charts}</div>`,
    caption: html`Density of all weights of a family in a retrained network, as the layers compute with them.
    Excess kurtosis, estimated from the bins: 0 for a Gaussian, 3 for a Laplace distribution.`,
    provenance: view.provenance,
  })}`;
}

function supernetFigure(view: RunView): Markup | undefined {
  const supernet = view.result?.supernet;
  if (supernet === undefined) return undefined;
  const charts = supernet.families
    .filter(({ counts }) => counts.some((count) => count > 0))
    .map((weights) => {
      const title = `supernet, ${familyStyle(view, weights.family).title}`;
      const { excessKurtosis, gaussianDistance, laplacianDistance } = weights;
      const numbers =
        `${weights.weights.toLocaleString('en-US')} weights, excess kurtosis ${kurtosisText(excessKurtosis)}, ` +
        `distance to the Gaussian ${significant(gaussianDistance)}, to the Laplacian ${significant(laplacianDistance)}`;
      return drawHistogram(view, title, numbers, weights, true);
    });
  return figure({
    body: html`<div class="multiples">${charts}</div>`,
    caption: html`Density of the weights that each family computes with in the supernet, every tensor in units
    of its own root mean square (sharing: ${supernet.map}, distribution term: ${supernet.distribution}). Solid
    line: the Gaussian of the same variance; dashed: the Laplacian. Distances are those of Kolmogorov and
    Smirnov to the fitted laws.`,
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

function drawNetwork(view: RunView, network: string, histogram: WeightHistogram): Markup {
  const { count, deviation, excessKurtosis } = momentsOf(histogram);
  const numbers = `${count.toLocaleString('en-US')} weights, standard deviation ${significant(deviation)}, excess kurtosis ${kurtosisText(excessKurtosis)}`;
  return drawHistogram(view, `${network}, ${familyStyle(view, histogram.family).title}`, numbers, histogram);
}

/** `withLaws`: lines of the two laws with a variance of 1. */
function drawHistogram(
  view: RunView,
  title: string,
  numbers: string,
  histogram: WeightHistogram,
  withLaws = false,
): Markup {
  const family = familyStyle(view, histogram.family);
  const { edges, counts } = histogram;
  const count = counts.reduce((sum, value) => sum + value, 0);
  const width = 280;
  const frame = frameOf(width, 170, { left: 12, right: 12, top: 8, bottom: 24 });
  const densities = counts.map((value, at) => value / count / (edges[at + 1]! - edges[at]!));
  const x = horizontal(frame, [edges[0]!, edges[edges.length - 1]!]);
  const y = vertical(frame, [0, Math.max(...densities) * 1.04]);
  const steps = densities.map((density, at) => `V${px(y(density))}H${px(x(edges[at + 1]!))}`).join('');
  const law = (density: (z: number) => number): string =>
    edges
      .map((z, at) => `${at === 0 ? 'M' : 'L'}${px(x(z))} ${px(y(Math.min(density(z), y.domain()[1]!)))}`)
      .join('');
  const lines = [
    { path: law((z) => Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI)), dash: '' },
    { path: law((z) => Math.exp(-Math.SQRT2 * Math.abs(z)) * Math.SQRT1_2), dash: '4 3' },
  ];
  const drawing = svg(width, frame.height, `Weight histogram of ${title}: ${numbers}.`, [
    bottomAxis({ ...frame }, x, '', 4),
    html`<path
      class="area"
      style="fill:${family.colour};stroke:${family.colour}"
      d="M${px(x(edges[0]!))} ${frame.bottom}${steps}V${frame.bottom}Z"
    />`,
    withLaws &&
      lines.map(
        ({ path, dash }) =>
          html`<path
            class="law"
            style="fill:none;stroke:currentColor;stroke-dasharray:${dash}"
            d="${path}"
          />`,
      ),
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
