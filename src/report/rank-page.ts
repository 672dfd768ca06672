/**
 * @file The page of `rank`: for each scorer a scatter of what it says against the accuracy after training alone.
 */
import type { RankResult, ScorerOutcome } from '../pipeline/rank/result.js';
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
import { energyUnit, integer, percent, withUnit } from './format.js';
import { renderPage } from './frame.js';
import { html, px, type Markup } from './markup.js';

/** The page as HTML text. */
export function renderRankPage(result: RankResult): string {
  const { dataset, space, seeds, networks, profile } = result;
  const title = `Rank fidelity on ${dataset.name}`;
  return renderPage({
    title,
    heading: title,
    introduction: html`<p>
      ${networks} networks of ${space.name} (${space.families.join(', ')}), trained alone on
      ${integer(dataset.trainImages)} images with ${seeds.length === 1 ? 'seed' : 'seeds'}
      ${seeds.join(', ')}; accuracies on ${integer(dataset.searchValidationImages)} search-validation images.
      The darker a dot, the more energy its network needs.
    </p>`,
    sections: Object.entries(result.scorers).map(([name, outcome]) => ({
      id: `scorer-${name}`,
      title: outcome.title,
      content: scorerFigure(result, name, outcome),
    })),
    footer: `Made by shiftaddnas: ${result.command}. Energies under profile ${profile}.`,
  });
}

function scorerFigure(result: RankResult, name: string, { fidelity }: ScorerOutcome): Markup {
  const { overall, bestThird, kendallTauInsideBins } = fidelity;
  return figure({
    body: forBothWidths((width) => drawScatter(result, name, width)),
    caption: `tau ${tau(overall.kendallTau.value)} overall, ${tau(bestThird.kendallTau.value)} inside the best third, ${tau(kendallTauInsideBins.value)} inside energy bins.`,
    provenance: `${result.dataset.name} · seed ${result.seed} · profile ${result.profile}`,
  });
}

/** NaN is null when it has been through JSON. */
function tau(value: number | null): string {
  return value === null || Number.isNaN(value) ? '– (too few networks, or all alike)' : value.toFixed(2);
}

function drawScatter({ measured, profile }: RankResult, name: string, width: number): Markup {
  const dots = measured.flatMap(({ scores, accuracy, energyMj, options }) => {
    const score = scores[name] ?? null;
    return score === null || accuracy === null ? [] : [{ score, accuracy, energyMj, options }];
  });
  const energies = dots.map(({ energyMj }) => energyMj);
  const [least, most] = [Math.min(...energies), Math.max(...energies)];
  const unit = energyUnit(energies);
  const frame = frameOf(width, width > narrowWidth ? 420 : 320);
  const x = horizontal(frame, paddedDomain(dots.map(({ score }) => score)));
  const y = vertical(
    frame,
    paddedDomain(
      dots.map(({ accuracy }) => accuracy),
      0.06,
      0,
      1.005,
    ),
  );
  return svg(
    width,
    frame.height,
    `Scatter of ${dots.length} networks: accuracy after training alone against the score of ${name}.`,
    [
      bottomAxis(frame, x, name, width > narrowWidth ? 8 : 4),
      leftAxis(frame, y, 'accuracy, trained alone', 6, '.3~%'),
      dots.map(({ score, accuracy, energyMj, options }) => {
        const share = most > least ? (energyMj - least) / (most - least) : 1;
        return html`<circle
          cx="${px(x(score))}"
          cy="${px(y(accuracy))}"
          r="5"
          style="fill:#3b6fb6;fill-opacity:${(0.25 + 0.75 * share).toFixed(2)};stroke:#3b6fb6"
          ><title>
            ${percent(accuracy)} alone, ${withUnit(energyMj * unit.factor, { label: unit.label, factor: 1 })}
            under ${profile}: ${options.join(', ')}
          </title></circle
        >`;
      }),
    ],
  );
}
