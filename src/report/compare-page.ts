/**
 * @file The page of `compare`: the retrained fronts of several runs in one chart, their hypervolumes, and how mixed
 * networks stand against those of one family.
 */
import {
  familiesText,
  type NetworkStanding,
  type RunComparison,
  type RunStanding,
} from '../pipeline/search/compare-runs.js';
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
import { energyUnit, percent, withUnit } from './format.js';
import { renderPage } from './frame.js';
import { html, px, type Content, type Markup } from './markup.js';

// Okabe and Ito's, which tell apart for the colour-blind too; dashes differ beside them.
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#808890'];
const dashes = ['', '7 3', '2 3', '9 3 2 3', '14 3'];

/** `91.20 %`, with several seeds `91.05 ± 0.21 %`. */
export function standingText({ accuracy, deviation }: NetworkStanding): string {
  if (deviation === null) return percent(accuracy);
  return `${(100 * accuracy).toFixed(2)} ± ${(100 * deviation).toFixed(2)} %`;
}

/** The page as HTML text. */
export function renderComparePage(comparison: RunComparison): string {
  const { dataset, profile, runs, duels } = comparison;
  const title = `Runs compared on ${dataset}`;
  const provenance = `${dataset} · profile ${profile}`;
  return renderPage({
    title,
    heading: title,
    introduction: html`<p>
      ${runs.length} searches with networks retrained under one schedule. Accuracies are on the test part, of
      networks with several seeds the mean; energies are per inference under ${profile}.
    </p>`,
    sections: [
      {
        id: 'fronts',
        title: 'Fronts',
        content: figure({
          legend: legend(runs),
          body: forBothWidths((width) => drawFronts(comparison, width)),
          caption:
            'Every network that a search found, retrained; lines join those that no other one of the run beats. Whiskers: standard deviation over seeds.',
          provenance,
        }),
      },
      {
        id: 'hypervolume',
        title: 'Hypervolume',
        content: figure({
          body: hypervolumeTable(comparison),
          caption: `Of error and energy up to the common reference point, a tenth of the range beyond the worst: error ${percent(comparison.reference[0]!)}, ${withUnit(comparison.reference[1]!, energyUnit([comparison.reference[1]!]))}. Share: of the box from the ideal to the reference point. Only here: what all fronts together would lack without it.`,
          provenance,
        }),
      },
      ...(duels.some(({ rivals }) => rivals.length > 0)
        ? [
            {
              id: 'families',
              title: 'Against one family alone',
              content: figure({
                body: duelTable(comparison),
                caption:
                  'For each family the most accurate of all networks of it alone, and the most accurate network that a search over several families found at no more energy. Apart: mean ± deviation of the two do not overlap.',
                provenance,
              }),
            },
          ]
        : []),
    ],
    footer: 'Made by shiftaddnas compare. Energies are computed by cost models, not measured on a chip.',
  });
}

function colourOf(at: number): string {
  return colours[at % colours.length]!;
}

function legend(runs: readonly RunStanding[]): Markup {
  return html`<ul class="legend">
    ${runs.map(
      ({ name, families }, at) =>
        html`<li>
          <svg class="swatch" viewBox="-9 -9 18 18" aria-hidden="true">
            <path style="fill:none;stroke-width:2;stroke:${colourOf(at)}" d="M-9 0H9" />
            <circle r="4" style="fill:${colourOf(at)}" />
          </svg>
          ${name} (searched over ${families.join(', ')})
        </li>`,
    )}
  </ul>`;
}

function drawFronts({ runs }: RunComparison, width: number): Markup {
  const networks = runs.flatMap((run) => run.networks);
  const unit = energyUnit(networks.map(({ energyMj }) => energyMj));
  const frame = frameOf(width, width > narrowWidth ? 440 : 340);
  const x = horizontal(
    frame,
    paddedDomain(
      networks.map(({ energyMj }) => energyMj * unit.factor),
      0.06,
      0,
    ),
  );
  const ends = networks.flatMap(({ accuracy, deviation }) => [
    accuracy - (deviation ?? 0),
    accuracy + (deviation ?? 0),
  ]);
  const y = vertical(frame, paddedDomain(ends, 0.06, 0, 1.005));
  const place = ({ energyMj, accuracy }: NetworkStanding): readonly [number, number] => [
    px(x(energyMj * unit.factor)),
    px(y(accuracy)),
  ];
  return svg(
    width,
    frame.height,
    `Test accuracy against energy of ${networks.length} retrained networks of ${runs.length} runs: ${runs.map(({ name, hypervolume }) => `${name} with hypervolume ${hypervolume.toPrecision(3)}`).join(', ')}.`,
    [
      bottomAxis(frame, x, `energy (${unit.label})`, width > narrowWidth ? 8 : 4),
      leftAxis(frame, y, 'test accuracy', 6, '.3~%'),
      runs.map((run, at) => {
        const colour = colourOf(at);
        const line = run.networks
          .filter(({ onFront }) => onFront)
          .map((network, rank) => {
            const [left, top] = place(network);
            return rank === 0 ? `M${left} ${top}` : `H${left}V${top}`;
          })
          .join('');
        return html`<path
            style="fill:none;stroke-width:2;stroke:${colour}"
            stroke-dasharray="${dashes[at % dashes.length]!}"
            d="${line}"
          />${run.networks.map((network) => {
            const [left, top] = place(network);
            const { accuracy, deviation } = network;
            return html`${
                deviation !== null &&
                html`<path
                  style="stroke:${colour}"
                  d="M${left} ${px(y(accuracy - deviation))}V${px(y(accuracy + deviation))}"
                />`
              }<circle cx="${left}" cy="${top}" r="5" style="fill:${colour}"
                ><title>
                  ${run.name}, ${network.network} (${familiesText(network)}): ${standingText(network)} at
                  ${withUnit(network.energyMj, unit)}
                </title></circle
              >`;
          })}`;
      }),
    ],
  );
}

function table(head: readonly string[], rows: readonly (readonly Content[])[]): Markup {
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          ${head.map((title, at) => html`<th scope="col" ${at > 0 && html` class="number"`}>${title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (cells) =>
            html`<tr>
              ${cells.map((cell, at) =>
                at === 0 ? html`<th scope="row">${cell}</th>` : html`<td class="number">${cell}</td>`,
              )}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function hypervolumeTable({ runs }: RunComparison): Markup {
  return table(
    ['Run', 'Networks', 'On its front', 'Hypervolume', 'Deviation over seeds', 'Share', 'Only here'],
    runs.map((run) => [
      run.name,
      run.networks.length,
      run.networks.filter(({ onFront }) => onFront).length,
      run.hypervolume.toPrecision(4),
      run.hypervolumeDeviation === null ? 'one seed' : run.hypervolumeDeviation.toPrecision(2),
      percent(run.share, 1),
      percent(run.onlyHere, 1),
    ]),
  );
}

function duelTable({ duels }: RunComparison): Markup {
  const unit = energyUnit(duels.map(({ best }) => best.energyMj));
  return table(
    [
      'Family',
      'Its best',
      'Energy',
      'Accuracy',
      'Of mixed searches',
      'Its blocks',
      'Energy',
      'Accuracy',
      'Ahead',
      'Apart',
    ],
    duels.flatMap(({ family, best, rivals }) =>
      rivals.map((rival) => [
        family,
        `${best.run}, ${best.network}`,
        withUnit(best.energyMj, unit),
        standingText(best),
        `${rival.run}, ${rival.network}`,
        familiesText(rival),
        withUnit(rival.energyMj, unit),
        standingText(rival),
        `${(100 * rival.ahead).toFixed(2)} points`,
        rival.apart === null ? 'one seed' : rival.apart ? 'yes' : 'no',
      ]),
    ),
  );
}
