/**
 * @file The page of `hw memory --report`: the arena as a map, time across and offset upwards, one rectangle a buffer.
 */
import { type MemoryFootprint, stepName } from '../hardware/memory/footprint.js';
import { listFamilies } from '../operators/registry.js';
import { forBothWidths, figure, frameOf, horizontal, leftAxis, svg, vertical } from './chart.js';
import { byteUnit, integer, withUnit } from './format.js';
import { renderPage } from './frame.js';
import { type Markup, html, px } from './markup.js';

export interface MemoryReport {
  /** What was planned: a file or the name of a network. */
  readonly title: string;
  /** The same network under each profile. */
  readonly footprints: readonly MemoryFootprint[];
}

/** The page as HTML text. */
export function renderMemoryPage({ title, footprints }: MemoryReport): string {
  return renderPage({
    title: `${title} – memory`,
    heading: title,
    introduction: totalsTable(footprints),
    sections: footprints.map((footprint, at) => ({
      id: `arena-${at}`,
      title: `The arena under ${footprint.profile}`,
      content: [arenaFigure(title, footprint), planTable(footprint)],
    })),
    footer:
      'Made by shiftaddnas. Activations and parameters only; code, stack and scratch of kernels come on top.',
  });
}

function arenaFigure(title: string, footprint: MemoryFootprint): Markup {
  const { plan, graph, profile } = footprint;
  return figure({
    title: `Who stands where in the arena, step by step, under profile ${profile}`,
    body: forBothWidths((width) => drawArena(footprint, width)),
    caption: `The dashed line is the bound, ${integer(plan.boundBytes)} bytes alive at once during ${stepName(graph, plan.boundStep)}. Colours only tell neighbours apart.`,
    provenance: `${title} · profile ${profile}`,
  });
}

function drawArena({ plan, graph }: MemoryFootprint, width: number): Markup {
  const unit = byteUnit([plan.bytes]);
  const frame = frameOf(width, 340);
  const steps = graph.steps.length;
  const x = horizontal(frame, [-1, steps + 1]);
  const y = vertical(frame, [0, plan.bytes * unit.factor * 1.05]);
  const colours = [...listFamilies().map(({ colour }) => colour)];
  const boxes = plan.buffers.map(({ tensors, offset, bytes, firstStep, lastStep }, at) => {
    const left = x(Math.max(-1, firstStep));
    const top = y((offset + bytes) * unit.factor);
    const across = x(Math.min(steps, lastStep) + 1) - left;
    const up = y(offset * unit.factor) - top;
    const tip = `${tensors.join(' = ')}: ${integer(bytes)} bytes at ${integer(offset)}, from ${stepName(graph, firstStep)} to ${stepName(graph, lastStep)}`;
    return html`<rect
      x="${px(left)}"
      y="${px(top)}"
      width="${px(across)}"
      height="${px(Math.max(up, 0.5))}"
      style="fill:${colours[at % colours.length]!};fill-opacity:0.55;stroke:var(--ink,#222);stroke-width:0.6"
      ><title>${tip}</title></rect
    >`;
  });
  const bound = px(y(plan.boundBytes * unit.factor));
  const peak = px(x(plan.boundStep + 0.5));
  return svg(
    width,
    frame.height,
    `Arena of ${withUnit(plan.bytes, unit)} over ${steps} steps; the peak is at ${stepName(graph, plan.boundStep)}.`,
    [
      leftAxis(frame, y, `offset (${unit.label})`, 6),
      boxes,
      html`<path
        d="M${frame.left} ${bound}H${frame.right}"
        style="stroke:currentColor;stroke-dasharray:5 4;fill:none"
      />`,
      html`<text class="axis-title" x="${peak}" y="${frame.bottom + 17}" text-anchor="middle"
        >peak: ${stepName(graph, plan.boundStep)}</text
      >`,
      html`<text
        class="axis-title"
        x="${px((frame.left + frame.right) / 2)}"
        y="${frame.bottom + 37}"
        text-anchor="middle"
        >steps in order of execution</text
      >`,
    ],
  );
}

function totalsTable(footprints: readonly MemoryFootprint[]): Markup {
  const sram = byteUnit(footprints.map(({ sramBytes }) => sramBytes));
  const flash = byteUnit(footprints.map(({ flashBytes }) => flashBytes));
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          <th scope="col">Profile</th>
          <th scope="col" class="number">SRAM</th>
          <th scope="col" class="number">Bound</th>
          <th scope="col">Peak at</th>
          <th scope="col" class="number">Flash</th>
        </tr>
      </thead>
      <tbody>
        ${footprints.map(
          ({ profile, sramBytes, flashBytes, plan, graph }) =>
            html`<tr>
              <th scope="row">${profile}</th>
              <td class="number">${withUnit(sramBytes, sram)}</td>
              <td class="number">${withUnit(plan.boundBytes, sram)}</td>
              <td>${stepName(graph, plan.boundStep)}</td>
              <td class="number">${withUnit(flashBytes, flash)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function planTable({ plan, graph }: MemoryFootprint): Markup {
  return html`<details>
    <summary>${plan.buffers.length} buffers</summary>
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Tensor</th>
            <th scope="col" class="number">Bytes</th>
            <th scope="col" class="number">Offset</th>
            <th scope="col">First use</th>
            <th scope="col">Last use</th>
          </tr>
        </thead>
        <tbody>
          ${plan.buffers.map(
            ({ tensors, bytes, offset, firstStep, lastStep }) =>
              html`<tr>
                <th scope="row">${tensors.join(' = ')}</th>
                <td class="number">${integer(bytes)}</td>
                <td class="number">${integer(offset)}</td>
                <td>${stepName(graph, firstStep)}</td>
                <td>${stepName(graph, lastStep)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`;
}
