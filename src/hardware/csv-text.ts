/**
 * @file Reads and writes comma-separated text (RFC 4180): quoted cells may hold commas, quotes and line breaks.
 *
 * Records keep the line on which they start, so that a message can point at it, and a malformed record is reported
 * without giving up on the others.
 */

/** One record: its cells, or what is wrong with it. */
export type CsvRecord =
  | { readonly line: number; readonly cells: readonly string[] }
  | { readonly line: number; readonly problem: string };

/** Splits text into records. Blank lines and a byte order mark are skipped; LF, CRLF and CR end a record. */
export function parseCsv(text: string): CsvRecord[] {
  const records: CsvRecord[] = [];
  let at = text.startsWith('\uFEFF') ? 1 : 0;
  let line = 1;
  while (at < text.length) {
    const start = line;
    const cells: string[] = [];
    let problem: string | undefined;
    for (let more = true; more;) {
      let cell: string;
      if (text[at] === '"') {
        const end = closingQuote(text, at);
        if (end === undefined) {
          // The rest of the text hangs on this quote; go on with the next line instead of swallowing it.
          problem ??= 'a quoted cell is never closed';
          cell = '';
        } else {
          cell = text.slice(at + 1, end).replaceAll('""', '"');
          line += countLineBreaks(cell);
          at = end + 1;
          if (at < text.length && !/[,\r\n]/.test(text[at]!))
            problem ??= 'text follows the closing quote of a cell';
        }
      } else {
        cell = '';
      }
      const rest = /[^,\r\n]*/y;
      rest.lastIndex = at;
      const bare = rest.exec(text)![0];
      at += bare.length;
      if (bare.includes('"') && cell === '') problem ??= 'a quote stands inside an unquoted cell';
      cells.push(cell + bare);
      more = text[at] === ',';
      if (more) at++;
    }
    if (text[at] === '\r' && text[at + 1] === '\n') at++;
    at++;
    line++;
    if (problem !== undefined) records.push({ line: start, problem });
    else if (cells.length > 1 || cells[0]!.trim() !== '') records.push({ line: start, cells });
  }
  return records;
}

/** One line of CSV without its line break, quoting the cells that need it. */
export function formatCsvLine(cells: readonly (string | number)[]): string {
  return cells
    .map((cell) => {
      const text = String(cell);
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    })
    .join(',');
}

/** Index of the quote that closes the cell opened at `open`; doubled quotes belong to the cell. */
function closingQuote(text: string, open: number): number | undefined {
  for (let at = text.indexOf('"', open + 1); at >= 0; at = text.indexOf('"', at + 2))
    if (text[at + 1] !== '"') return at;
  return undefined;
}

function countLineBreaks(text: string): number {
  return text.match(/\r\n|\r|\n/g)?.length ?? 0;
}
