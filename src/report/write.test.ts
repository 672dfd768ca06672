import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileError } from '../base/errors.js';
import { madeUpEvents, madeUpResult } from './fixture.cases.js';
import { parseEvents, parseResult } from './schema.js';
import { writeReport } from './write.js';

let folder = '';
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'report-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const lines = madeUpEvents(60).map((event) => JSON.stringify(event));

function put(name: string, content: unknown): void {
  writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
}

test('writes the report of a run folder and leaves nothing else behind', () => {
  put('result.json', madeUpResult());
  put('events.jsonl', `${lines.join('\n')}\n`);
  const path = writeReport(folder);
  expect(readdirSync(folder).sort()).toEqual(['events.jsonl', 'report.html', 'result.json']);
  const html = readFileSync(path, 'utf8');
  expect(html).toContain('<h1>mnist-quick-1</h1>');
  // The search space is found again from the architectures, so clicked candidates have blocks.
  expect(html).toContain('"stage0.block0"');
  expect(html).not.toContain('events.jsonl');
});

test('a torn last line and a damaged line in between are left out and named', () => {
  const damaged = [...lines.slice(0, 5), '{"type":"cand{"type":"notice"}', ...lines.slice(5)];
  const log = parseEvents(`${damaged.join('\n')}\n{"type":"candidate","tim`);
  expect(log.events).toEqual(madeUpEvents(60));
  expect(log).toMatchObject({ unreadable: 1, torn: true });
  expect(parseEvents(`${lines.join('\n')}\n`)).toMatchObject({ unreadable: 0, torn: false });

  put('result.json', madeUpResult());
  put('events.jsonl', `${damaged.join('\n')}\n{"type":"candidate","tim`);
  const html = readFileSync(writeReport(folder), 'utf8');
  expect(html).toContain('1 unreadable line of events.jsonl left out');
  expect(html).toContain('the last line of events.jsonl is incomplete and left out');
});

test('without result.json the run counts as not finished', () => {
  put('events.jsonl', lines.join('\n'));
  const html = readFileSync(writeReport(folder, { header: { name: 'running', seed: 4 } }), 'utf8');
  expect(html).toContain('This run is not finished.');
  expect(html).toContain('seed 4');

  put('config.json', { name: 'from-config', data: 'mnist', seed: 9, profile: 'fair', budget: 'energy=50%' });
  const configured = readFileSync(writeReport(folder), 'utf8');
  expect(configured).toContain('data set mnist · profile fair · seed 9');
  expect(configured).toContain('energy=50%');
});

test('another version, another format, a damaged field and an empty folder are refused in one line', () => {
  const refused = (content: unknown): string => {
    put('result.json', content);
    try {
      writeReport(folder);
    } catch (error) {
      expect(error).toBeInstanceOf(FileError);
      const { message } = error as FileError;
      expect(message).not.toContain('\n');
      expect(readdirSync(folder)).not.toContain('report.html');
      return message;
    }
    throw new Error('not refused');
  };
  expect(() => writeReport(folder)).toThrow(/neither result.json nor events.jsonl/);
  expect(refused({ ...madeUpResult(), version: 2 })).toMatch(/version 2 .* reads version 1/);
  expect(refused({ ...madeUpResult(), format: 'something' })).toMatch(/not a result file/);
  expect(refused({ ...madeUpResult(), seed: 'one' })).toMatch(/seed: .*expected number/);
  expect(refused('{"format": ')).toMatch(/not readable as JSON/);
});

test('a result survives the way through JSON and the schema unchanged', () => {
  const result = madeUpResult();
  expect(parseResult(JSON.parse(JSON.stringify(result)), 'here')).toEqual(result);
});
