/**
 * A template of the configuration: read once, rendered for each event.
 *
 * A field that no event has is refused when the template is read. What is below `payload` and `headers` is open: a field that
 * an event lacks is empty there. Problems and failures are our own words: a template may hold secrets, a payload always may.
 */
import { analyzeSync, type Liquid, type Template as Node } from 'liquidjs';
import { CLOCK_ASKED, engineFor, MOST_OUTPUT, MOST_SOURCE, MOST_TIME, renderBounded, TOO_LONG } from './engine.ts';
import type { TemplateKind } from './escapes.ts';
import { EVENT_FIELDS, type EventScope, OPEN_FIELDS } from './event-scope.ts';
import { TOO_LARGE } from './filter-bounds.ts';
import { TemplateFailure } from './template-failure.ts';

/** Words of the parser's own that hold nothing of the template but names. */
const SAFE = /^(?:tag "[\w#]{1,40}" not found|undefined filter: \w{1,40}|expected filter name|\[ not closed)/;
const NAME = /^[\w.-]{1,60}$/;

export class Template {
  readonly source: string;
  private readonly engine: Liquid;
  private readonly nodes: Node[];
  private readonly kind: TemplateKind;

  private constructor(source: string, engine: Liquid, nodes: Node[], kind: TemplateKind) {
    this.source = source;
    this.engine = engine;
    this.nodes = nodes;
    this.kind = kind;
  }

  /** The template, or what is wrong with it: `line 2, column 5: …`. */
  static read(source: string, kind: TemplateKind): Template | string {
    if (source.trim() === '') return 'is empty';
    if (source.length > MOST_SOURCE) return `has more than ${MOST_SOURCE / 1024} KiB`;
    const engine = engineFor(kind);
    try {
      const nodes = engine.parse(source);
      return unknownField(nodes) ?? new Template(source, engine, nodes, kind);
    } catch (error) {
      return syntaxProblem(error);
    }
  }

  /** Throws a TemplateFailure. What is meant to be JSON is JSON. */
  render(scope: EventScope): string {
    let text: string;
    try {
      text = renderBounded(this.engine, this.nodes, scope.fields, scope.size);
    } catch (error) {
      throw failureOf(error);
    }
    if (this.kind === 'json' || this.kind === 'slack') assertJson(text);
    return text;
  }
}

function unknownField(nodes: Node[]): string | undefined {
  for (const variables of Object.values(analyzeSync(nodes, { partials: false }).globals)) {
    for (const { segments, location } of variables) {
      const [root, next] = segments;
      const name = String(root);
      const isKnown = EVENT_FIELDS.some((field) => field === name);
      if (isKnown && (next === undefined || next === 'size' || OPEN_FIELDS.has(name))) continue;
      const shown = [root, next].filter((part) => typeof part === 'string').join('.');
      const what = NAME.test(shown) ? `names ${shown}, a field` : 'names a field';
      const at = `line ${location.row}, column ${location.col}`;
      return `${at}: ${what} that no event has; there is ${EVENT_FIELDS.join(', ')}, and any field below payload and headers`;
    }
  }
  return undefined;
}

function syntaxProblem(error: unknown): string {
  const { message = '', token } = error as { message?: string; token?: { getPosition?: () => readonly number[] } };
  const [line = 1, column = 1] = token?.getPosition?.() ?? [];
  const known = SAFE.exec(message)?.[0];
  return `line ${line}, column ${column}: ${known ?? 'this is not Liquid, or a tag is not closed'}`;
}

function failureOf(error: unknown): TemplateFailure {
  const message = error instanceof Error ? error.message : '';
  if (message.startsWith('template render limit')) {
    return new TemplateFailure(`took more than ${MOST_TIME} ms for this event`, true);
  }
  if (message.startsWith('memory alloc limit')) return new TemplateFailure('makes too many values of this event');
  if (message.startsWith(TOO_LARGE)) return new TemplateFailure('gives a filter too much of this event');
  if (message.startsWith(TOO_LONG))
    return new TemplateFailure(`gives more than ${MOST_OUTPUT / 1024 ** 2} MiB for this event`);
  if (message.startsWith(CLOCK_ASKED))
    return new TemplateFailure('asks for the time of now, which is another one at each try');
  return new TemplateFailure('has a filter or a tag that does not take a value of this event');
}

function assertJson(text: string): void {
  try {
    JSON.parse(text);
  } catch {
    throw new TemplateFailure('gives no valid JSON for this event');
  }
}
