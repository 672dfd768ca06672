/**
 * @file HTML and SVG as text that cannot be injected into: a tagged template that escapes whatever is put into it.
 *
 * Class names, data set names, commands and notices come from the user's own files and may hold any character.
 * Escaping by hand is forgotten once; here only a {@link Markup} passes unescaped, and only this module makes one
 * from a string.
 */

/** Text that is already valid HTML or SVG. */
export class Markup {
  constructor(readonly text: string) {}
}

/** What may stand in a hole of {@link html}; nothing is printed for `null`, `undefined` and `false`. */
export type Content = Markup | string | number | null | undefined | false | readonly Content[];

/** Escapes everything that means something in element content or in a quoted attribute. */
export function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/** Markup from a template literal; holes are escaped unless they are markup, lists are joined. */
export function html(strings: TemplateStringsArray, ...holes: readonly Content[]): Markup {
  const pieces = withoutIndentation(strings);
  let text = pieces[0]!;
  holes.forEach((hole, at) => (text += textOf(hole) + pieces[at + 1]!));
  return new Markup(text);
}

const dedented = new WeakMap<TemplateStringsArray, readonly string[]>();

/** The template without the indentation of our source, which would be a fifth of the page. Holes are not touched. */
function withoutIndentation(strings: TemplateStringsArray): readonly string[] {
  const known = dedented.get(strings);
  if (known !== undefined) return known;
  const pieces = strings.map((piece) => piece.replace(/\n\s*/g, '\n'));
  dedented.set(strings, pieces);
  return pieces;
}

function textOf(content: Content): string {
  if (content instanceof Markup) return content.text;
  if (content === null || content === undefined || content === false) return '';
  if (typeof content === 'string') return escapeText(content);
  if (typeof content === 'number') return String(content);
  return content.map(textOf).join('');
}

/** JSON for a `<script type="application/json">`: no character sequence in it can end the element or open a comment. */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c').replaceAll('>', '\\u003e');
}

/** A `<style>` or `<script>` element whose content is ours and stands there to the byte, so that its hash is known. */
export function verbatim(element: 'style' | 'script', content: string, attributes = ''): Markup {
  return new Markup(`<${element}${attributes}>${content}</${element}>`);
}

/** A length in SVG user units, to a tenth: finer is invisible and makes the file larger. */
export function px(length: number): number {
  return Math.round(length * 10) / 10;
}

/** The colour when it can only be a colour (hex, name, rgb(), hsl()), a neutral grey otherwise. */
export function safeColour(colour: string): string {
  return /^(#[0-9a-f]{3,8}|[a-z]{1,30}|(rgb|hsl)a?\([\d\s.,%/deg-]{1,60}\))$/i.test(colour)
    ? colour
    : '#808890';
}
