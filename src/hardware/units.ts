/**
 * @file Unit tables: what single operations and memory accesses cost in one process, as data with sources. Profiles
 * take their numbers from them by name (`{ "table": "horowitz-45nm", "entry": "multiply.int8" }`), so that a figure is
 * written down once.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const quantity = z.strictObject({
  value: z.number().nonnegative(),
  unit: z.enum(['pJ', 'um2']),
  source: z.string().min(1),
});

const unitTableSchema = z.strictObject({
  schemaVersion: z.literal(1),
  name: z.string(),
  description: z.string().min(1),
  entries: z.record(z.string(), quantity),
});

/** Energies (pJ per operation or access) and areas (um2) of one process, each with its source. */
export type UnitTable = z.infer<typeof unitTableSchema>;

/** The unit tables that come with the package. */
export const unitTableNames = ['horowitz-45nm'] as const;
export type UnitTableName = (typeof unitTableNames)[number];

const tables = new Map<UnitTableName, UnitTable>();

/** The unit table of this name; undefined for an unknown one. */
export function unitTable(name: string): UnitTable | undefined {
  const known = unitTableNames.find((each) => each === name);
  if (known === undefined) return undefined;
  let table = tables.get(known);
  if (table === undefined) {
    const path = fileURLToPath(new URL(`./units/${known}.json`, import.meta.url));
    table = unitTableSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
    tables.set(known, table);
  }
  return table;
}
