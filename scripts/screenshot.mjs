/**
 * @file Makes docs/report.png from a run's report.html in headless Chromium (Debian package chromium):
 *
 *     node scripts/screenshot.mjs runs/NAME
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [run] = process.argv.slice(2);
if (run === undefined) {
  console.error('usage: node scripts/screenshot.mjs RUN_FOLDER');
  process.exit(2);
}
const profile = mkdtempSync(join(tmpdir(), 'screenshot-'));
const { status, error } = spawnSync(
  process.env.CHROMIUM ?? 'chromium',
  [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--hide-scrollbars',
    `--user-data-dir=${profile}`,
    '--window-size=1180,2280',
    `--screenshot=${resolve('docs/report.png')}`,
    pathToFileURL(resolve(run, 'report.html')).href,
  ],
  { stdio: 'ignore' },
);
rmSync(profile, { recursive: true, force: true });
if (status !== 0) {
  console.error(
    `chromium failed (${error?.message ?? `exit code ${status}`}); install it, or name it in CHROMIUM`,
  );
  process.exit(1);
}
