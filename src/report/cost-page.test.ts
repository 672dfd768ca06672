import { describe, expect, it } from 'vitest';
import { estimate } from '../hardware/index.js';
import { version3Stages, visionNetwork } from '../hardware/published/vision.js';
import { renderCostPage, tilingText } from './cost-page.js';

const layers = visionNetwork({ resolution: 64, lastStride: 2, stages: version3Stages });
const profiles = ['fair', 'fair-int8', 'paper-cv-168'];
const costs = profiles.map((profile) => estimate(layers, profile));
const page = renderCostPage({ title: 'T0 <mix> & v3', costs, notes: ['no pooling & no <norms>'] });

describe('renderCostPage', () => {
  it('is one page that fetches nothing and escapes what it was given', () => {
    expect(page.startsWith('<!doctype html>')).toBe(true);
    expect(page).toContain('default-src &#39;none&#39;');
    expect(page).toContain('script-src &#39;none&#39;');
    expect(page).not.toMatch(/<script|<mix>|<norms>|src=|https?:\/\//);
    expect(page).toContain('T0 &lt;mix&gt; &amp; v3');
    expect(page).toContain('no pooling &amp; no &lt;norms&gt;');
  });

  it('has a chart of every layer for every profile and split, and the switch between them', () => {
    for (const [p, profile] of profiles.entries())
      for (const [n, split] of ['memory level', 'operand'].entries()) {
        expect(page).toContain(`<div class="panel p${p} n${n}">`);
        expect(page).toContain(`Energy of each layer by ${split} under profile ${profile}`);
        expect(page).toContain(`.panel.p${p}.n${n}{display:block}`);
      }
    expect(page.match(/aria-label="Energy of \d+ layers/g)).toHaveLength(2 * profiles.length);
    for (const { name } of layers) expect(page.split(`>${name}<`).length - 1).toBe(3 * profiles.length);
  });

  it('states the totals and every tiling', () => {
    for (const { energyMj, layers: priced } of costs) {
      expect(page).toContain(`<td class="number">${energyMj.toPrecision(3)} mJ</td>`);
      for (const { tiling } of priced) expect(page).toContain(`<td>${tilingText(tiling)}</td>`);
    }
  });

  it('draws bars as long as the energies they stand for', () => {
    const one = renderCostPage({ title: 'one', costs: [costs[0]!], notes: [] });
    const tips = [...one.matchAll(/<title>([^:]+): ([\d.e+ -]+) = ([\d.e-]+) (\S+);/g)];
    expect(tips).toHaveLength(2 * layers.length);
    for (const [, , parts, total] of tips) {
      const sum = parts!.split(' + ').reduce((all, part) => all + Number(part), 0);
      expect(Math.abs(sum - Number(total))).toBeLessThan(0.03 * Number(total));
    }
  });
});
