/**
 * @file Which dimensions stand side by side: assignments to columns and rows, best first by the speed they allow.
 *
 * An axis takes up to two dimensions beside those that must stand there: the first with each of its larger useful
 * factors, the second with the largest that still has room. More of them, and other factors, are left to the climb.
 */
import { dimensionCount } from './problem.js';
import {
  copyCandidate,
  emptyCandidate,
  factorAt,
  largestUseful,
  setFactor,
  settleRest,
  spatialRoom,
  usefulFactors,
  type Candidate,
  type Place,
  type Space,
} from './space.js';

/** Partial assignments kept after each axis. */
const beamWidth = 64;
/** Useful factors tried of the first dimension of an axis, largest first. */
const factorsTried = 6;

/** Factors for the places of one axis, on top of a candidate. */
interface Choice {
  readonly base: Candidate;
  readonly set: readonly { readonly place: Place; readonly factor: number }[];
  /** Speed over one unit, padding counted. */
  readonly speed: number;
  /** Which dimensions stand on which axes, one bit each. */
  readonly signature: string;
}

/** Spatial choices with everything in time left to the rest, best first. */
export function spatialStarts(
  space: Space,
  keep: number,
): { readonly kept: readonly Candidate[]; readonly enumerated: number } {
  const axes = new Map<string, Place[]>();
  for (const place of space.spatialPlaces) {
    const axis = `${place.level} ${place.slot}`;
    axes.set(axis, [...(axes.get(axis) ?? []), place]);
  }
  let candidates: readonly Candidate[] = [emptyCandidate(space)];
  let enumerated = 1;
  const order = [...axes.values()];
  order.forEach((places, index) => {
    const choices = candidates.flatMap((base) => assignments(space, base, places));
    enumerated += choices.length;
    const isLast = index === order.length - 1;
    candidates = diverse(choices, isLast ? keep : beamWidth).map((choice) => applied(space, choice));
  });
  return { kept: candidates, enumerated };
}

/** The candidate itself, and one or two further dimensions on one axis. */
function assignments(space: Space, base: Candidate, places: readonly Place[]): Choice[] {
  const speeds = places.map((place) => factorSpeed(space, base, place));
  const baseSpeed = speedOf(space, base);
  const signature = signatureOf(base);
  const found: Choice[] = [{ base, set: [], speed: baseSpeed, signature }];
  places.forEach((first, i) => {
    const room = spatialRoom(space, base, first);
    const open = factorAt(base, space.rest[first.dimension]!);
    for (const factor of usefulFactors(open)
      .filter((value) => value > 1 && value <= room)
      .slice(-factorsTried)) {
      const speed = baseSpeed * speeds[i]!(factor);
      found.push({
        base,
        set: [{ place: first, factor }],
        speed,
        signature: `${signature} ${placeKey(first)}`,
      });
      places.forEach((second, j) => {
        if (i === j) return;
        const other = largestUseful(factorAt(base, space.rest[second.dimension]!), Math.floor(room / factor));
        if (other === 1) return;
        const keys = [placeKey(first), placeKey(second)].sort().join(' ');
        found.push({
          base,
          set: [
            { place: first, factor },
            { place: second, factor: other },
          ],
          speed: speed * speeds[j]!(other),
          signature: `${signature} ${keys}`,
        });
      });
    }
  });
  return found;
}

/** How much faster a layer becomes when a dimension gets a further factor. */
function factorSpeed(space: Space, base: Candidate, { dimension }: Place): (factor: number) => number {
  const bound = space.problem.bounds[dimension]!;
  const present = sideBySide(base, dimension);
  return (factor) => Math.ceil(bound / present) / Math.ceil(bound / (present * factor));
}

function speedOf(space: Space, candidate: Candidate): number {
  return space.problem.bounds.reduce(
    (speed, bound, d) => (speed * bound) / Math.ceil(bound / sideBySide(candidate, d)),
    1,
  );
}

function sideBySide({ x, y }: Candidate, dimension: number): number {
  let product = 1;
  for (let at = dimension; at < x.length; at += dimensionCount) product *= x[at]! * y[at]!;
  return product;
}

function signatureOf({ x, y }: Candidate): string {
  return [...x, ...y].map((factor) => (factor > 1 ? 1 : 0)).join('');
}

function placeKey({ level, slot, dimension }: Place): string {
  return `${level}${slot}${dimension}`;
}

function applied(space: Space, { base, set }: Choice): Candidate {
  const candidate = copyCandidate(base);
  for (const { place, factor } of set) {
    setFactor(candidate, place, factor);
    settleRest(space, candidate, place.dimension);
  }
  return candidate;
}

/** The fastest choices, of each set of dimensions first the best, then the second best, and so on. */
function diverse(choices: readonly Choice[], keep: number): Choice[] {
  const seen = new Map<string, number>();
  const ranked = [...choices]
    .sort((a, b) => b.speed - a.speed || a.set.length - b.set.length)
    .map((choice, place) => {
      const before = seen.get(choice.signature) ?? 0;
      seen.set(choice.signature, before + 1);
      return { choice, before, place };
    });
  return ranked
    .sort((a, b) => a.before - b.before || a.place - b.place)
    .slice(0, keep)
    .map(({ choice }) => choice);
}
