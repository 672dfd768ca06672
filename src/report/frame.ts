/**
 * @file The page around every report: one file that needs nothing else. Style, script and drawings are in it, and a
 * content security policy forbids it to fetch anything, so it opens offline, prints, and can be mailed.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Content, Markup, html, scriptJson, verbatim } from './markup.js';

export interface PageSection {
  readonly id: string;
  readonly title: string;
  readonly content: Content;
}

export interface Page {
  /** Of the browser's tab. */
  readonly title: string;
  readonly heading: string;
  /** Between the heading and the links to the sections. */
  readonly introduction: Content;
  readonly sections: readonly PageSection[];
  readonly footer: string;
  /** What the report's script works on; a page without it has no script. */
  readonly data?: unknown;
}

/** The page as HTML text. */
export function renderPage({ title, heading, introduction, sections, footer, data }: Page): string {
  const script = data === undefined ? undefined : asset('report.client.js');
  const scripts = script === undefined ? "'none'" : `'sha256-${sha256(script)}'`;
  const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src ${scripts}; img-src data:; base-uri 'none'; form-action 'none'`;
  return html`${new Markup('<!doctype html>')}
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <link rel="icon" href="data:," />
        ${verbatim('style', asset('report.css'))}
      </head>
      <body>
        <header>
          <h1>${heading}</h1>
          ${introduction}
          <nav aria-label="Sections">
            <ul>
              ${sections.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>`)}
            </ul>
          </nav>
        </header>
        <main>
          ${sections.map(
            ({ id, title: name, content }) =>
              html`<section id="${id}" aria-labelledby="${id}-title">
                <h2 id="${id}-title">${name}</h2>
                ${content}
              </section> `,
          )}
        </main>
        <footer><p>${footer}</p></footer>
        ${
          script !== undefined && [
            verbatim('script', scriptJson(data), ' type="application/json" id="data"'),
            verbatim('script', script),
          ]
        }
      </body>
    </html> `.text;
}

function asset(name: string): string {
  return readFileSync(new URL(`./assets/${name}`, import.meta.url), 'utf8');
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('base64');
}
