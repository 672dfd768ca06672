/**
 * @file A drawing of an architecture alone, as an SVG file: a column for each stage, blocks in the colour of their family.
 */
import { familyNamed } from '../operators/registry.js';
import type { Architecture, BlockDescription } from '../spaces/architecture.js';
import { fixedFamily } from '../spaces/blocks/ends.js';
import { ruleOf } from '../spaces/blocks/registry.js';
import { nodesOf } from '../spaces/expand.js';

interface Box {
  readonly title: string;
  readonly lines: readonly string[];
  readonly colour: string;
}

const neutral = '#8a8f98';
const boxWidth = 190;
const gap = 16;
const lineHeight = 16;
const titleHeight = 26;

/** @returns the text of the file */
export function architectureSvg(architecture: Architecture): string {
  const columns = columnsOf(architecture);
  const heights = columns.map(({ boxes }) => boxes.reduce((sum, box) => sum + heightOf(box) + gap, 0));
  const width = columns.length * (boxWidth + gap) + gap;
  const height = Math.max(...heights) + titleHeight + gap;
  const body = columns.map(({ title, boxes }, column) => {
    const x = gap + column * (boxWidth + gap);
    let y = gap + titleHeight;
    const drawn = boxes.map((box) => {
      const text = [box.title, ...box.lines].map(
        (line, at) =>
          `<text x="${x + 12}" y="${y + 18 + at * lineHeight}"${at === 0 ? ' font-weight="600"' : ''}>${escaped(line)}</text>`,
      );
      const rectangle =
        `<rect x="${x}" y="${y}" width="${boxWidth}" height="${heightOf(box)}" rx="4" fill="#f4f5f7"/>` +
        `<rect x="${x}" y="${y}" width="5" height="${heightOf(box)}" fill="${box.colour}"/>`;
      y += heightOf(box) + gap;
      return rectangle + text.join('');
    });
    return `<text x="${x}" y="${gap + 12}" fill="#555">${escaped(title)}</text>${drawn.join('')}`;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="system-ui, sans-serif" font-size="12" fill="#1d2129">` +
    `<rect width="100%" height="100%" fill="#fff"/>${body.join('')}</svg>\n`
  );
}

function heightOf({ lines }: Box): number {
  return 14 + (1 + lines.length) * lineHeight;
}

function columnsOf(architecture: Architecture): readonly { title: string; boxes: readonly Box[] }[] {
  const { input, stem, blocks, classes, classifier } = architecture;
  const nodes = nodesOf(architecture);
  const firstInput = blocks[0]!;
  const stemBoxes =
    stem === null
      ? []
      : [
          {
            ...familyBox(stem.family ?? fixedFamily),
            lines: [
              `${input.channels} → ${stem.channels} ch, ${stem.kernel ?? 3}×${stem.kernel ?? 3}`,
              `${input.height}×${input.width} → ${firstInput.inHeight}×${firstInput.inWidth}`,
            ],
          },
        ];
  const features = nodes.findLast(({ block }) => block !== null)!.outChannels;
  return [
    {
      title: 'Input and stem',
      boxes: [
        {
          title: 'Input',
          colour: neutral,
          lines: [`${input.height}×${input.width} · ${input.channels} ch`],
        },
        ...stemBoxes,
      ],
    },
    ...[...new Set(blocks.map(({ stage }) => stage))].map((stage) => ({
      title: `Stage ${stage}`,
      boxes: blocks.filter((block) => block.stage === stage).map(blockBox),
    })),
    {
      title: 'Classifier',
      boxes: [
        {
          ...familyBox(classifier?.family ?? fixedFamily),
          lines: [
            `${features} ch → ${classes} classes`,
            ...(classifier?.heads === 2 ? ['mean of two heads'] : []),
          ],
        },
      ],
    },
  ];
}

function familyBox(family: string): Pick<Box, 'title' | 'colour'> {
  const { title, colour } = familyNamed(family);
  return { title, colour };
}

function blockBox(block: BlockDescription): Box {
  const look = block.family === undefined ? { title: block.kind, colour: neutral } : familyBox(block.family);
  return { ...look, lines: [block.name, ...ruleOf(block).lines(block)] };
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
