/**
 * @file The section `space` of a configuration: options of the mini space, a space with a name and options in the place of its
 * own, or a declared one. Images and classes are those of the data, whatever a declared space says of them.
 */
import { z } from 'zod';
import { defaultFamilies, familyNamed } from '../../operators/registry.js';
import type { SearchSpace } from '../../spaces/contract.js';
import { checkDeclared } from '../../spaces/declared/schema.js';
import type { DeclaredInput } from '../../spaces/declared/schema.js';
import { createDeclaredSpace } from '../../spaces/declared/space.js';
import { hytraFields } from '../../spaces/hytra/options.js';
import { createMiniSpace } from '../../spaces/mini/space.js';
import { namedSpaces, spaceNamed } from '../../spaces/registry.js';

const count = z.int().min(1);

const miniSettings = z.strictObject({
  families: z.array(z.string()).min(1).readonly().default(defaultFamilies),
  stemChannels: count.default(16),
  stemStride: z.union([z.literal(1), z.literal(2)]).default(1),
  stageChannels: z.array(z.int().min(4)).min(1).readonly().default([16, 32, 64]),
  blocksPerStage: z.array(count).min(1).readonly().default([2, 2, 2]),
  widthRatios: z.array(z.number().positive().max(8)).min(1).readonly().default([0.5, 1]),
});

const miniName = 'mini';

const hytraSettings = hytraFields.omit({ input: true, classes: true }).partial().extend({ name: z.string() });

const declaredSettings = z.strictObject({ declared: z.record(z.string(), z.unknown()) });

export type MiniSettings = Readonly<z.output<typeof miniSettings>>;
/** Options of a space with a name; those that are left out are the space's own. */
type NamedSettings = Readonly<z.output<typeof hytraSettings>>;
type DeclaredSection = Readonly<z.output<typeof declaredSettings>>;

/** As it stands in a configuration that was checked; without a name or a declaration it is the mini space. */
export type SpaceSettings = MiniSettings | NamedSettings | DeclaredSection;

/** What a person writes; files are read before (`space-files.ts`). */
export type SpaceInput =
  | string
  | (z.input<typeof miniSettings> & { readonly name?: 'mini' })
  | z.input<typeof hytraSettings>
  | z.input<typeof declaredSettings>;

export const spaceSettings = z
  .custom<SpaceInput>((value) => typeof value === 'string' || isSection(value), {
    error: 'must be the name of a space or a section',
  })
  .transform((input, context): SpaceSettings => {
    const written: Record<string, unknown> = typeof input === 'string' ? { name: input } : { ...input };
    const { name = miniName } = written;
    const refuse = (message: string, ...path: readonly string[]): typeof z.NEVER => {
      context.addIssue({ code: 'custom', message, path: [...path] });
      return z.NEVER;
    };
    if ('file' in written) return refuse('a file is read by search, rank and train alone', 'file');
    if (typeof name !== 'string' || !Object.hasOwn(namedSpaces, name))
      return refuse(
        `unknown space '${String(name)}'; known: ${Object.keys(namedSpaces).join(', ')}, or give a .yaml or .json file`,
        'name',
      );
    if (name !== miniName && 'families' in written)
      return refuse(
        `those of ${name} are given for each stage, by 'stageFamilies'; leave them out`,
        'families',
      );
    const options = Object.fromEntries(Object.entries(written).filter(([key]) => key !== 'name'));
    const parsed =
      'declared' in written
        ? declaredSettings.safeParse(written, { reportInput: true })
        : name === miniName
          ? miniSettings.safeParse(options, { reportInput: true })
          : hytraSettings.safeParse(written, { reportInput: true });
    if (parsed.success) return parsed.data;
    for (const issue of parsed.error.issues) context.issues.push({ ...issue, input: issue.input } as never);
    return z.NEVER;
  });

export function isMini(settings: SpaceSettings): settings is MiniSettings {
  return !('name' in settings) && !('declared' in settings);
}

/** @throws OptionError for families that there are not, and for what else can be known of a space without images */
export function checkSpace(settings: SpaceSettings): void {
  if ('declared' in settings) checkDeclared({ ...anyImages, ...settings.declared }, 'space');
  else if (isMini(settings)) settings.families.forEach(familyNamed);
  else settings.stageFamilies?.flat().forEach(familyNamed);
}

const anyImages = { input: { height: 32, width: 32, channels: 3 }, classes: 10 };

/** What the data say of a space. */
export interface DataImages {
  readonly input: { readonly height: number; readonly width: number; readonly channels: number };
  readonly classes: number;
}

/** The space of these settings on these images. @throws OptionError naming what is wrong, also with such images */
export function spaceOf(settings: SpaceSettings, images: DataImages): SearchSpace {
  if ('declared' in settings)
    return createDeclaredSpace({ ...settings.declared, ...images } as unknown as DeclaredInput, 'space');
  if (isMini(settings)) return createMiniSpace({ ...settings, ...images });
  const { name, ...options } = settings;
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return spaceNamed(name).create({ ...given, ...images });
}

/** What a configuration says of its space in one layer, on top of another: another space takes its place. */
export function mergedSpace(held: unknown, value: unknown, merge: (a: object, b: object) => object): unknown {
  const section = typeof value === 'string' ? spaceSection(value) : value;
  if (!isSection(section) || !isSection(held)) return section;
  const named = (each: object): unknown => ('name' in each ? each.name : undefined);
  const other =
    'file' in section ||
    'declared' in section ||
    ('name' in section && named(section) !== (named(held) ?? miniName));
  return other ? section : merge(held, section);
}

/** `hytra-cifar` or `space.yaml` as a section. */
export function spaceSection(nameOrFile: string): { readonly name: string } | { readonly file: string } {
  return /\.(ya?ml|json)$/i.test(nameOrFile) ? { file: nameOrFile } : { name: nameOrFile };
}

export function isSection(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
