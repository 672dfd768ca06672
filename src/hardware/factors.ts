/**
 * @file Ordered integer factorisations, the raw material of loop tilings.
 *
 * The order matters only where two tilings tie: the published search keeps the first one. Divisors come out as the
 * subset products of the ascending prime list with "take the prime" before "leave it" (12 gives 12, 4, 6, 2, 3, 1),
 * and in a list of factorisations the first factor varies slowest.
 */

const cacheLimit = 1024;
const cache = new Map<string, readonly (readonly number[])[]>();

/** Prime factors of `n` with multiplicity, ascending; empty for 1. */
export function primeFactors(n: number): number[] {
  const primes: number[] = [];
  let rest = n;
  for (let candidate = 2; candidate * candidate <= rest; candidate += candidate === 2 ? 1 : 2) {
    while (rest % candidate === 0) {
      primes.push(candidate);
      rest /= candidate;
    }
  }
  if (rest > 1) primes.push(rest);
  return primes;
}

/** All divisors of `n`, each once, in the order of the file comment. */
export function divisors(n: number): number[] {
  let products: readonly number[] = [1];
  for (const prime of primeFactors(n).reverse())
    products = [...new Set([...products.map((product) => product * prime), ...products])];
  return [...products];
}

/** Every way to write `n` as an ordered product of `parts` >= 1 integers; the first factor varies slowest. Memoised. */
export function factorisations(n: number, parts: number): readonly (readonly number[])[] {
  const key = `${n}/${parts}`;
  const known = cache.get(key);
  if (known) return known;
  const lists =
    parts === 1
      ? [[n]]
      : divisors(n).flatMap((first) =>
          factorisations(n / first, parts - 1).map((others) => [first, ...others]),
        );
  if (cache.size >= cacheLimit) cache.clear();
  cache.set(key, lists);
  return lists;
}
