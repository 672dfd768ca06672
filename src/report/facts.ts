/**
 * @file The facts that make a run repeatable: data, splits, schedule, seed, versions, machine, command, notices.
 */
import type { RunResult } from '../pipeline/run/result.js';
import { duration, integer } from './format.js';
import { type Content, type Markup, html } from './markup.js';
import { type RunView, budgetText } from './view.js';

type Facts = readonly (readonly [string, Content])[];

/** The list of facts; for a run without a result, what is known. */
export function factsSection(view: RunView): Markup {
  const { result, header } = view;
  const budget = view.budget.length === 0 ? 'none' : view.budget.map(budgetText).join(' and ');
  if (result === undefined)
    return block('Run', [
      ['name', header.name],
      ['data set', header.dataset ?? 'not recorded yet'],
      ['profile', header.profile ?? 'not recorded yet'],
      ['seed', header.seed ?? 'not recorded yet'],
      ['budget', header.budget === undefined ? (header.budgetAsGiven ?? 'not recorded yet') : budget],
      ['command', header.command === undefined ? 'not recorded yet' : html`<code>${header.command}</code>`],
    ]);
  const { dataset, machine, search, space } = result;
  return html`<div class="facts">
    ${block('Run', [
      ['command', html`<code>${result.command}</code>`],
      ['seed', result.seed],
      ['started', result.startedAt],
      ['took', duration(result.seconds)],
      ...pairs(result.phaseSeconds, (seconds) => duration(seconds)),
    ])}${block('Data', [
      ['data set', dataset.name],
      ['given as', html`<code>${dataset.spec}</code>`],
      ['fingerprint', html`<code>${dataset.fingerprint}</code>`],
      [
        'images',
        `${dataset.height}×${dataset.width}, ${dataset.channels} ${dataset.channels === 1 ? 'channel' : 'channels'}`,
      ],
      ['train', `${integer(dataset.trainImages)} images: weights`],
      ['search-validation', `${integer(dataset.searchValidationImages)} images: choosing`],
      ['test', `${integer(dataset.testImages)} images: read once per reported network`],
      [
        'classes',
        html`${dataset.classes.length}:
        ${dataset.classes.slice(0, 40).join(', ')}${dataset.classes.length > 40 && ' …'}`,
      ],
    ])}${block('Search', [
      ['space', `${space.name}, ${space.size} architectures`],
      ['families', space.families.join(', ')],
      ['budget', budget],
      [
        'profile',
        `${result.profile}; also reported: ${result.profiles.filter((name) => name !== result.profile).join(', ') || 'none'}`,
      ],
      ...(result.latencyTable === undefined
        ? []
        : ([
            ['latency by', `${result.latencyTable.file}, measured on ${result.latencyTable.machine}`],
          ] as const)),
      ...searchFacts(search),
      ['generations', integer(search.generations)],
      ['evaluated', evaluatedText(result)],
      ['best genome', html`<code>${search.bestGenome.join(' ')}</code>`],
    ])}${block(
      'Training schedule',
      pairs(result.schedule, (value) => value),
    )}${block('Machine', [
      ['processor', machine.cpu],
      ['cores', `${machine.cores}, ${machine.threads} ${machine.threads === 1 ? 'thread' : 'threads'} used`],
      ['memory', `${machine.memoryGiB.toFixed(1)} GiB`],
      ['platform', machine.platform],
      ['device', machine.device],
    ])}${block(
      'Versions',
      pairs(result.versions, (version) => version),
    )}
  </div>`;
}

/** How the search went about it, where the run says. */
function searchFacts({
  strategy,
  surrogate,
  objectives,
  front,
  archiveHash,
  prefilter,
}: RunResult['search']): Facts {
  if (strategy === undefined || objectives === undefined) return [];
  return [
    ['strategy', strategy],
    ['surrogate', surrogate ?? 'none'],
    ...(prefilter === undefined
      ? []
      : ([
          [
            'pre-filter',
            `${prefilter.scorer}: ${integer(prefilter.kept)} of ${integer(prefilter.pool)} random networks`,
          ],
        ] as const)),
    ['objectives', objectives.join(', ')],
    ['front', `${integer(front?.length ?? 0)} candidates that no other one beats in all objectives`],
    ['archive', html`<code>${archiveHash ?? 'not recorded'}</code>`],
  ];
}

function evaluatedText({ search, phaseSeconds }: RunResult): string {
  const seconds = phaseSeconds['search'] ?? 0;
  const pace = seconds > 0 ? `, ${(search.evaluated / seconds).toPrecision(3)} a second` : '';
  return `${integer(search.evaluated)} candidates${pace}`;
}

/** Notices of the data set and of the run, or nothing. */
export function noticeList(notices: readonly string[]): Markup | null {
  if (notices.length === 0) return null;
  return html`<h3>Notices</h3>
    <ul class="notices">
      ${notices.map((notice) => html`<li>${notice}</li>`)}
    </ul>`;
}

function pairs<T>(record: Readonly<Record<string, T>>, show: (value: T) => Content): Facts {
  return Object.entries(record).map(([name, value]) => [name, show(value)] as const);
}

function block(title: string, facts: Facts): Markup {
  return html`<div>
    <h3>${title}</h3>
    <dl>
      ${facts.map(
        ([name, value]) =>
          html`<dt>${name}</dt>
            <dd>${value}</dd>`,
      )}
    </dl>
  </div>`;
}
