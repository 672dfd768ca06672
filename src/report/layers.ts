/**
 * @file Where the energy goes: whole networks and single layers, stacked by level of the memory hierarchy.
 *
 * The switch between profiles and networks is a pair of radio groups and the `:has()` selector, so it works without
 * a script; in a browser without `:has()` every panel is shown. All networks share one scale per profile, so panels
 * can be compared by switching.
 */
import type { LayerCostRecord } from '../pipeline/run/result.js';
import { type Bar, drawBars, lengthOf, radios, stackLegend, stackTip, switchRules } from './bars.js';
import { figure } from './chart.js';
import { type Unit, energyUnit, percent, withUnit } from './format.js';
import { type Markup, html, verbatim } from './markup.js';
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
      ${stackLegend(levels.map(({ title }) => title))}
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

function valuesOf(row: Levels): readonly number[] {
  return levels.map(({ key }) => row[key]);
}

function totalOf(row: Levels): number {
  return lengthOf(valuesOf(row));
}

function sumLevels(rows: readonly Levels[]): Levels {
  const sum = { computeMj: 0, registerFileMj: 0, nocMj: 0, globalBufferMj: 0, dramMj: 0 };
  for (const row of rows) for (const { key } of levels) sum[key] += row[key];
  return sum;
}

function drawNetworks(networks: readonly NetworkView[], profile: string): Markup {
  const sums = networks.map(({ network }) => sumLevels(layerRows(network.layers[profile])));
  const unit = energyUnit(sums.map(totalOf));
  const bars = networks.map(({ network, colour }, at): Bar => {
    const sum = sums[at]!;
    return {
      name: network.name,
      values: valuesOf(sum),
      colour,
      tip: stackTip(network.name, valuesOf(sum), unit),
    };
  });
  const alternative = `Energy per inference by memory level: ${bars
    .map((bar) => `${bar.name} ${withUnit(lengthOf(bar.values), unit)}`)
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
      values: valuesOf(row),
      colour: family.colour,
      tip: `${stackTip(`${row.name}, ${family.title}`, valuesOf(row), unit)}; ${row.operations.toLocaleString('en-US')} operations`,
    };
  });
  const greatest = [...rows].sort((a, b) => totalOf(b) - totalOf(a))[0];
  const alternative =
    `Energy of the ${rows.length} layers of ${network.name} by memory level` +
    (greatest === undefined ? '.' : `; the most, ${withUnit(totalOf(greatest), unit)}, in ${greatest.name}.`);
  return drawBars(bars, unit, most, 17, alternative);
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
