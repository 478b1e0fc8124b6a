import type { ConfigDraft } from './config-draft.ts';
import { describeOption, schemaAt, valueAt, valueKind } from './option-schema.ts';
import { optionsSchema } from './schema.ts';

/** Valid as a URL and as a key, and leads nowhere: RFC 2606. */
const STAND_IN = 'https://not-set.invalid/';

/**
 * Puts something valid in the place of what sinks lack because a variable or a file is not there. For commands that reach no
 * sink: an operator's machine need not have the secrets of the relay.
 */
export function standIn(draft: ConfigDraft): void {
  for (const { path, place } of draft.places()) {
    const isOfSink = path[0] === 'sinks' && path.length > 2 && path[2] !== 'type';
    if (!isOfSink || place.variables.length === 0) continue;
    const value = valueAt(draft.root, path);
    const isBlank = typeof value === 'string' && value.trim() === '';
    if (place.fault === null && !isBlank) continue;
    const schema = schemaAt(optionsSchema, draft.root, path);
    const option = schema && describeOption(schema);
    const isText = option === undefined || valueKind(option.schema) === 'text';
    draft.mark(path, { ...place, fault: null });
    draft.rewrite(path, option?.optional || !isText ? undefined : STAND_IN);
  }
}
