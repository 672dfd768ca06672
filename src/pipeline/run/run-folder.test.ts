import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileError, OutputError } from '../../base/errors.js';
import type { RunEvent } from './result.js';
import { RunFolder, readEvents } from './run-folder.js';

let root: string;
let folder: RunFolder;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shiftaddnas-run-'));
  folder = new RunFolder(join(root, 'a-run'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const state = {
  identity: 'who',
  command: 'shiftaddnas search',
  startedAt: '2024-01-01T00:00:00.000Z',
  phaseSeconds: { supernet: 1.5 },
  finishedPhases: ['supernet'],
  results: { supernet: { accuracy: 0.5 } },
};
const notice = (message: string): RunEvent => ({ type: 'notice', time: 'now', message });

describe('a new folder', () => {
  it('is made with its parents, is named by its last part, and is not made twice over files', () => {
    folder.create();
    folder.create();
    expect(folder.name).toBe('a-run');
    writeFileSync(folder.file('config.json'), '{}');
    expect(() => folder.create()).toThrow(OutputError);
    expect(() => folder.requireFresh()).toThrow(/a-run already holds files; go on with it by --resume/);
  });

  it('cannot stand on a file', () => {
    writeFileSync(join(root, 'plain'), '');
    for (const path of ['plain', 'plain/below'])
      expect(() => new RunFolder(join(root, path)).create(), path).toThrow(OutputError);
  });
});

describe('the lock', () => {
  it('keeps a living process out, and goes when it is given back', () => {
    folder.create();
    folder.lock();
    const stat = `/proc/${process.ppid}/stat`;
    const started = existsSync(stat) ? readFileSync(stat, 'utf8').split(') ').at(-1)!.split(' ')[19] : '';
    writeFileSync(folder.file('.lock'), `${process.ppid} ${started}`.trim());
    expect(() => folder.lock()).toThrow(`process ${process.ppid} is working on this run`);
    folder.unlock();
    expect(readdirSync(folder.path)).toEqual([]);
  });
});

describe('the state', () => {
  beforeEach(() => folder.create());
  const edit = (change: (state: Record<string, unknown>) => unknown): void => {
    folder.writeState(state);
    const path = folder.file('state.json');
    writeFileSync(
      path,
      JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>)),
    );
  };

  it('comes back as it was written; there is none in a new run', () => {
    expect(folder.readState('who')).toBeUndefined();
    folder.writeState(state);
    expect(folder.readState('who')).toEqual({ format: 'shiftaddnas-run', version: 1, ...state });
  });

  it.each([
    [
      'another identity',
      (held: object) => ({ ...held, identity: 'else' }),
      /belongs to another configuration/,
    ],
    ['a later version', (held: object) => ({ ...held, version: 2 }), /checkpoint version 2, .* version 1/],
    [
      'a later version with other fields',
      () => ({ format: 'shiftaddnas-run', version: 3, phases: [] }),
      /checkpoint version 3/,
    ],
    ['another format', (held: object) => ({ ...held, format: 'x' }), /not the state of a run/],
    ['a missing field', (held: object) => ({ ...held, results: undefined }), /not the state of a run/],
    ['no object', () => 5, /not the state of a run/],
  ])('names %s', (_, change, message) => {
    edit(change);
    expect(() => folder.readState('who')).toThrow(FileError);
    expect(() => folder.readState('who')).toThrow(/state\.json: /);
    expect(() => folder.readState('who')).toThrow(message);
  });

  it('names a file that was cut off', () => {
    folder.writeState(state);
    writeFileSync(folder.file('state.json'), readFileSync(folder.file('state.json'), 'utf8').slice(0, 40));
    expect(() => folder.readState('who')).toThrow(/state\.json: not readable as JSON/);
  });
});

describe('the events', () => {
  beforeEach(() => folder.create());

  it('come back in order; a line torn by a crash is left out, and cut off before more is written', () => {
    expect(folder.readEvents()).toEqual([]);
    folder.append(notice('one\nline'));
    folder.append(notice('two'));
    writeFileSync(folder.file('events.jsonl'), '{"type":"notice","ti', { flag: 'a' });
    expect(folder.readEvents()).toEqual([notice('one\nline'), notice('two')]);
    folder.lock();
    folder.append(notice('three'));
    expect(folder.readEvents()).toEqual([notice('one\nline'), notice('two'), notice('three')]);
  });

  it('names the line that is broken', () => {
    folder.append(notice('one'));
    writeFileSync(folder.file('events.jsonl'), 'rubbish\n', { flag: 'a' });
    folder.append(notice('three'));
    expect(() => readEvents(folder.file('events.jsonl'))).toThrow(FileError);
    expect(() => readEvents(folder.file('events.jsonl'))).toThrow(/events\.jsonl:2: not an event/);
  });
});

describe('checkpoints', () => {
  beforeEach(() => folder.create());
  const checkpoint = {
    step: 7,
    tensors: new Map([['w', { shape: [2, 1], data: Float32Array.of(1.5, -2) }]]),
  };
  const path = (phase: string): string => folder.file('checkpoints', `${phase}.safetensors`);

  it('come back as written, one per phase, and go', () => {
    expect(folder.readCheckpoint('retrain:hybrid', 'who')).toBeUndefined();
    folder.writeCheckpoint('retrain:hybrid', 'who', checkpoint);
    folder.writeCheckpoint('supernet', 'who', { ...checkpoint, step: 9 });
    expect(folder.readCheckpoint('retrain:hybrid', 'who')).toEqual(checkpoint);
    expect(folder.readCheckpoint('supernet', 'who')?.step).toBe(9);
    folder.removeCheckpoint('retrain:hybrid');
    folder.removeCheckpoint('retrain:hybrid');
    expect(folder.readCheckpoint('retrain:hybrid', 'who')).toBeUndefined();
  });

  it('of another run, of another phase and damaged ones are named', () => {
    folder.writeCheckpoint('supernet', 'who', checkpoint);
    const bytes = readFileSync(path('supernet'));
    expect(() => folder.readCheckpoint('supernet', 'else')).toThrow(
      /supernet\.safetensors: belongs to another run/,
    );
    writeFileSync(path('retrain-hybrid'), bytes);
    expect(() => folder.readCheckpoint('retrain:hybrid', 'who')).toThrow(FileError);
    for (const length of [0, 5, 20, bytes.length - 1]) {
      writeFileSync(path('supernet'), bytes.subarray(0, length));
      expect(() => folder.readCheckpoint('supernet', 'who'), String(length)).toThrow(FileError);
      expect(() => folder.readCheckpoint('supernet', 'who')).toThrow(/supernet\.safetensors/);
    }
    writeFileSync(path('supernet'), bytes.toString('latin1').replace('"step":"7"', '"step":"x"'), 'latin1');
    expect(() => folder.readCheckpoint('supernet', 'who')).toThrow(FileError);
    rmSync(path('supernet'));
    mkdirSync(path('supernet'));
    expect(() => folder.readCheckpoint('supernet', 'who')).toThrow(/supernet\.safetensors: cannot be read/);
  });
});
