/**
 * @file Horizontal stacked bars with their legend, and a switch between panels that needs no script.
 */
import { bottomAxis, frameOf, horizontal, svg } from './chart.js';
import { type Unit, significant, withUnit } from './format.js';
import { Markup, html, px } from './markup.js';

/** One bar: a value for each part of the stack, in the unit that the chart converts from. */
export interface Bar {
  readonly name: string;
  readonly values: readonly number[];
  readonly colour: string;
  readonly tip: string;
}

/** The sum of a bar. */
export function lengthOf(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** What each part of a stack means, in the colours of the parts. */
export function stackLegend(parts: readonly string[]): Markup {
  return html`<ul class="legend">
    ${parts.map(
      (title, at) =>
        html`<li>
          <svg class="swatch" viewBox="0 0 18 18" aria-hidden="true">
            <path class="level${at}" d="M0 2H18V16H0Z" />
          </svg>
          ${title}
        </li>`,
    )}
  </ul>`;
}

/** The parts in the order of the legend, then their sum. */
export function stackTip(name: string, values: readonly number[], unit: Unit): string {
  const parts = values.map((value) => significant(value * unit.factor));
  return `${name}: ${parts.join(' + ')} = ${withUnit(lengthOf(values), unit)}`;
}

/** Horizontal stacked bars on one scale up to `most`; one path per part keeps the file small. */
export function drawBars(
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
  const paths = (bars[0]?.values ?? []).map((_, part) => {
    const pieces = bars.map((bar, at) => {
      const from = lengthOf(bar.values.slice(0, part));
      const length = x(bar.values[part]! * unit.factor) - x(0);
      return length < 0.05
        ? ''
        : `M${px(x(from * unit.factor))} ${top(at)}h${px(length)}v${thickness}h${px(-length)}z`;
    });
    return html`<path class="level${part}" d="${pieces.join('')}" />`;
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
    const total = lengthOf(bar.values) * unit.factor;
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

/** A group of radio buttons; the first is chosen. Button `at` has the value `PREFIXat`. */
export function radios(group: string, title: string, names: readonly string[], prefix: string): Markup {
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

/**
 * Style rules that show the panels `.pI` and `.pI.nJ` of a `.switch` for the buttons chosen. They hang on `:has()`; a
 * browser without it shows every panel.
 */
export function switchRules(profiles: number, networks: number): string {
  const on = (value: string): string => `:has(input[value="${value}"]:checked)`;
  const rules: string[] = ['.switch .panel{display:none}'];
  for (let p = 0; p < profiles; p++) {
    rules.push(`.switch${on(`p${p}`)} .panel.p${p}:not([class*=" n"]){display:block}`);
    for (let n = 0; n < networks; n++)
      rules.push(`.switch${on(`p${p}`)}${on(`n${n}`)} .panel.p${p}.n${n}{display:block}`);
  }
  return `@supports selector(:has(a)){${rules.join('')}}`;
}
