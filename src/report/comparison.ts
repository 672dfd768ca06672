/**
 * @file What the run found, in one sentence, a few large numbers, and the table of the retrained networks.
 */
import type { NetworkResult, RunResult } from '../pipeline/run/result.js';
import { standInNotes } from '../pipeline/search/stand-ins.js';
import {
  countUnit,
  duration,
  byteUnit,
  energyUnit,
  integer,
  latencyUnit,
  percent,
  squareMillimetres,
  wilsonInterval,
  withUnit,
} from './format.js';
import { type Content, type Markup, html } from './markup.js';
import { figure } from './chart.js';
import { conv } from '../operators/conv/family.js';
import { Quantity } from '../search/costs.js';
import { networkSwatch } from './scatter.js';
import { type RunView, budgetText, foundName } from './view.js';

const referenceName = `all-${conv.shortName}`;

/** The headline: one sentence, then the numbers a person came for. */
export function headline(view: RunView): Markup {
  const { result } = view;
  const found = result?.networks.find(({ name }) => name === foundName);
  if (result === undefined || found === undefined) return unfinishedHeadline(view);
  const reference = result.networks.find(({ name }) => name === referenceName);
  const { profile } = result;
  const energy = found.energyMj[profile] ?? Number.NaN;
  const referenceEnergy = reference?.energyMj[profile] ?? Number.NaN;
  const limits = result.budget.map(budgetText).join(' and ');
  const change = energy / referenceEnergy - 1;
  return html`<p class="headline">
      On <b>${result.dataset.name}</b>${limits === '' ? ', without a budget' : html`, with <b>${limits}</b>`}
      under profile <b>${profile}</b> and seed ${result.seed}, the hybrid reaches
      <b>${percent(found.testAccuracy)}</b> test accuracy at <b>${withUnit(energy, view.energy)}</b> per
      inference${
        Number.isFinite(change) &&
        html`: ${changeText(change, 'energy')} than all-conv, which reaches
        ${percent(reference!.testAccuracy)} at ${withUnit(referenceEnergy, view.energy)}`
      }.
    </p>
    ${remarks(result, found)}
    <ul class="tiles">
      ${tile('Test accuracy (hybrid)', percent(found.testAccuracy), intervalText(found, result))}
      ${tile('Energy per inference', withUnit(energy, view.energy), `profile ${profile}`)}
      ${
        Number.isFinite(change) &&
        tile(
          'Energy against all-conv',
          signed(change),
          `accuracy ${signedPoints(found.testAccuracy - reference!.testAccuracy)}`,
        )
      }
      ${tile('Budget', found.withinBudget ? 'kept' : 'exceeded', limits === '' ? 'none was set' : limits)}
      ${tile('Candidates evaluated', integer(result.search.evaluated), `of ${result.space.size} in space ${result.space.name}`)}
    </ul>`;
}

function unfinishedHeadline(view: RunView): Markup {
  const best = view.candidates.reduce(
    (most, { accuracy }) => Math.max(most, accuracy),
    Number.NEGATIVE_INFINITY,
  );
  return html`<p class="headline">
    ${
      view.candidates.length === 0
        ? 'No candidate has been evaluated yet.'
        : html`${integer(view.candidates.length)} candidates evaluated so far; the best reaches
            <b>${percent(best)}</b> on search-validation with inherited weights.`
    }
  </p>`;
}

/** What would be left out by a report that only praises the winner. */
function remarks(result: RunResult, found: NetworkResult): Markup | null {
  const better = result.networks.filter(
    ({ name, withinBudget, testAccuracy }) =>
      name !== foundName && withinBudget && testAccuracy > found.testAccuracy,
  );
  const [low, high] = wilsonInterval(found.testAccuracy, Math.max(1, result.dataset.testImages));
  const close = result.networks.filter(
    ({ name, testAccuracy }) => name !== foundName && testAccuracy >= low && testAccuracy <= high,
  );
  const lines: Markup[] = [];
  if (better.length > 0)
    lines.push(
      html`Within the budget, ${names(better)} ${better.length === 1 ? 'is' : 'are'} more accurate than the
      hybrid in this run.`,
    );
  if (close.length > 0)
    lines.push(
      html`The accuracy of ${names(close)} lies inside the hybrid's 95 % interval:
      ${integer(result.dataset.testImages)} test images cannot tell them apart.`,
    );
  if (lines.length === 0) return null;
  return html`<p class="remark">${lines.map((line, at) => (at === 0 ? line : html` ${line}`))}</p>`;
}

function names(networks: readonly NetworkResult[]): string {
  const all = networks.map(({ name }) => name);
  return all.length < 2 ? all.join('') : `${all.slice(0, -1).join(', ')} and ${all[all.length - 1]!}`;
}

function tile(label: string, value: string, below: string): Markup {
  return html`<li>
    <span class="tile-label">${label}</span><span class="tile-value">${value}</span
    ><span class="tile-below">${below}</span>
  </li>`;
}

function intervalText({ testAccuracy }: NetworkResult, result: RunResult): string {
  const [low, high] = wilsonInterval(testAccuracy, Math.max(1, result.dataset.testImages));
  return `95 %: ${(100 * low).toFixed(2)}–${(100 * high).toFixed(2)}`;
}

function changeText(change: number, quantity: string): string {
  return `${percent(Math.abs(change), 1)} ${change <= 0 ? 'less' : 'more'} ${quantity}`;
}

function signed(change: number): string {
  return `${change > 0 ? '+' : change < 0 ? '−' : ''}${percent(Math.abs(change), 1)}`;
}

function signedPoints(difference: number): string {
  const sign = difference > 0 ? '+' : difference < 0 ? '−' : '±';
  return `${sign}${(100 * Math.abs(difference)).toFixed(2)} points`;
}

/** The table of the retrained networks; says so while there is none. */
export function comparisonSection(view: RunView): Markup {
  const { result } = view;
  if (result === undefined || result.networks.length === 0)
    return html`<p class="empty">The networks are compared when the run has finished.</p>`;
  const profiles = [result.profile, ...result.profiles.filter((profile) => profile !== result.profile)];
  const macs = countUnit(result.networks.map((network) => network.macs));
  const params = countUnit(result.networks.map((network) => network.params));
  const reference = result.networks.find(({ name }) => name === referenceName);
  const severalSeeds = result.networks.some(({ seeds }) => seeds !== undefined);
  const withArea = result.budget.some(({ quantity }) => quantity === Quantity.Area);
  // Runs of before memory was counted have none of these columns.
  const memory = (['sramBytes', 'flashBytes'] as const)
    .filter((key) => result.networks.some((network) => network[key] !== undefined))
    .map((key) => ({
      title: key === 'sramBytes' ? 'SRAM' : 'Flash',
      of: (network: NetworkResult) => network[key] ?? Number.NaN,
      unit: byteUnit(result.networks.map((network) => network[key] ?? 0)),
    }));
  const head = (title: string, below = '', numeric = true): Markup =>
    html`<th scope="col" ${numeric && html` class="number"`}>
      ${title}${below !== '' && html`<span class="small">${below}</span>`}
    </th>`;
  const unitOf = (profile: string) =>
    energyUnit(result.networks.map((network) => network.energyMj[profile] ?? 0));
  const timeOf = (profile: string) =>
    latencyUnit(result.networks.map((network) => network.latencyMs[profile] ?? 0));
  const measuredUnit = latencyUnit(result.networks.map((network) => network.tableLatencyMs ?? 0));
  const table = html`<div class="scroll">
    <table aria-labelledby="networks-title">
      <thead>
        <tr>
          ${head('Network', '', false)}${head('Test accuracy', severalSeeds ? 'mean ± sd over seeds' : '95 % interval')}${head('Budget', '', false)}${profiles.map(
            (profile, at) => head('Energy', `${profile}${at === 0 ? ' *' : ''}`),
          )}${profiles.map((profile) => head('Latency', profile))}${result.latencyTable !== undefined && head('Latency', 'measured')}${head('Ops')}${head('Params')}${withArea && head('Area', result.profile)}${memory.map(({ title }) => head(title, result.profile))}${head('Training')}
        </tr>
      </thead>
      <tbody>
        ${view.networks.map((style) => {
          const { network } = style;
          return html`<tr${network.name === foundName && html` class="found"`}><th scope="row">${networkSwatch(style)} ${network.name}</th>${accuracyCell(network, result)}<td>${
            result.budget.length === 0 ? 'none' : network.withinBudget ? '✓ kept' : '✗ over'
          }</td>${profiles.map((profile) =>
            cell(
              withUnit(network.energyMj[profile] ?? Number.NaN, unitOf(profile)),
              relative(network, reference, profile),
            ),
          )}${profiles.map((profile) =>
            cell(withUnit(network.latencyMs[profile] ?? Number.NaN, timeOf(profile))),
          )}${result.latencyTable !== undefined && cell(withUnit(network.tableLatencyMs ?? Number.NaN, measuredUnit))}${cell(withUnit(network.macs, macs))}${cell(withUnit(network.params, params))}${withArea && cell(withUnit(network.areaMm2 ?? Number.NaN, squareMillimetres))}${memory.map(({ of, unit }) => cell(withUnit(of(network), unit)))}${cell(duration(network.trainSeconds))}</tr>`;
        })}
      </tbody>
    </table>
  </div>`;
  return figure({
    body: table,
    caption: html`${standInNotes(result).map((note) => html`${note}. `)}Every network is trained from scratch
    under the same schedule and the test set is read once for
    each${severalSeeds && ' seed; the first seed is that of the model that is handed over and of every other figure'}.
    Costs are per inference at batch 1, energy with its change against ${referenceName}; operations are
    multiply-, shift- or
    add-accumulates.${result.budget.length > 0 && ' * The budget is measured under this profile.'}${
      result.latencyTable !== undefined &&
      ` Latencies of the budget are those measured on ${result.latencyTable.machine}.`
    }`,
    provenance: view.provenance,
  });
}

function cell(text: string, below: Content = null): Markup {
  return html`<td class="number">${text}${below !== null && html`<span class="small">${below}</span>`}</td>`;
}

/** With several seeds the mean, and below it what each reached; else the accuracy with its interval. */
function accuracyCell(network: NetworkResult, result: RunResult): Markup {
  const { seeds, meanTestAccuracy, testAccuracyDeviation } = network;
  if (seeds === undefined || meanTestAccuracy === undefined || testAccuracyDeviation === undefined)
    return cell(percent(network.testAccuracy), intervalOf(network, result));
  return cell(
    `${(100 * meanTestAccuracy).toFixed(2)} ± ${(100 * testAccuracyDeviation).toFixed(2)} %`,
    seeds.map(({ testAccuracy }) => (100 * testAccuracy).toFixed(2)).join(', '),
  );
}

function intervalOf({ testAccuracy }: NetworkResult, result: RunResult): string {
  const [low, high] = wilsonInterval(testAccuracy, Math.max(1, result.dataset.testImages));
  return `${(100 * low).toFixed(2)}–${(100 * high).toFixed(2)}`;
}

function relative(
  network: NetworkResult,
  reference: NetworkResult | undefined,
  profile: string,
): string | null {
  if (reference === undefined || network === reference) return null;
  const change = (network.energyMj[profile] ?? Number.NaN) / (reference.energyMj[profile] ?? Number.NaN) - 1;
  return Number.isFinite(change) ? signed(change) : null;
}
