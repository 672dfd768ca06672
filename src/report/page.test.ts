import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import type { RunResult } from '../pipeline/run/result.js';
import { madeUpEvents, madeUpFamilies, madeUpResult, madeUpSpace } from './fixture.cases.js';
import { renderReport } from './page.js';
import { candidateLimit } from './scatter.js';

const architectureOf = (genome: readonly number[]) => madeUpSpace.architecture(genome);
const page = renderReport(madeUpResult(), madeUpEvents(), madeUpFamilies, { architectureOf });

interface ClientData {
  readonly blocks: readonly (readonly string[])[];
  readonly candidates: readonly { readonly g: string; readonly b: readonly number[] }[];
}

function clientData(html: string): ClientData {
  const json = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html)![1]!;
  return JSON.parse(json) as ClientData;
}

function sectionOf(html: string, id: string): string {
  return new RegExp(`<section id="${id}".*?</section>`, 's').exec(html)![0];
}

/** Every element that needs an end tag has one, in the right order. */
function firstUnbalanced(html: string): string | null {
  const open: string[] = [];
  const body = html.replace(/<(style|script)[^>]*>.*?<\/\1>/gs, '').replace('<!doctype html>', '');
  for (const [tag, end, name, self] of body.matchAll(/<(\/?)([a-zA-Z][\w]*)(?:"[^"]*"|[^>"])*?(\/?)>/g)) {
    if (self === '/') continue;
    if (end === '') open.push(name!);
    else if (open.pop() !== name) return tag;
  }
  return open.pop() ?? null;
}

test('every section is there, with headings, figures and provenance', () => {
  for (const id of [
    'networks',
    'tradeoff',
    'trajectory',
    'architecture',
    'energy',
    'weights',
    'training',
    'facts',
  ])
    expect(sectionOf(page, id)).toContain(`<h2 id="${id}-title">`);
  expect(page).not.toContain('class="empty"');
  const figures = page.match(/<figure>/g)!.length;
  expect(page.match(/data set MNIST · profile \w+ · seed 1<\/span/g)!.length).toBe(figures);
  for (const drawing of page.match(/<svg[^>]*>/g)!)
    expect(drawing).toMatch(/aria-label="[^"]+"|aria-hidden="true"/);
  for (const name of ['hybrid', 'all-conv', 'all-shift', 'all-add', 'conv-scaled'])
    expect(sectionOf(page, 'networks')).toContain(`> ${name}</th`);
  expect(firstUnbalanced(page)).toBeNull();
});

test('the headline says what was measured and what speaks against the winner', () => {
  const result = madeUpResult();
  const text = page.replace(/<[^>]+>/g, '').replace(/\s+/g, ' ');
  const [hybrid, conv] = [result.networks[0]!, result.networks[1]!];
  const saved = 100 * (1 - hybrid.energyMj['fair']! / conv.energyMj['fair']!);
  expect(text).toContain('the hybrid reaches 98.74 % test accuracy');
  expect(text).toContain(`${saved.toFixed(1)} % less energy than all-conv, which reaches 99.02 %`);
  expect(text).toContain('Within the budget, conv-scaled is more accurate than the hybrid in this run.');
});

test('nothing is fetched: no address but the SVG name space, and a policy that forbids it', () => {
  const script = page.slice(page.lastIndexOf('<script>') + 8, page.lastIndexOf('</script>'));
  expect(page).not.toMatch(/https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  expect(page).not.toMatch(/\b(src|srcset|xlink:href)=|@import|url\(/);
  expect([...page.matchAll(/href="([^"]*)"/g)].every(([, target]) => /^(#|data:)/.test(target!))).toBe(true);
  const hash = createHash('sha256').update(script, 'utf8').digest('base64');
  expect(page).toContain(`default-src &#39;none&#39;`);
  expect(page).toContain(`script-src &#39;sha256-${hash}&#39;`);
});

test('text of the user is never markup', () => {
  const evil = `</script><script>alert(1)</script><img src=x onerror="alert(2)">'"&`;
  const result = madeUpResult();
  const dressed: RunResult = {
    ...result,
    name: evil,
    command: evil,
    profile: evil,
    profiles: [evil],
    dataset: {
      ...result.dataset,
      name: evil,
      spec: evil,
      classes: [evil],
      notices: [evil],
      fingerprint: evil,
    },
    schedule: { [evil]: evil },
    versions: { [evil]: evil },
    networks: result.networks.map((network) => ({
      ...network,
      name: network.name === 'all-add' ? evil : network.name,
      energyMj: { [evil]: 1 },
      latencyMs: { [evil]: 1 },
      layers: {
        [evil]: network.layers['fair']!.map((layer) => ({ ...layer, name: layer.name + evil, family: evil })),
      },
    })),
  };
  const events = madeUpEvents().map((event) =>
    event.type === 'candidate' ? { ...event, origin: evil } : event,
  );
  const html = renderReport(
    dressed,
    [...events, { type: 'notice', time: '', message: evil }],
    [{ name: evil, title: evil, colour: 'red;background:url(//x)' }, ...madeUpFamilies],
  );
  expect(html.match(/<script/g)!.length).toBe(2);
  expect(html).not.toContain('<img');
  expect(html).not.toContain('url(');
  expect(firstUnbalanced(html)).toBeNull();
  expect(() => clientData(html)).not.toThrow();
});

test('a click finds the blocks of the very candidate', () => {
  const { blocks, candidates } = clientData(page);
  expect(candidates.length).toBeGreaterThan(100);
  for (const { g, b } of candidates) {
    const { blocks: expected } = madeUpSpace.architecture(g.split(' ').map(Number));
    expect(b.map((at) => blocks[at]![0])).toEqual(expected.map(({ name }) => name));
    expect(b.map((at) => blocks[at]![1] === 'skip')).toEqual(expected.map(({ kind }) => kind === 'skip'));
  }
  const firsts = [...page.matchAll(/data-first="(\d+)" d="([^"]*)"/g)];
  const drawnWide = firsts.slice(0, firsts.length / 2);
  const dots = drawnWide.reduce((sum, [, , path]) => sum + path!.split('M').length - 1, 0);
  expect(dots).toBe(candidates.length);
});

test('an unfinished run shows what there is under a banner', () => {
  const html = renderReport(undefined, madeUpEvents(), madeUpFamilies, {
    header: { name: 'half', dataset: 'MNIST', seed: 3 },
  });
  expect(html).toContain('This run is not finished.');
  expect(page).not.toContain('This run is not finished.');
  expect(html).toContain('data set MNIST · profile not recorded yet · seed 3');
  expect(sectionOf(html, 'trajectory')).toContain('class="best"');
  expect(sectionOf(html, 'tradeoff')).toContain('class="front"');
  expect(sectionOf(html, 'training')).toContain('class="curve"');
  expect(sectionOf(html, 'architecture')).toContain('class="empty"');
  expect(firstUnbalanced(html)).toBeNull();
  expect(firstUnbalanced(renderReport(undefined, [], madeUpFamilies))).toBeNull();
});

test('ten thousand candidates are thinned and the page says so', () => {
  const html = renderReport(madeUpResult(), madeUpEvents(10_000), madeUpFamilies, { architectureOf });
  const front = html.match(/class="front-point"\s+data-candidate/g)!.length / 2;
  const { length } = clientData(html).candidates;
  expect(length).toBeLessThanOrEqual(candidateLimit + front);
  expect(length).toBeGreaterThan(candidateLimit / 3);
  expect(html.replace(/\s+/g, ' ')).toMatch(/[\d,]+ of [\d,]+ candidates are drawn/);
  expect(html.length).toBeLessThan(700_000);
});

test('a budget on another quantity gets its own chart with its own line', () => {
  const html = renderReport(
    madeUpResult({ budget: [{ quantity: 'params', limit: 60_000 }] }),
    madeUpEvents(),
    madeUpFamilies,
  );
  const section = sectionOf(html, 'tradeoff');
  expect(section).toContain('Accuracy against energy');
  expect(section).toContain('Accuracy against parameters');
  expect(section.match(/class="budget"/g)!.length).toBe(2);
  expect(section).toContain('budget: parameters ≤ 60,000');
});
