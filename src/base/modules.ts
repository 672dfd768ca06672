/**
 * @file Where files of this package are, whether we run compiled (`dist/`) or from source (tests).
 */
import { fileURLToPath } from 'node:url';

/** The folder that holds package.json. */
export const packageRoot = fileURLToPath(new URL('../../', import.meta.url));

/** URL of the compiled JavaScript of a module, for `new Worker(...)`, which cannot load TypeScript. */
export function compiledModule(pathInSource: `${string}.js`): URL {
  return new URL(`../../dist/${pathInSource}`, import.meta.url);
}
