/**
 * @file K winners take all with boosting (Ahmad and Scheinkman 2019, arXiv 1903.11257; complementary sparsity: 2112.13896):
 * of each sample's units the k largest stay, the others are zero.
 *
 * Units that win too rarely are boosted: winners are ranked by x exp(beta (target - duty)), with duty the running share of
 * samples that a unit won and target = k / units, but their values pass as they are. Of equals the first wins, so that
 * there are exactly k. With beta = 0 the ranking is that of x. The gradient is zero for losers and passes for winners.
 *
 * Beta falls from epoch to epoch by a factor, and training alone boosts: outside it the largest values win, so that an
 * exported network needs to know nothing of duty cycles.
 */
import { OptionError } from '../base/errors.js';
import { contribute, isRecomputing, record } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import { Mode, type StateBuffer } from './module.js';
import type { OnnxGraph } from './onnx/graph.js';
import { lowerReshape, lowerTranspose, toChannelsFirst, toChannelsLast } from './onnx/layers.js';

/** Samples that the running share of wins looks back on. */
const dutyPeriod = 1000;

export interface KWinnersSettings {
  /** Part of the units that win, above 0 to 1. */
  readonly share: number;
  /** Strength of the boost in the first epoch. */
  readonly boost: number;
  /** What the strength is multiplied by after each epoch. */
  readonly factor: number;
  /** More winners outside training: times so many (nupic's k_inference_factor). Default 1. */
  readonly inferenceFactor?: number;
  /** The winners are among the channels of each position, instead of all units of a sample. */
  readonly local?: boolean;
}

/**
 * Marks the `k` largest of each row of `scores` by 1 and the rest by 0; of equals the first wins, and NaN counts as the
 * largest, so that it is seen.
 */
export function markWinners(scores: Float32Array, units: number, k: number, marks: Float32Array): void {
  const row = new Float32Array(units);
  for (let start = 0; start < scores.length; start += units) {
    for (let i = 0; i < units; i++) {
      const value = scores[start + i] as number;
      row[i] = Number.isNaN(value) ? Infinity : value;
    }
    const border = kthLargest(row.slice(), k);
    let above = 0;
    for (const value of row) if (value > border) above++;
    let atBorder = k - above;
    for (let i = 0; i < units; i++) {
      const value = row[i] as number;
      marks[start + i] = value > border || (value === border && atBorder-- > 0) ? 1 : 0;
    }
  }
}

/** The k-th largest value (k from 1), by Hoare's selection; reorders `values`, which hold no NaN. */
function kthLargest(values: Float32Array, k: number): number {
  let [low, high] = [0, values.length - 1];
  while (low < high) {
    const pivot = values[(low + high) >> 1] as number;
    let [i, j] = [low, high];
    while (i <= j) {
      while ((values[i] as number) > pivot) i++;
      while ((values[j] as number) < pivot) j--;
      if (i > j) break;
      const held = values[i] as number;
      values[i++] = values[j] as number;
      values[j--] = held;
    }
    if (k - 1 <= j) high = j;
    else if (k - 1 >= i) low = i;
    else break;
  }
  return values[k - 1] as number;
}

/** The values of x where `marks` is 1, else 0, with the gradient of that. */
function keep(x: Tensor, marks: Float32Array): Tensor {
  const kept = (from: Float32Array, to: Float32Array): void => {
    for (let i = 0; i < to.length; i++) to[i] = marks[i] === 1 ? (from[i] as number) : 0;
  };
  return record(
    'kWinners',
    [x],
    x.shape,
    (y) => kept(x.data, y),
    (dy) => contribute(x, (dx) => kept(dy, dx)),
    { tensors: [], output: false },
  );
}

export class KWinners {
  readonly parameters = [];
  readonly buffers: readonly StateBuffer[];
  /** Running share of samples that each unit of the boost, a channel, wins. */
  readonly #duty: Float32Array;
  /** The same before the last pass: a pass that is computed again has to rank as it did. */
  readonly #before: Float32Array;
  /** Samples seen in training. */
  readonly #seen: Float32Array;

  /**
   * Channels are boosted, each by the share of its positions that win, as nupic.torch does for maps.
   * @throws OptionError for a part of no winners, or more than all
   */
  constructor(
    readonly name: string,
    private readonly map: { readonly height: number; readonly width: number; readonly channels: number },
    private readonly settings: KWinnersSettings,
  ) {
    const { share } = settings;
    if (!(share > 0 && share <= 1))
      throw new OptionError(`${name}: a share of ${share} winners is not a part above 0, up to 1`);
    this.#duty = new Float32Array(map.channels);
    this.#before = new Float32Array(map.channels);
    this.#seen = new Float32Array(1);
    this.buffers = [
      { name: `${name}.duty`, data: this.#duty },
      { name: `${name}.seen`, data: this.#seen },
    ];
  }

  /** Units that compete with each other. */
  get units(): number {
    const { height, width, channels } = this.map;
    return this.settings.local === true ? channels : height * width * channels;
  }

  /** How many of the units win. */
  winners(mode: Mode): number {
    const { share, inferenceFactor = 1 } = this.settings;
    const part = mode === Mode.Training ? share : Math.min(1, share * inferenceFactor);
    return Math.max(1, Math.round(part * this.units));
  }

  /** x [N, H, W, C] -> the same with zeros for losers. Training boosts as in this epoch, and follows the duty cycles. */
  forward(x: Tensor, mode: Mode, epoch = 0): Tensor {
    const { units } = this;
    const k = this.winners(mode);
    const marks = new Float32Array(x.size);
    if (mode === Mode.Training) {
      const strength = this.settings.boost * this.settings.factor ** epoch;
      if (!isRecomputing()) this.#before.set(this.#duty);
      markWinners(this.#boosted(x.data, strength, k / units), units, k, marks);
      if (!isRecomputing()) this.#follow(marks, x.shape[0] as number);
    } else markWinners(x.data, units, k, marks);
    return keep(x, marks);
  }

  /** [N, C, H, W] -> the same; of equals the first in the order of our maps wins here too, which TopK promises. */
  lower(graph: OnnxGraph, input: string): string {
    const { name, units } = this;
    const { height, width, channels } = this.map;
    const k = graph.initializer(`${name}.k`, [1], BigInt64Array.of(BigInt(this.winners(Mode.Evaluation))));
    const scatter = (from: string, to: string): string => {
      const indices = `${name}.winners`;
      const attributes = { axis: { int: 1 }, largest: { int: 1 }, sorted: { int: 1 } };
      const values = graph.node('TopK', [from, k], attributes, { name: `${name}.top`, alsoMakes: [indices] });
      const shape = graph.node('Shape', [from], {}, { name: `${name}.shape` });
      const zeros = graph.node('ConstantOfShape', [shape], {}, { name: `${name}.zeros` });
      return graph.node('ScatterElements', [zeros, indices, values], { axis: { int: 1 } }, { name: to });
    };
    if (units === channels) return scatter(input, name);
    const last = lowerTranspose(graph, `${name}.channelsLast`, input, toChannelsLast);
    const rows = scatter(lowerReshape(graph, `${name}.rows`, last, [-1, units]), `${name}.kept`);
    const map = lowerReshape(graph, `${name}.map`, rows, [-1, height, width, channels]);
    return lowerTranspose(graph, name, map, toChannelsFirst);
  }

  #boosted(x: Float32Array, strength: number, target: number): Float32Array {
    if (strength === 0) return x;
    const { channels } = this.map;
    const factors = Float64Array.from(this.#before, (duty) => Math.exp(strength * (target - duty)));
    const scores = new Float32Array(x.length);
    for (let at = 0; at < x.length; at += channels)
      for (let c = 0; c < channels; c++) scores[at + c] = (x[at + c] as number) * (factors[c] as number);
    return scores;
  }

  /** duty = (duty (period - N) + wins) / period, the period being that of what was seen as long as that is shorter. */
  #follow(marks: Float32Array, samples: number): void {
    const { channels } = this.map;
    const wins = new Float64Array(channels);
    for (let at = 0; at < marks.length; at += channels)
      for (let c = 0; c < channels; c++) wins[c]! += marks[at + c] as number;
    const positions = marks.length / samples / channels;
    const seen = (this.#seen[0] as number) + samples;
    this.#seen[0] = Math.min(seen, 2 * dutyPeriod);
    const period = Math.max(samples, Math.min(dutyPeriod, seen));
    for (let c = 0; c < channels; c++)
      this.#duty[c] =
        ((this.#duty[c] as number) * (period - samples) + (wins[c] as number) / positions) / period;
  }
}
