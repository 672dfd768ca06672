/**
 * @file The page of `hw estimate --report`: where the energy of a priced network goes, layer by layer, split by level
 * of the memory hierarchy or by operand, under one or several profiles on one scale each.
 */
import type { LayerCost, NetworkCost } from '../hardware/estimate.js';
import { listFamilies } from '../operators/registry.js';
import { type Bar, drawBars, lengthOf, radios, stackLegend, stackTip, switchRules } from './bars.js';
import { figure } from './chart.js';
import { type Unit, energyUnit, integer, latencyUnit, withUnit } from './format.js';
import { renderPage } from './frame.js';
import { type Markup, html, verbatim } from './markup.js';

export interface CostReport {
  /** What was priced: a file or the name of a network. */
  readonly title: string;
  /** Under each profile, the same layers. */
  readonly costs: readonly NetworkCost[];
  /** What is not in the figures, in words. */
  readonly notes: readonly string[];
}

/** A way of splitting a layer's energy. */
interface Split {
  readonly name: string;
  readonly parts: readonly string[];
  readonly values: (cost: LayerCost) => readonly number[];
}

const splits: readonly Split[] = [
  {
    name: 'memory level',
    parts: ['compute', 'register file', 'network on chip', 'global buffer', 'DRAM'],
    values: ({ byLevel }) => [
      ...[byLevel.computeMj, byLevel.registerFileMj, byLevel.nocMj, byLevel.globalBufferMj, byLevel.dramMj],
    ],
  },
  {
    name: 'operand',
    parts: ['compute', 'inputs', 'weights', 'outputs and partial sums'],
    values: ({ byLevel, byOperand }) => [
      ...[byLevel.computeMj, byOperand.inputMj, byOperand.weightMj, byOperand.outputMj],
    ],
  },
];

/** The page as HTML text. */
export function renderCostPage({ title, costs, notes }: CostReport): string {
  const profiles = costs.map(({ profile }) => profile);
  const units = costs.map(({ layers }) => energyUnit(layers.map(({ energyMj }) => energyMj)));
  const panels = costs.map((cost, p) =>
    splits.map(
      (split, n) =>
        html`<div class="panel p${p} n${n}">
          ${figure({
            title: `Energy of each layer by ${split.name} under profile ${cost.profile}`,
            legend: stackLegend(split.parts),
            body: drawLayers(cost, split, units[p]!),
            caption: 'The strip before a name has the colour of its primitive: multiply, shift or add.',
            provenance: `${title} · profile ${cost.profile}`,
          })}
        </div>`,
    ),
  );
  return renderPage({
    title: `${title} – energy and latency`,
    heading: title,
    introduction: totalsTable(costs),
    sections: [
      {
        id: 'energy',
        title: 'Where the energy goes',
        content: html`<div class="switch" id="energy-switch">
            ${radios('energy-profile', 'Profile', profiles, 'p')}${radios(
              'energy-split',
              'Split by',
              splits.map(({ name }) => name),
              'n',
            )}
            ${panels}
          </div>
          ${verbatim('style', switchRules(profiles.length, splits.length))}`,
      },
      { id: 'layers', title: 'Layers', content: costs.map((cost, p) => layersTable(cost, units[p]!)) },
      {
        id: 'notes',
        title: 'What is not in these figures',
        content: html`<ul>
          ${notes.map((note) => html`<li>${note}</li>`)}
        </ul>`,
      },
    ],
    footer:
      'Made by shiftaddnas. Energies and latencies are computed by cost models, not measured on a chip.',
  });
}

/** `N1.1 M16.1.4.1 C1.3.1 E7.16`: the factors of each loop, from the register file outwards. */
export function tilingText({ N0, N3, M0, M1, M2, M3, C0, C1, C2, E1, E3 }: LayerCost['tiling']): string {
  return `N${N0}.${N3} M${M0}.${M1}.${M2}.${M3} C${C0}.${C1}.${C2} E${E1}.${E3}`;
}

function drawLayers({ layers }: NetworkCost, split: Split, unit: Unit): Markup {
  const bars = layers.map((layer): Bar => {
    const values = split.values(layer);
    const tip = `${stackTip(`${layer.name}, ${layer.primitive}`, values, unit)}; ${integer(layer.operations)} operations`;
    return { name: layer.name, values, colour: colourOf(layer), tip };
  });
  const most = Math.max(0, ...bars.map(({ values }) => lengthOf(values)));
  const greatest = bars.find(({ values }) => lengthOf(values) === most);
  const alternative =
    `Energy of ${layers.length} layers by ${split.name}` +
    (greatest === undefined ? '.' : `; the most, ${withUnit(most, unit)}, in ${greatest.name}.`);
  return drawBars(bars, unit, most, 17, alternative);
}

function colourOf({ primitive }: LayerCost): string {
  return listFamilies().find((family) => family.primitive === primitive)?.colour ?? 'var(--muted)';
}

function totalsTable(costs: readonly NetworkCost[]): Markup {
  const energy = energyUnit(costs.map(({ energyMj }) => energyMj));
  const latency = latencyUnit(costs.map(({ latencyMs }) => latencyMs));
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          <th scope="col">Profile</th>
          <th scope="col" class="number">Energy</th>
          <th scope="col" class="number">Latency</th>
          <th scope="col" class="number">Operations as priced</th>
        </tr>
      </thead>
      <tbody>
        ${costs.map(
          ({ profile, energyMj, latencyMs, operations }) =>
            html`<tr>
              <th scope="row">${profile}</th>
              <td class="number">${withUnit(energyMj, energy)}</td>
              <td class="number">${withUnit(latencyMs, latency)}</td>
              <td class="number">${integer(operations)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function layersTable({ profile, layers }: NetworkCost, unit: Unit): Markup {
  const latency = latencyUnit(layers.map(({ latencyMs }) => latencyMs));
  return html`<details>
    <summary>${layers.length} layers under ${profile}</summary>
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Layer</th>
            <th scope="col">Primitive</th>
            <th scope="col" class="number">Operations</th>
            <th scope="col" class="number">Energy</th>
            <th scope="col" class="number">Latency</th>
            <th scope="col">Tiling</th>
          </tr>
        </thead>
        <tbody>
          ${layers.map(
            (layer) =>
              html`<tr>
                <th scope="row">${layer.name}</th>
                <td>${layer.primitive}</td>
                <td class="number">${integer(layer.operations)}</td>
                <td class="number">${withUnit(layer.energyMj, unit)}</td>
                <td class="number">${withUnit(layer.latencyMs, latency)}</td>
                <td>${tilingText(layer.tiling)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`;
}
