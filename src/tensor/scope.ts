/**
 * @file Scopes own temporaries: what is created inside is let go of when the scope ends.
 */

/** A temporary as its scope sees it. */
export interface Temporary {
  /** The scope no longer holds it. */
  letGo(): void;
  /** Gives it back whoever holds it. */
  dispose(): void;
}

/** Something that takes over temporaries as they are created. */
export interface Scope {
  add(temporary: Temporary): void;
}

const scopes: Scope[] = [];

export function currentScope(): Scope | undefined {
  return scopes[scopes.length - 1];
}

/** Runs `work` with `scope` taking over every temporary created meanwhile. */
export function inScope<T>(scope: Scope, work: () => T): T {
  scopes.push(scope);
  try {
    return work();
  } finally {
    scopes.pop();
  }
}
