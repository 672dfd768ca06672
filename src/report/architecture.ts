/**
 * @file The found architecture as a drawing: stages as columns (or one column on a phone), blocks in their family's colour.
 */
import {
  type Architecture,
  type BlockDescription,
  BlockKind,
  Features,
  type StemDescription,
} from '../spaces/architecture.js';
import { classifierName, fixedFamily, stemName } from '../spaces/blocks/ends.js';
import { ruleOf } from '../spaces/blocks/registry.js';
import { planLayers } from '../spaces/layers.js';
import type { LayerCostRecord } from '../pipeline/run/result.js';
import { figure, narrowWidth, svg, wideWidth } from './chart.js';
import { percent, withUnit } from './format.js';
import { type Content, type Markup, html, px } from './markup.js';
import { type RunView, familyStyle, foundName, shortTitle } from './view.js';

/** A rectangle of the drawing. */
interface Node {
  readonly name: string;
  readonly title: string;
  readonly lines: readonly string[];
  /** Family name; undefined for the input and for a skip. */
  readonly family: string | undefined;
  readonly skip: boolean;
  readonly energyMj: number | undefined;
}

interface Group {
  readonly title: string;
  readonly nodes: readonly Node[];
}

const gap = 22;
const headerHeight = 30;

/** The drawing of the found network; says so while there is none. */
export function architectureSection(view: RunView): Markup {
  const found = view.networks.find(({ network }) => network.name === foundName) ?? view.networks[0];
  if (found === undefined || view.result === undefined)
    return html`<p class="empty">The architecture is known when the search has finished.</p>`;
  const { architecture, layers, name } = found.network;
  const groups = groupsOf(architecture, layers[view.result.profile] ?? [], view);
  const used = new Set(
    groups.flatMap(({ nodes }) => nodes.flatMap(({ family }) => (family === undefined ? [] : [family]))),
  );
  const counts = [...used].map((family) => {
    const blocks = architecture.blocks.filter((block) => block.family === family).length;
    const style = familyStyle(view, family);
    return html`<li>
      <span class="chip-colour" style="background:${style.colour}"></span> ${style.title}:
      ${blocks === 0 ? 'stem and classifier' : `${blocks} of ${architecture.blocks.length} blocks`}
    </li>`;
  });
  const skips = architecture.blocks.filter(({ kind }) => kind === BlockKind.Skip).length;
  const alternative = `Architecture of ${name}: ${groups
    .map(
      (group) =>
        `${group.title}: ${group.nodes.map(({ title, lines }) => [title, ...lines].join(' ')).join('; ')}`,
    )
    .join('. ')}.`;
  return figure({
    legend: html`<ul class="legend">
      ${counts}
      <li><span class="chip-colour chip-skip"></span> skip (identity): ${skips}</li>
    </ul>`,
    body: html`<div class="wide">${drawColumns(view, groups, alternative)}</div>
      <div class="narrow">${drawOneColumn(view, groups, alternative)}</div>`,
    caption: html`Network ${name}. Channels are input → between the two 3×3 layers → output; the bar in a
    block is its share of the network's energy. Genome
    ${architecture.genome === null ? 'none' : html`<code>${architecture.genome.join(' ')}</code>`}.`,
    provenance: view.provenance,
  });
}

/** `16 → 8 → 16 channels` and what else a person wants to know of a block. */
export function blockLines(block: BlockDescription): readonly string[] {
  return ruleOf(block).lines(block);
}

function groupsOf(
  architecture: Architecture,
  layers: readonly LayerCostRecord[],
  view: RunView,
): readonly Group[] {
  const energyOf = (matches: (name: string) => boolean): number | undefined => {
    const rows = layers.filter(({ name }) => matches(name));
    return rows.length === 0 ? undefined : rows.reduce((sum, { energyMj }) => sum + energyMj, 0);
  };
  const { input, stem, blocks, classes, classifier } = architecture;
  const { inChannels: features } = planLayers(architecture).find(({ name }) => name === classifierName)!;
  const stages = [...new Set(blocks.map(({ stage }) => stage))];
  const inputNode: Node = {
    name: 'input',
    title: 'Input',
    lines: [`${input.height}×${input.width} · ${input.channels} ch`],
    family: undefined,
    skip: false,
    energyMj: undefined,
  };
  const stemNodes = ({
    channels,
    stride,
    family,
    kernel = 3,
    pool = false,
  }: StemDescription): readonly Node[] => [
    {
      name: stemName,
      title: `Stem, ${kernel}×${kernel}`,
      lines: [
        `${input.channels} → ${channels} ch`,
        [input.height, input.width]
          .map((side) => Math.ceil(Math.ceil(side / stride) / (pool ? 2 : 1)))
          .join('×'),
      ],
      family: family ?? fixedFamily,
      skip: false,
      energyMj: energyOf((name) => name === stemName),
    },
  ];
  return [
    stem === null
      ? { title: 'Input', nodes: [inputNode] }
      : { title: 'Input and stem', nodes: [inputNode, ...stemNodes(stem)] },
    ...stages.map((stage): Group => {
      const inside = blocks.filter((block) => block.stage === stage);
      return {
        title: `Stage ${stage}, ${inside[0]!.outChannels} channels`,
        nodes: inside.map((block): Node => {
          const skip = block.kind === BlockKind.Skip;
          return {
            name: block.name,
            title: skip ? 'skip' : shortTitle(familyStyle(view, block.family ?? '')),
            lines: blockLines(block),
            family: block.family,
            skip,
            energyMj: skip ? undefined : energyOf((name) => name.startsWith(`${block.name}.`)),
          };
        }),
      };
    }),
    {
      title: 'Classifier',
      nodes: [
        {
          name: classifierName,
          title: 'Linear',
          lines: [
            `${features} → ${classes} classes`,
            ...(classifier?.features === Features.Flatten ? [] : ['after average pooling']),
          ],
          family: classifier?.family ?? fixedFamily,
          skip: false,
          energyMj: energyOf((name) => name === classifierName),
        },
      ],
    },
  ];
}

function heightOf(node: Node): number {
  return 28 + 16 * node.lines.length + (node.energyMj === undefined ? 0 : 18);
}

function heightOfGroup({ nodes }: Group): number {
  return headerHeight + nodes.reduce((sum, node) => sum + heightOf(node) + gap, 0);
}

function drawColumns(view: RunView, groups: readonly Group[], alternative: string): Markup {
  const pitch = Math.max(165, wideWidth / groups.length);
  const width = pitch * groups.length;
  const nodeWidth = Math.min(210, pitch - 30);
  const height = Math.max(...groups.map(heightOfGroup)) + 8;
  const total = totalEnergy(groups);
  const bands = groups.map((_, column) =>
    column % 2 === 0
      ? html`<rect
          class="stage"
          x="${px(column * pitch)}"
          y="0"
          width="${px(pitch)}"
          height="${height}"
          rx="8"
        />`
      : null,
  );
  const content = groups.map((group, column): Content => {
    const x = column * pitch + (pitch - nodeWidth) / 2;
    const drawn = drawGroup(view, group, x, 0, nodeWidth, total);
    const nextX = x + pitch;
    const fromX = x + nodeWidth;
    const last = group.nodes[group.nodes.length - 1]!;
    const fromY = drawn.bottom - heightOf(last) / 2;
    const toY = headerHeight + heightOf(groups[column + 1]?.nodes[0] ?? last) / 2;
    const middle = (fromX + nextX) / 2;
    return [
      stageTitle(group, x + nodeWidth / 2, 0, 'middle'),
      drawn.content,
      column + 1 < groups.length &&
        html`<path
            class="flow"
            d="M${px(fromX)} ${px(fromY)}H${px(middle)}V${px(toY)}H${px(nextX - 6)}"
          /><path class="arrow" d="M${px(nextX - 1)} ${px(toY)}l-7 -4v8z" />`,
    ];
  });
  return html`<div class="scroll">${svg(width, height, alternative, [bands, content])}</div>`;
}

function drawOneColumn(view: RunView, groups: readonly Group[], alternative: string): Markup {
  const nodeWidth = 290;
  const x = (narrowWidth - nodeWidth) / 2;
  const total = totalEnergy(groups);
  const bands: Content[] = [];
  const pieces: Content[] = [];
  let y = 0;
  groups.forEach((group, at) => {
    const height = heightOfGroup(group);
    if (at % 2 === 0)
      bands.push(
        html`<rect class="stage" x="0" y="${y}" width="${narrowWidth}" height="${height - 4}" rx="8" />`,
      );
    const drawn = drawGroup(view, group, x, y, nodeWidth, total);
    pieces.push(stageTitle(group, x, y, 'start'), drawn.content);
    y += height + 4;
    if (at + 1 < groups.length) pieces.push(flowDown(x + nodeWidth / 2, drawn.bottom, y + headerHeight));
  });
  return svg(narrowWidth, y, alternative, [bands, pieces]);
}

function stageTitle({ title }: Group, x: number, y: number, anchor: 'start' | 'middle'): Markup {
  return html`<text class="stage-title" x="${px(x)}" y="${y + 20}" text-anchor="${anchor}">${title}</text>`;
}

function totalEnergy(groups: readonly Group[]): number {
  return groups.flatMap(({ nodes }) => nodes).reduce((sum, { energyMj }) => sum + (energyMj ?? 0), 0);
}

function drawGroup(
  view: RunView,
  group: Group,
  x: number,
  y: number,
  width: number,
  total: number,
): { readonly content: Content; readonly bottom: number } {
  const pieces: Content[] = [];
  let top = y + headerHeight;
  group.nodes.forEach((node, at) => {
    if (at > 0) pieces.push(flowDown(x + width / 2, top - gap, top));
    pieces.push(drawNode(view, node, x, top, width, total));
    top += heightOf(node) + gap;
  });
  return { content: pieces, bottom: top - gap };
}

function flowDown(x: number, from: number, to: number): Markup {
  return html`<path class="flow" d="M${px(x)} ${px(from)}V${px(to - 6)}" /><path
      class="arrow"
      d="M${px(x)} ${px(to - 1)}l-4 -7h8z"
    />`;
}

function drawNode(view: RunView, node: Node, x: number, y: number, width: number, total: number): Markup {
  const height = heightOf(node);
  const style = node.family === undefined ? undefined : familyStyle(view, node.family);
  const share = node.energyMj === undefined || total <= 0 ? undefined : node.energyMj / total;
  const inner = width - 24;
  const tip = `${node.name}: ${[style?.title ?? node.title, ...node.lines].join(', ')}${
    share === undefined
      ? ''
      : `; ${withUnit(node.energyMj!, view.energy)}, ${shareText(share)} of the network`
  }`;
  const kind = node.skip ? 'node skip' : 'node';
  const colour = style === undefined ? 'var(--muted)' : style.colour;
  return html`<g class="${kind}"
    ><title>${tip}</title
    ><rect
      x="${px(x)}"
      y="${y}"
      width="${width}"
      height="${height}"
      rx="6"
      ${style === undefined ? '' : html`style="fill:${colour};stroke:${colour}"`}
    />${
      style !== undefined &&
      html`<path style="fill:${colour}" d="M${px(x)} ${y + 6}q0 -6 6 -6v${height}q-6 0 -6 -6z" />`
    }<text class="node-title" x="${px(x + 14)}" y="${y + 18}">${node.title}</text>${
      share !== undefined &&
      html`<text class="node-share" x="${px(x + width - 10)}" y="${y + 18}" text-anchor="end"
          >${shareText(share)}</text
        ><path class="share-track" d="M${px(x + 14)} ${y + height - 11}h${inner}v4h-${inner}z" /><path
          style="fill:${colour}"
          d="M${px(x + 14)} ${y + height - 11}h${px(inner * share)}v4h-${px(inner * share)}z"
        />`
    }${node.lines.map((line, at) => html`<text x="${px(x + 14)}" y="${y + 35 + at * 16}">${line}</text>`)}</g
  >`;
}

function shareText(share: number): string {
  return share > 0 && share < 0.0005 ? '<0.1 %' : percent(share, 1);
}
