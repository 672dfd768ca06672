/**
 * @file Where the energy goes: whole networks and single layers, stacked by level of the memory hierarchy.
 *
 * The switch between profiles and networks is a pair of radio groups and the `:has()` selector, so it works without
 * a script; in a browser without `:has()` every panel is shown. All networks share one scale per profile, so panels
 * can be compared by switching.
 */
import type { LayerCostRecord } from '../pipeline/result.js';
import { bottomAxis, figure, frameOf, horizontal, svg } from './chart.js';
import { type Unit, energyUnit, percent, significant, withUnit } from './format.js';
import { Markup, html, px, verbatim } from './markup.js';
import { type NetworkView, type RunView, familyStyle } from './view.js';

interface Level {
  readonly key: 'computeMj' | 'registerFileMj' | 'nocMj' | 'globalBufferMj' | 'dramMj';
  readonly title: string;
}

/** From the arithmetic outwards. */
const levels: readonly Level[] = [
  { key: 'computeMj', title: 'compute' },
  { key: 'registerFileMj', title: 'register file' },
  { key: 'nocMj', title: 'network on chip' },
  { key: 'globalBufferMj', title: 'global buffer' },
  { key: 'dramMj', title: 'DRAM' },
];

type Levels = Readonly<Record<Level['key'], number>>;

/** The energy section with its switch. */
export function layersSection(view: RunView): Markup {
  const { result, networks } = view;
  if (result === undefined || networks.length === 0)
    return html`<p class="empty">Energies per layer are known when the run has finished.</p>`;
  const profiles = [result.profile, ...result.profiles.filter((profile) => profile !== result.profile)];
  return html`<div class="switch" id="energy-switch">
      ${radios('energy-profile', 'Profile', profiles, 'p')}${radios(
        'energy-network',
        'Network',
        networks.map(({ network }) => network.name),
        'n',
      )}
      ${legend()}
      ${profiles.map((profile, p) => {
        const unit = energyUnit(
          networks.flatMap(({ network }) => layerRows(network.layers[profile]).map(totalOf)),
        );
        const provenance = provenanceUnder(view, profile);
        return html`<div class="panel p${p}">
            ${figure({
              title: `Whole networks under profile ${profile}`,
              body: drawNetworks(networks, profile),
              provenance,
            })}
          </div>
          ${networks.map(
            (network, n) =>
              html`<div class="panel p${p} n${n}">
                ${figure({
                  title: `Layers of ${network.network.name} under profile ${profile}`,
                  body: drawLayers(view, network, profile, unit),
                  caption:
                    'All networks share the scale of this profile; the strip before a name has the colour of its operator family.',
                  provenance,
                })}
              </div>`,
          )}`;
      })}
      ${levelTable(networks, profiles)}
    </div>
    ${verbatim('style', switchRules(profiles.length, networks.length))}`;
}

function layerRows(layers: readonly LayerCostRecord[] | undefined): readonly LayerCostRecord[] {
  return layers ?? [];
}

function provenanceUnder(view: RunView, profile: string): string {
  const { dataset, seed } = view.header;
  return `data set ${dataset ?? 'not recorded'} · profile ${profile} · seed ${seed ?? 'not recorded'}`;
}

function radios(group: string, title: string, names: readonly string[], prefix: string): Markup {
  return html`<fieldset>
    <legend>${title}</legend>
    ${names.map(
      (name, at) =>
        html`<label
          ><input
            type="radio"
            name="${group}"
            value="${prefix}${at}"
            ${at === 0 && new Markup(' checked')}
          /><span>${name}</span></label
        >`,
    )}
  </fieldset>`;
}

function switchRules(profiles: number, networks: number): string {
  const on = (value: string): string => `:has(input[value="${value}"]:checked)`;
  const rules: string[] = ['.switch .panel{display:none}'];
  for (let p = 0; p < profiles; p++) {
    rules.push(`.switch${on(`p${p}`)} .panel.p${p}:not([class*=" n"]){display:block}`);
    for (let n = 0; n < networks; n++)
      rules.push(`.switch${on(`p${p}`)}${on(`n${n}`)} .panel.p${p}.n${n}{display:block}`);
  }
  return `@supports selector(:has(a)){${rules.join('')}}`;
}

function legend(): Markup {
  return html`<ul class="legend">
    ${levels.map(
      ({ title }, at) =>
        html`<li>
          <svg class="swatch" viewBox="0 0 18 18" aria-hidden="true">
            <path class="level${at}" d="M0 2H18V16H0Z" />
          </svg>
          ${title}
        </li>`,
    )}
  </ul>`;
}

function totalOf(row: Levels): number {
  return levels.reduce((total, { key }) => total + row[key], 0);
}

function sumLevels(rows: readonly Levels[]): Levels {
  const sum = { computeMj: 0, registerFileMj: 0, nocMj: 0, globalBufferMj: 0, dramMj: 0 };
  for (const row of rows) for (const { key } of levels) sum[key] += row[key];
  return sum;
}

interface Bar {
  readonly name: string;
  readonly levels: Levels;
  readonly colour: string;
  readonly tip: string;
}

function drawNetworks(networks: readonly NetworkView[], profile: string): Markup {
  const sums = networks.map(({ network }) => sumLevels(layerRows(network.layers[profile])));
  const unit = energyUnit(sums.map(totalOf));
  const bars = networks.map(({ network, colour }, at): Bar => {
    const sum = sums[at]!;
    return { name: network.name, levels: sum, colour, tip: tipOf(network.name, sum, unit) };
  });
  const alternative = `Energy per inference by memory level: ${bars
    .map((bar) => `${bar.name} ${withUnit(totalOf(bar.levels), unit)}`)
    .join(', ')}.`;
  return drawBars(bars, unit, Math.max(...sums.map(totalOf)), 26, alternative);
}

function drawLayers(view: RunView, { network }: NetworkView, profile: string, unit: Unit): Markup {
  const rows = layerRows(network.layers[profile]);
  const most = Math.max(
    0,
    ...view.networks.flatMap((other) => layerRows(other.network.layers[profile]).map(totalOf)),
  );
  const bars = rows.map((row): Bar => {
    const family = familyStyle(view, row.family);
    return {
      name: row.name,
      levels: row,
      colour: family.colour,
      tip: `${tipOf(`${row.name}, ${family.title}`, row, unit)}; ${row.operations.toLocaleString('en-US')} operations`,
    };
  });
  const greatest = [...rows].sort((a, b) => totalOf(b) - totalOf(a))[0];
  const alternative =
    `Energy of the ${rows.length} layers of ${network.name} by memory level` +
    (greatest === undefined ? '.' : `; the most, ${withUnit(totalOf(greatest), unit)}, in ${greatest.name}.`);
  return drawBars(bars, unit, most, 17, alternative);
}

/** The levels in the order of the legend, then their sum. */
function tipOf(name: string, row: Levels, unit: Unit): string {
  const parts = levels.map(({ key }) => significant(row[key] * unit.factor));
  return `${name}: ${parts.join(' + ')} = ${withUnit(totalOf(row), unit)}`;
}

/** Horizontal stacked bars; one path per level keeps the file small. */
function drawBars(
  bars: readonly Bar[],
  unit: Unit,
  most: number,
  pitch: number,
  alternative: string,
): Markup {
  const width = 600;
  const longest = Math.max(4, ...bars.map(({ name }) => name.length));
  const left = Math.min(230, 22 + longest * 6.8);
  const frame = frameOf(width, bars.length * pitch + 58, { left, right: 62, top: 6, bottom: 52 });
  const x = horizontal(frame, [0, most > 0 ? most * unit.factor : 1]);
  const top = (at: number): number => frame.top + at * pitch + 2;
  const thickness = pitch - 4;
  const paths = levels.map(({ key }, level) => {
    const pieces = bars.map((bar, at) => {
      const from = levels.slice(0, level).reduce((sum, inner) => sum + bar.levels[inner.key], 0);
      const length = x(bar.levels[key] * unit.factor) - x(0);
      return length < 0.05
        ? ''
        : `M${px(x(from * unit.factor))} ${top(at)}h${px(length)}v${thickness}h${px(-length)}z`;
    });
    return html`<path class="level${level}" d="${pieces.join('')}" />`;
  });
  const middle = (at: number): number => px(top(at) + thickness / 2 + 4);
  const strips = [...new Set(bars.map(({ colour }) => colour))].map((colour) => {
    const pieces = bars.map((bar, at) =>
      bar.colour === colour ? `M${px(left - 9)} ${top(at)}h5v${thickness}h-5z` : '',
    );
    return html`<path style="fill:${colour}" d="${pieces.join('')}" />`;
  });
  const names = bars.map((bar, at) => html`<text x="${px(left - 14)}" y="${middle(at)}">${bar.name}</text>`);
  const totals = bars.map((bar, at) => {
    const total = totalOf(bar.levels) * unit.factor;
    return html`<text x="${px(x(total) + 5)}" y="${middle(at)}">${significant(total)}</text>`;
  });
  const tips = bars.map(
    (bar, at) =>
      html`<path d="M0 ${top(at) - 2}h${width}v${pitch}h-${width}z"><title>${bar.tip}</title></path>`,
  );
  const rows = html`${strips}<g text-anchor="end">${names}</g>${totals}<g class="hits">${tips}</g>`;
  const axis = bottomAxis(frame, x, `energy per inference (${unit.label})`, 6);
  return html`<div class="scroll bars">${svg(width, frame.height, alternative, [axis, paths, rows])}</div>`;
}

function levelTable(networks: readonly NetworkView[], profiles: readonly string[]): Markup {
  return html`<details>
    <summary>Energy by memory level as a table</summary>
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Profile</th>
            <th scope="col">Network</th>
            ${levels.map(({ title }) => html`<th scope="col" class="number">${title}</th>`)}
            <th scope="col" class="number">total</th>
          </tr>
        </thead>
        <tbody>
          ${profiles.map((profile) =>
            networks.map(({ network }) => {
              const sum = sumLevels(layerRows(network.layers[profile]));
              const total = totalOf(sum);
              return html`<tr>
                <td>${profile}</td>
                <th scope="row">${network.name}</th>
                ${levels.map(
                  ({ key }) =>
                    html`<td class="number">${percent(total > 0 ? sum[key] / total : Number.NaN, 1)}</td>`,
                )}
                <td class="number">${withUnit(total, energyUnit([total]))}</td>
              </tr>`;
            }),
          )}
        </tbody>
      </table>
    </div>
  </details>`;
}
