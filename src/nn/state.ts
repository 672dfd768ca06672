/**
 * @file Putting saved tensors back into a module, with every mismatch named.
 */
import { FileError } from '../base/errors.js';
import { stateOf, type Module, type NamedTensors } from './module.js';

/**
 * Copies `saved` into the module's parameters and buffers. Names and shapes must agree exactly.
 * @throws FileError naming `where` and the first tensor that is missing, unknown or of another shape
 */
export function loadState(
  module: Pick<Module, 'parameters' | 'buffers'>,
  saved: NamedTensors,
  where: string,
): void {
  const own = stateOf(module);
  for (const [name, target] of own) {
    const source = saved.get(name);
    if (source === undefined)
      throw new FileError(`${where}: holds no tensor '${name}'; it belongs to another network`);
    if (source.shape.join() !== target.shape.join())
      throw new FileError(
        `${where}: tensor '${name}' has shape [${source.shape.join(', ')}], this network needs [${target.shape.join(', ')}]`,
      );
  }
  for (const name of saved.keys())
    if (!own.has(name))
      throw new FileError(`${where}: tensor '${name}' is unknown; it belongs to another network`);
  for (const [name, target] of own) target.data.set((saved.get(name) as { data: Float32Array }).data);
}
