/**
 * The one template engine: Liquid with the tags and filters below.
 *
 * What is not listed cannot be used. Tags that read other files (include, render, layout) are left out, and so is capture,
 * which could double a text again and again outside the limit of the output. Filters that switch the escaping off (raw) or
 * read the clock are left out too: the same event gives the same bytes at each try.
 */
import { Context, Liquid, type Template as Node, toValue, toValueSync } from 'liquidjs';
import { escaped, escapeHtml, textOfValue, type TemplateKind, wholeJson } from './escapes.ts';
import { boundFilters } from './filter-bounds.ts';

const TAGS = new Set('assign break case comment continue cycle echo for if raw unless #'.split(' '));
const FILTERS = new Set(
  (
    'abs append at_least at_most base64_encode capitalize ceil compact concat date date_to_xmlschema default divided_by ' +
    'downcase find first floor join last lstrip map minus modulo plus prepend remove remove_first replace replace_first ' +
    'reverse round rstrip size slice sort split strip strip_html strip_newlines sum times truncate truncatewords uniq ' +
    'upcase url_encode where'
  ).split(' '),
);
/** Characters of a template. */
export const MOST_SOURCE = 256 * 1024;
/** Characters of what a template gives. */
export const MOST_OUTPUT = 4 * 1024 ** 2;
/** Characters and list entries that filters and ranges may make, beside four times the payload. */
const MOST_MADE = 4_000_000;
/** Milliseconds for one rendering: for that long nothing else happens in the process. */
export const MOST_TIME = 250;

export const TOO_LONG = 'output limit exceeded';
export const CLOCK_ASKED = 'the clock was asked';

interface FilterThis {
  readonly context: Context;
}

const engines = new Map<TemplateKind, Liquid>();

/** The engine whose outputs are escaped for this kind of text. */
export function engineFor(kind: TemplateKind): Liquid {
  const known = engines.get(kind);
  if (known) return known;
  const engine = new Liquid({
    outputEscape(this: FilterThis, value: unknown) {
      return charged(this, escaped(kind, toValue(value)));
    },
    ownPropertyOnly: true,
    strictFilters: true,
    dynamicPartials: false,
    templates: {},
    parseLimit: MOST_SOURCE,
    timezoneOffset: 0,
    locale: 'en-US',
  });
  for (const name of Object.keys(engine.tags)) if (!TAGS.has(name)) delete engine.tags[name];
  const { date } = engine.filters;
  for (const name of Object.keys(engine.filters)) if (!FILTERS.has(name)) delete engine.filters[name];
  engine.registerFilter('date', function (this: FilterThis, value: unknown, ...rest: unknown[]) {
    if (['now', 'today'].includes(textOfValue(toValue(value)))) throw new Error(CLOCK_ASKED);
    return (date as (this: FilterThis, ...given: unknown[]) => unknown).call(this, value, ...rest);
  });
  const isWhole = kind === 'json' || kind === 'slack';
  engine.registerFilter('json', {
    raw: isWhole,
    handler(this: FilterThis, value: unknown) {
      return charged(this, wholeJson(isWhole ? kind : 'text', value));
    },
  });
  if (kind === 'html') {
    engine.registerFilter('newline_to_br', {
      raw: true,
      handler(this: FilterThis, value: unknown) {
        return charged(this, escapeHtml(textOfValue(toValue(value))).replace(/\r?\n/g, '<br>\n'));
      },
    });
  }
  boundFilters(engine.filters);
  engines.set(kind, engine);
  return engine;
}

function charged({ context }: FilterThis, text: string): string {
  context.memoryLimit.use(text.length);
  return text;
}

/** Renders within the limits; throws what liquidjs throws. `size`: characters of the payload. */
export function renderBounded(engine: Liquid, nodes: Node[], scope: object, size: number): string {
  const limits = { renderLimit: MOST_TIME, memoryLimit: MOST_MADE + 4 * size };
  const context = new Context(scope, engine.options, { sync: true, ...limits }, { liquid: engine });
  const output = {
    buffer: '',
    write(html: unknown) {
      output.buffer += textOfValue(html);
      if (output.buffer.length > MOST_OUTPUT) throw new Error(TOO_LONG);
    },
  };
  toValueSync(engine.renderer.renderTemplates(nodes, context, output));
  return output.buffer;
}
