import { describe, expect, it } from 'vitest';
import { loadProfile } from '../hardware/index.js';
import { familyNamed } from '../operators/registry.js';
import { architectureMemory } from '../spaces/activations.js';
import { resnetArchitecture } from '../spaces/resnet.js';
import { wideWidth } from './chart.js';
import { renderMemoryPage } from './memory-page.js';

const input = { height: 32, width: 32, channels: 3 };
const architecture = resnetArchitecture({ depth: 20, family: 'conv', input, classes: 10 });
const footprints = ['fair', 'fair-int8'].map((profile) =>
  architectureMemory(architecture, familyNamed, loadProfile(profile)),
);
const page = renderMemoryPage({ title: 'a <b> & c', footprints });

describe('renderMemoryPage', () => {
  it('is one page that fetches nothing and escapes what it was given', () => {
    expect(page.startsWith('<!doctype html>')).toBe(true);
    expect(page).not.toMatch(/<script|<b>|src=|https?:\/\//);
    expect(page).toContain('a &lt;b&gt; &amp; c');
  });

  it('draws a rectangle for every buffer, in proportion, and none over another', () => {
    const drawing = page.slice(page.indexOf(`viewBox="0 0 ${wideWidth} `));
    const first = drawing.slice(0, drawing.indexOf('</svg>'));
    const boxes = [
      ...first.matchAll(/<rect\s+x="([\d.]+)"\s+y="([\d.]+)"\s+width="([\d.]+)"\s+height="([\d.]+)"/g),
    ].map((match) => match.slice(1).map(Number) as [number, number, number, number]);
    const { buffers } = footprints[0]!.plan;
    expect(boxes).toHaveLength(buffers.length);
    const scale = boxes[1]![3] / buffers[1]!.bytes;
    boxes.forEach(([x, y, width, height], at) => {
      expect(Math.abs(height - Math.max(0.5, scale * buffers[at]!.bytes))).toBeLessThan(0.2);
      for (const [otherX, otherY, otherWidth, otherHeight] of boxes.slice(at + 1)) {
        const across = Math.min(x + width, otherX + otherWidth) - Math.max(x, otherX);
        const up = Math.min(y + height, otherY + otherHeight) - Math.max(y, otherY);
        expect(Math.min(across, up)).toBeLessThan(0.55);
      }
    });
    expect(page).toContain('>192 KiB<');
    expect(page).toContain('>48.0 KiB<');
  });
});
