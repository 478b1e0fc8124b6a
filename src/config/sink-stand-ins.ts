import { z } from 'zod';
import type { ConfigDraft } from './config-draft.ts';
import type { OptionPath } from './config-problem.ts';
import { childOf, describeOption, type OptionSchema, schemaAt, valueAt } from './option-schema.ts';
import { optionsSchema } from './schema.ts';

/** Texts of the forms that options of sinks have; the first that an option takes stands in. `.invalid` leads nowhere: RFC 2606. */
const STAND_INS = [
  'https://not-set.invalid/',
  'nats://not-set.invalid:4222',
  'amqp://not-set.invalid/',
  'not-set.invalid:9092',
  'not-set@not-set.invalid',
  'not-set',
];

/**
 * Puts something valid in the place of what sinks lack because a variable or a file is not there. For commands that reach no
 * sink: an operator's machine need not have the secrets of the relay.
 *
 * Returns the sinks that have a stand-in, themselves or in `live`. What their options say together is not to be judged.
 */
export function standIn(draft: ConfigDraft): OptionPath[] {
  const owners = new Map<string, OptionPath>();
  for (const { path, place } of draft.places()) {
    const isOfSink = path[0] === 'sinks' && path.length > 2 && path[2] !== 'type';
    if ((!isOfSink && path[0] !== 'live') || place.variables.length === 0) continue;
    const value = valueAt(draft.root, path);
    const isBlank = typeof value === 'string' && value.trim() === '';
    if (place.fault === null && !isBlank) continue;
    const schema = schemaAt(optionsSchema, draft.root, path);
    draft.mark(path, { ...place, fault: null });
    draft.rewrite(path, schema && describeOption(schema).optional ? undefined : textFor(schema));
    const incomplete = isOfSink ? [path.slice(0, 2)] : [['live'], ...liveSinks(draft)];
    for (const owner of incomplete) owners.set(owner.join(' '), owner);
  }
  return [...owners.values()];
}

function liveSinks({ root }: ConfigDraft): OptionPath[] {
  const sinks = Object.entries(childOf(root, 'sinks') ?? {});
  return sinks.filter(([, sink]) => childOf(sink, 'type') === 'live').map(([name]) => ['sinks', name]);
}

/** Undefined when an option takes none of the texts: then it is reported as missing. */
function textFor(wrapped: OptionSchema | undefined): string | undefined {
  if (wrapped === undefined) return STAND_INS[0];
  const { schema } = describeOption(wrapped);
  const choices = schema instanceof z.ZodEnum ? schema.options.map(String) : [];
  return [...choices, ...STAND_INS].find((text) => z.core.safeParse(wrapped, text).success);
}
