/** A sink of somebody else, from a module. docs/sinks/custom.md is the contract. */
import { resolve } from 'node:path';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { messageOf, WalpostError } from '../../errors.ts';
import type { Event } from '../../event.ts';
import type { Sink } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { asWire } from '../../wire-text.ts';
import { AnswerText, REQUEST_TOO_LARGE } from '../answer/answer-text.ts';
import { MOST_COMPARED } from '../answer/sent-events.ts';
import { checkedVerdicts, type Masks } from './checked-verdicts.ts';
import { type LoadedDefinition, loadDefinition } from './load-definition.ts';

/** walpost does not see what the module sends. */
const NO_BODY = asWire('');
/** Shorter options are words, such as a method or a mode, that many sentences share. */
const SHORTEST_SECRET = 8;

export async function createCustomSink(config: SinkConfigOf<'custom'>, context: SinkContext): Promise<Sink> {
  const definition = await loadDefinition(config.module, context.name);
  const options = await checkedOptions(definition, config, context.name);
  const sink = await created(definition, options, context);
  const texts = new AnswerText(() => textsIn(config.options));
  return {
    async deliver(batch, signal) {
      return checkedVerdicts(await sink.deliver(batch, signal), masksOf(texts, batch.events));
    },
    close: () => sink.close(),
  };
}

async function created({ create }: LoadedDefinition, options: unknown, context: SinkContext): Promise<Sink> {
  let made: unknown;
  try {
    made = await create(options, context);
  } catch (error) {
    const detail = `create of sinks.${context.name} threw: ${messageOf(error)}.`;
    throw new WalpostError('SINK_MODULE_FAILED', { detail, cause: error });
  }
  const { deliver, close } = (made ?? {}) as Partial<Sink>;
  if (typeof deliver === 'function' && typeof close === 'function') return made as Sink;
  throw new WalpostError('SINK_MODULE_INVALID', {
    detail: `create of sinks.${context.name} returned no object with deliver and close.`,
  });
}

/** The values of an event are looked for in what is said of it; looking for those of all events in each verdict takes seconds. */
function masksOf(texts: AnswerText, events: readonly Event[]): Masks {
  const keep = (text: string, sent: readonly Event[]): string =>
    texts.keep({ text, cut: false }, { events: sent, body: NO_BODY }) ?? '';
  return {
    said(text, place) {
      if (events.reduce((sum, { size }) => sum + size, 0) > MOST_COMPARED) return REQUEST_TOO_LARGE;
      return keep(text, place === undefined ? events : events.slice(place, place + 1));
    },
    holdsSecret: (text) => keep(text, []) !== text,
  };
}

/** Which of the options are secrets only the module knows, so all their texts count as such. */
function* textsIn(options: unknown): Generator<string> {
  if (typeof options === 'string' || typeof options === 'number') {
    const text = String(options);
    if (text.length >= SHORTEST_SECRET) yield text;
  } else if (typeof options === 'object' && options !== null)
    for (const option of Object.values(options)) yield* textsIn(option);
}

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[];
}

async function checkedOptions(
  { options: schema }: LoadedDefinition,
  { options: given, module }: SinkConfigOf<'custom'>,
  name: string,
): Promise<unknown> {
  if (schema === undefined) return given;
  if (!schema['~standard'])
    throw new WalpostError('SINK_MODULE_INVALID', { detail: `options of sinks.${name} is no schema.` });
  const { value, issues } = (await schema['~standard'].validate(given)) as {
    value?: unknown;
    issues?: readonly Issue[];
  };
  if (!issues) return value;
  const lines = issues.map(({ message, path = [] }) => {
    const keys = path.map((key) => String(typeof key === 'object' ? key.key : key));
    return `${['sinks', name, 'options', ...keys].join('.')}: ${message}`;
  });
  throw new WalpostError('CONFIG_INVALID', {
    detail: `${lines.join('; ')}.`,
    remedy: `Correct them below sinks.${name}.options; ${resolve(module)} says what it takes.`,
  });
}
