/**
 * @file Scopes own temporaries: what is created inside is given back when the scope ends.
 */

interface Disposable {
  dispose(): void;
}

/** Something that takes over temporaries as they are created. */
export interface Scope {
  add(tensor: Disposable): void;
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
