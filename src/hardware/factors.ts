/**
 * @file Ordered integer factorisations, the raw material of loop tilings.
 *
 * The order matters only where two tilings tie: the published search keeps the first one. Divisors come out as the
 * subset products of the ascending prime list with "take the prime" before "leave it" (12 gives 12, 4, 6, 2, 3, 1),
 * and where factorisations are enumerated the first factor varies slowest.
 */

const cacheLimit = 4096;
const cache = new Map<number, readonly number[]>();

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

/** All divisors of `n`, each once, in the order of the file comment. Memoised. */
export function divisors(n: number): readonly number[] {
  const known = cache.get(n);
  if (known) return known;
  let products: readonly number[] = [1];
  for (const prime of primeFactors(n).reverse())
    products = [...new Set([...products.map((product) => product * prime), ...products])];
  if (cache.size >= cacheLimit) cache.clear();
  cache.set(n, products);
  return products;
}
