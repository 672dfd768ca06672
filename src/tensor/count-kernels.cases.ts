/**
 * @file Which kernels of the real device some work calls, and how often. Tests only.
 */
import { kernels, useKernels } from './device.js';

/** Calls of each kernel while `work` runs, by name; allocation is none. */
export function countKernels(work: () => void): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  const before = useKernels(
    new Proxy(kernels(), {
      get(target, key, receiver) {
        const value: unknown = Reflect.get(target, key, receiver);
        if (typeof value !== 'function' || key === 'allocate') return value;
        return (...inputs: unknown[]): unknown => {
          counts[String(key)] = (counts[String(key)] ?? 0) + 1;
          return Reflect.apply(value, target, inputs);
        };
      },
    }),
  );
  try {
    work();
  } finally {
    useKernels(before);
  }
  return counts;
}
