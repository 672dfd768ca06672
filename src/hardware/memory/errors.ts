/**
 * @file A graph of activations that cannot be: the caller's to mend.
 */
import { UserError } from '../../base/errors.js';

/** A graph that reads what nobody wrote, writes a tensor twice, or has a tensor of no size. */
export class MemoryGraphError extends UserError {
  override readonly name = 'MemoryGraphError';
  constructor(problem: string) {
    super('BAD_GRAPH', `activation graph: ${problem}`);
  }
}
