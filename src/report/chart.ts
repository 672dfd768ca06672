/**
 * @file The common parts of every chart: frame, scales, axes, figure with its caption. Scales and ticks are d3's.
 *
 * Charts are static SVG strings, drawn twice where text would get too small on a phone: at {@link wideWidth} and at
 * {@link narrowWidth} user units, one of which the style sheet shows.
 */
import { scaleLinear, scaleLog } from 'd3-scale';
import type { ScaleContinuousNumeric } from 'd3-scale';
import { type Content, type Markup, html, px } from './markup.js';

export const wideWidth = 900;
export const narrowWidth = 380;

export type Scale = ScaleContinuousNumeric<number, number>;

/** The drawing area inside the margins, in SVG user units. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** A frame with room for axis labels. */
export function frameOf(width: number, height: number, margins: Partial<Frame> = {}): Frame {
  const { left = 66, right = 14, top = 14, bottom = 46 } = margins;
  return { width, height, left, right: width - right, top, bottom: height - bottom };
}

/** From the left to the right edge of the frame; logarithmic when asked and the domain is positive. */
export function horizontal(frame: Frame, domain: readonly [number, number], log = false): Scale {
  return log && domain[0] > 0
    ? scaleLog(domain, [frame.left, frame.right])
    : scaleLinear(domain, [frame.left, frame.right]);
}

/** From the bottom edge of the frame upwards. */
export function vertical(frame: Frame, domain: readonly [number, number]): Scale {
  return scaleLinear(domain, [frame.bottom, frame.top]);
}

/** The range of the finite values with a margin on both sides; never empty. `floor` and `ceiling` stay inside. */
export function paddedDomain(
  values: readonly number[],
  margin = 0.06,
  floor = Number.NEGATIVE_INFINITY,
  ceiling = Number.POSITIVE_INFINITY,
): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  const room = high > low ? (high - low) * margin : Math.abs(high) * 0.1 || 0.5;
  const domain: [number, number] = [Math.max(floor, low - room), Math.min(ceiling, high + room)];
  return domain[0] < domain[1] ? domain : [low - room, high + room];
}

/** The same on a logarithmic axis: the margin is a share of the decades. All values must be positive. */
export function paddedLogDomain(values: readonly number[], margin = 0.06): [number, number] {
  const [low, high] = paddedDomain(
    values.map((value) => Math.log10(value)),
    margin,
  );
  return [10 ** low, 10 ** high];
}

/** Horizontal axis under the frame with grid lines, tick labels and a title. */
export function bottomAxis(
  frame: Frame,
  scale: Scale,
  title: string,
  count: number,
  specifier?: string,
): Markup {
  return html`<g class="axis"
    >${thinTicks(scale, count, 44).map(
      (tick) =>
        html`<path class="grid" d="M${px(scale(tick))} ${frame.top}V${frame.bottom}" /><text
            x="${px(scale(tick))}"
            y="${frame.bottom + 17}"
            text-anchor="middle"
            >${tickText(scale, tick, count, specifier)}</text
          >`,
    )}<path class="rule" d="M${frame.left} ${frame.bottom}H${frame.right}" /><text
      class="axis-title"
      x="${px((frame.left + frame.right) / 2)}"
      y="${frame.bottom + 37}"
      text-anchor="middle"
      >${title}</text
    ></g
  >`;
}

/** Vertical axis left of the frame with grid lines, tick labels and a turned title. */
export function leftAxis(
  frame: Frame,
  scale: Scale,
  title: string,
  count: number,
  specifier?: string,
): Markup {
  const middle = px((frame.top + frame.bottom) / 2);
  return html`<g class="axis"
    >${thinTicks(scale, count, 14).map(
      (tick) =>
        html`<path class="grid" d="M${frame.left} ${px(scale(tick))}H${frame.right}" /><text
            x="${frame.left - 7}"
            y="${px(scale(tick) + 4)}"
            text-anchor="end"
            >${tickText(scale, tick, count, specifier)}</text
          >`,
    )}<text class="axis-title" transform="translate(13 ${middle}) rotate(-90)" text-anchor="middle"
      >${title}</text
    ></g
  >`;
}

/** Ticks at least `apart` units from each other: a logarithmic scale offers all of a decade whatever the count. */
function thinTicks(scale: Scale, count: number, apart: number): readonly number[] {
  const kept: number[] = [];
  for (const tick of scale.ticks(count)) {
    const previous = kept[kept.length - 1];
    if (previous === undefined || Math.abs(scale(tick) - scale(previous)) >= apart) kept.push(tick);
  }
  return kept;
}

function tickText(scale: Scale, tick: number, count: number, specifier: string | undefined): string {
  if (specifier !== undefined) return scale.tickFormat(count, specifier)(tick);
  if ('base' in scale) return String(Number(tick.toPrecision(3)));
  return scale.tickFormat(count)(tick);
}

/** The SVG element around a drawing; `alternative` says in words what is to be seen. */
export function svg(
  width: number,
  height: number,
  alternative: string,
  content: Content,
  role = 'img',
): Markup {
  return html`<svg viewBox="0 0 ${px(width)} ${px(height)}" role="${role}" aria-label="${alternative}">
    ${content}
  </svg>`;
}

/** The same drawing for wide and for narrow screens. */
export function forBothWidths(draw: (width: number) => Markup): Markup {
  return html`<div class="wide">${draw(wideWidth)}</div>
    <div class="narrow">${draw(narrowWidth)}</div>`;
}

/** A figure with its caption and where its numbers come from. */
export function figure(options: {
  readonly title?: string;
  readonly caption?: Content;
  readonly legend?: Content;
  readonly provenance: string;
  readonly body: Content;
}): Markup {
  return html`<figure>
    ${options.title !== undefined && html`<h3>${options.title}</h3>`}${options.legend} ${options.body}
    <figcaption>${options.caption} <span class="provenance">${options.provenance}</span></figcaption>
  </figure> `;
}
