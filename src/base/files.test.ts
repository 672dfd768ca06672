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
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileError, OutputError } from './errors.js';
import { appendLine, dropTornLine, readJson, writeFileAtomic } from './files.js';

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'shiftaddnas-files-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('writeFileAtomic', () => {
  it('writes text and bytes, makes parents and leaves no temporary file', () => {
    const path = join(folder, 'deep', 'er', 'file.bin');
    writeFileAtomic(path, 'grüße');
    expect(readFileSync(path, 'utf8')).toBe('grüße');
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i);
    writeFileAtomic(path, bytes.subarray(3));
    expect(Buffer.compare(readFileSync(path), bytes.subarray(3))).toBe(0);
    expect(readdirSync(join(folder, 'deep', 'er'))).toEqual(['file.bin']);
  });

  it('leaves what stands there when the parent is a file, and says so', () => {
    const parent = join(folder, 'not-a-folder');
    writeFileSync(parent, 'kept');
    for (const path of [join(parent, 'child'), join(parent, 'further', 'child')]) {
      expect(() => writeFileAtomic(path, 'new')).toThrow(OutputError);
      expect(() => writeFileAtomic(path, 'new')).toThrow(path);
    }
    expect(readFileSync(parent, 'utf8')).toBe('kept');
  });

  it('leaves a folder of that name and its content alone', () => {
    const target = join(folder, 'taken');
    mkdirSync(target);
    writeFileSync(join(target, 'inside'), 'kept');
    expect(() => writeFileAtomic(target, 'new')).toThrow(OutputError);
    expect(readFileSync(join(target, 'inside'), 'utf8')).toBe('kept');
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('keeps the old file when the new one cannot be written to the end', () => {
    const path = join(folder, 'state.json');
    writeFileAtomic(path, 'old');
    // Stands where the temporary file would be made: the write fails before the rename.
    const temporary = join(folder, `.state.json.${process.pid}.tmp`);
    mkdirSync(temporary);
    try {
      expect(() => writeFileAtomic(path, 'new')).toThrow(OutputError);
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
    expect(readFileSync(path, 'utf8')).toBe('old');
  });
});

describe('the log', () => {
  it('appends lines, and drops exactly what follows the last line end', () => {
    const path = join(folder, 'logs', 'events.jsonl');
    fc.assert(
      fc.property(
        fc.array(fc.string().filter((line) => !line.includes('\n'))),
        fc.string().filter((line) => !line.includes('\n')),
        (lines, torn) => {
          rmSync(path, { force: true });
          dropTornLine(path);
          for (const line of lines) appendLine(path, line);
          const whole = lines.map((line) => `${line}\n`).join('');
          if (lines.length > 0) expect(readFileSync(path, 'utf8')).toBe(Buffer.from(whole).toString());
          mkdirSync(join(folder, 'logs'), { recursive: true });
          writeFileSync(path, torn, { flag: 'a' });
          dropTornLine(path);
          expect(readFileSync(path, 'utf8')).toBe(Buffer.from(whole).toString());
        },
      ),
      { numRuns: 15 },
    );
  });

  it('says where it cannot be written', () => {
    const parent = join(folder, 'plain');
    writeFileSync(parent, '');
    expect(() => appendLine(join(parent, 'events.jsonl'), '{}')).toThrow(OutputError);
  });
});

describe('readJson', () => {
  it('tells a missing file from a broken one', () => {
    const path = join(folder, 'broken.json');
    writeFileSync(path, '{"a": ');
    expect(() => readJson(path)).toThrow(FileError);
    expect(() => readJson(path)).toThrow(/broken\.json: not readable as JSON/);
    expect(() => readJson(join(folder, 'none.json'))).toThrow(/none\.json: no such file/);
    writeFileSync(path, '{"a": [1]}');
    expect(readJson(path)).toEqual({ a: [1] });
  });
});

it.skipIf(!existsSync('/proc/self'))(
  'says at once that nothing can be written where the system makes no folders',
  () => {
    expect(() => writeFileAtomic('/proc/nowhere/deep/file', 'x')).toThrow(OutputError);
    expect(() => appendLine('/proc/nowhere/log', 'x')).toThrow(OutputError);
  },
);
