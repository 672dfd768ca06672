/**
 * @file K winners take all with boosting (Ahmad and Scheinkman 2019, arXiv 1903.11257; complementary sparsity: 2112.13896):
 * of each sample's units the k largest stay, the others are zero.
 *
 * Units that win too rarely are boosted: winners are ranked by x exp(beta (target - duty)), with duty the running share of
 * samples that a unit won and target = k / units, but their values pass as they are. Of equals the first wins, so that
 * there are exactly k. With beta = 0 the ranking is that of x. The gradient is zero for losers and passes for winners.
 */
import { OptionError } from '../base/errors.js';
import { contribute, isRecomputing, record } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import { Mode, type StateBuffer } from './module.js';

/** Samples that the running share of wins looks back on. */
const dutyPeriod = 1000;

export interface KWinnersSettings {
  /** Part of the units that win, above 0 to 1. */
  readonly percentOn: number;
  /** Strength of the boost at first. */
  readonly boost: number;
  /** What the strength is multiplied by after each epoch. */
  readonly boostFactor: number;
  /** More winners outside training: times so many (nupic's k_inference_factor). Default 1. */
  readonly inferenceFactor?: number;
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
  return record(
    'kWinners',
    [x],
    x.shape,
    (y) => x.data.forEach((value, i) => (y[i] = marks[i] === 1 ? value : 0)),
    (dy) =>
      contribute(x, (dx) => {
        for (let i = 0; i < dx.length; i++) dx[i] = marks[i] === 1 ? (dy[i] as number) : 0;
      }),
    { tensors: [], output: false },
  );
}

export class KWinners {
  readonly buffers: readonly StateBuffer[];
  /** Running share of samples that each unit of the boost, a channel, wins. */
  readonly #duty: Float32Array;
  /** Samples seen in training, and the strength of the boost. */
  readonly #seen: Float32Array;
  readonly #strength: Float32Array;

  /**
   * `local` false: the winners are among all units of a sample, [H, W, C]; true: among the channels of each position.
   * Either way channels are boosted, each by the share of its positions that win, as nupic.torch does for maps.
   * @throws OptionError for a part of no winners, or more than all
   */
  constructor(
    readonly name: string,
    private readonly channels: number,
    private readonly settings: KWinnersSettings,
    private readonly local = false,
  ) {
    const { percentOn } = settings;
    if (!(percentOn > 0 && percentOn <= 1))
      throw new OptionError(`${name}: percentOn ${percentOn} is not a part above 0, up to 1`);
    this.#duty = new Float32Array(channels);
    this.#seen = new Float32Array(1);
    this.#strength = Float32Array.of(settings.boost);
    this.buffers = [
      { name: `${name}.duty`, data: this.#duty },
      { name: `${name}.seen`, data: this.#seen },
      { name: `${name}.boost`, data: this.#strength },
    ];
  }

  /** How many of `units` win. */
  winners(units: number, mode: Mode): number {
    const { percentOn, inferenceFactor = 1 } = this.settings;
    const part = mode === Mode.Training ? percentOn : Math.min(1, percentOn * inferenceFactor);
    return Math.max(1, Math.round(part * units));
  }

  /** x [N, H, W, C] -> the same with zeros for losers. Training follows the duty cycles, once per pass. */
  forward(x: Tensor, mode: Mode): Tensor {
    const samples = x.shape[0] as number;
    const units = this.local ? this.channels : x.size / samples;
    const k = this.winners(units, mode);
    const marks = new Float32Array(x.size);
    markWinners(this.#boosted(x.data, k / units), units, k, marks);
    if (mode === Mode.Training && !isRecomputing()) this.#follow(marks, samples);
    return keep(x, marks);
  }

  /** Weakens the boost; to be called after each epoch. */
  endEpoch(): void {
    this.#strength[0] = (this.#strength[0] as number) * this.settings.boostFactor;
  }

  #boosted(x: Float32Array, target: number): Float32Array {
    const strength = this.#strength[0] as number;
    if (strength === 0) return x;
    const factors = Float64Array.from(this.#duty, (duty) => Math.exp(strength * (target - duty)));
    return x.map((value, i) => value * (factors[i % this.channels] as number));
  }

  /** duty = (duty (period - N) + wins) / period, the period being that of what was seen as long as that is shorter. */
  #follow(marks: Float32Array, samples: number): void {
    const { channels } = this;
    const wins = new Float64Array(channels);
    for (let i = 0; i < marks.length; i++) wins[i % channels]! += marks[i] as number;
    const positions = marks.length / samples / channels;
    const seen = (this.#seen[0] as number) + samples;
    this.#seen[0] = Math.min(seen, 2 * dutyPeriod);
    const period = Math.max(samples, Math.min(dutyPeriod, seen));
    for (let c = 0; c < channels; c++)
      this.#duty[c] =
        ((this.#duty[c] as number) * (period - samples) + (wins[c] as number) / positions) / period;
  }
}
