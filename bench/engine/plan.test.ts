import { describe, expect, it } from 'vitest';
import { OptionError } from '../../src/base/errors.js';
import { busyWarning } from './busy.js';
import { allCases, chooseCases } from './cases.js';
import { planFor } from './measure.js';
import { Section, readOptions } from './options.js';
import { judge } from './targets.js';
import { rowOf } from './result.js';

const effort = { turns: 5, budgetMs: 500 };

describe('planFor', () => {
  it('averages short calls and times long ones once a turn', () => {
    expect(planFor(0.01, effort)).toMatchObject({ turns: 5, calls: 100, warmUp: true });
    expect(planFor(10, effort)).toMatchObject({ turns: 5, calls: 1, samples: 10 });
    expect(planFor(200, effort)).toEqual({ turns: 5, calls: 1, samples: 1, warmUp: false });
  });

  it('gives calls of seconds few turns', () => {
    expect(planFor(3000, effort).turns).toBeLessThan(5);
    expect(planFor(3000, { turns: 2, budgetMs: 100 }).turns).toBe(2);
  });
});

describe('cases', () => {
  const cases = allCases();

  it('have names of their own, and shapes that fit the table', () => {
    const names = cases.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { name, shape } of cases) {
      expect(name).toMatch(/^[a-z0-9-]{1,34}$/);
      expect(shape.length).toBeLessThanOrEqual(41);
    }
  });

  it('hold every kernel that a target speaks of', () => {
    const targets = cases.flatMap((each) =>
      judge([
        {
          ...rowOf(
            each,
            { threads: 1, ours: { ms: [1], disturbed: [false] }, calls: 1, torch: undefined },
            1,
            undefined,
          ),
          ratioToTorch: 1,
        },
      ]),
    );
    expect(targets.length).toBe(cases.filter(({ headline }) => headline === true).length);
  });

  it('are chosen by name or its beginning, extra ones only when asked for', () => {
    const named = (only: readonly string[] | undefined, all = false): readonly string[] =>
      chooseCases(cases, only, all).map(({ name }) => name);
    expect(named(['relu'])).toEqual(['relu', 'relu-gradient']);
    expect(named(['relu-gradient'])).toEqual(['relu-gradient']);
    expect(named(undefined).length).toBeLessThan(named(undefined, true).length);
    expect(named(undefined, true)).toEqual(cases.map(({ name }) => name));
    expect(() => named(['rel'])).toThrow(/--only rel: no such row; the rows are conv3x3-forward, /);
  });
});

describe('readOptions', () => {
  it('reads every option', () => {
    const args = '--threads 2,1,2 --only relu,matmul --all --quick --no-torch --sections profile,rows'.split(
      ' ',
    );
    expect(readOptions(args)).toEqual({
      threads: [1, 2],
      only: ['relu', 'matmul'],
      all: true,
      sections: new Set([Section.Profile, Section.Rows]),
      quick: true,
      json: undefined,
      torch: false,
    });
  });

  it('shows all parts by default, and the rows alone with --only', () => {
    expect(readOptions([])?.sections).toEqual(new Set(Object.values(Section)));
    expect(readOptions(['--only', 'relu'])?.sections).toEqual(new Set([Section.Rows]));
    expect(readOptions([])?.torch).toBe(true);
  });

  it.each([
    [['--frobnicate'], /unknown option '--frobnicate'; see npm run bench -- engine --help/],
    [['--threads', '0'], /whole numbers from 1 to 256/],
    [['--threads', 'two'], /whole numbers from 1 to 256/],
    [['--only', 'relu,'], /names with commas between them/],
    [['--sections', 'rows,all'], /The parts are rows, profile, memory/],
    [['relu'], /too many arguments/],
    [['--json'], /argument missing/],
    [['--json', '/'], /this is a folder/],
    [['--json', '/proc/nowhere/engine.json'], /cannot write here/],
  ])('refuses %j in one line', (args, message) => {
    expect(() => readOptions(args)).toThrow(OptionError);
    expect(() => readOptions(args)).toThrow(message);
    expect(() => readOptions(args)).not.toThrow(/\n/);
  });
});

describe('busyWarning', () => {
  it('speaks up when others compute', () => {
    expect(busyWarning(0.02)).toBeUndefined();
    expect(busyWarning(0.6)).toContain('60 % of the processors');
  });
});
