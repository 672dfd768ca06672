/** @file How a run says that it stopped because it was asked to. */

/** The run was asked to stop and has saved its state; not a failure. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly code = 'INTERRUPTED';
  constructor(readonly phase: string) {
    super(`${phase}: stopped on request, everything is saved`);
  }
}
