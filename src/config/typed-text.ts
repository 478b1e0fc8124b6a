import { parseDocument } from 'yaml';
import type { ConfigDraft } from './config-draft.ts';
import type { OptionPath } from './config-problem.ts';
import { describeOption, schemaAt, valueAt, valueKind, type OptionSchema } from './option-schema.ts';

/**
 * Parses values that were given as text (`${VARIABLES}`, the environment, flags) by the type of their option: a password of
 * digits stays text, a port becomes a number, `[1m, 2m]` a list. Also removes empty values, so that a section whose keys are
 * all commented out has its defaults. Not so for what is never blank:
 * a signing secret that comes out empty would silently mean requests without a signature. Returns the paths whose values could not be read.
 */
export function settleText(draft: ConfigDraft, root: OptionSchema): OptionPath[] {
  const faulty: OptionPath[] = [];
  for (const { path, place } of draft.places()) {
    if (place.fault !== null) {
      draft.report(path, place.fault);
      faulty.push(path);
      continue;
    }
    const schema = schemaAt(root, draft.root, path);
    if (schema === undefined || path.length === 0) continue;
    const value = valueAt(draft.root, path);
    const option = describeOption(schema);
    if (option.neverBlank && isBlank(value)) {
      draft.report(path, `is empty${cause(place.variables)}; give it a value, or leave the option out`);
      faulty.push(path);
      continue;
    }
    const empty = value === null || (value === '' && place.textual);
    if (empty && option.optional && !option.nullable) draft.rewrite(path, undefined);
    else if (place.textual && typeof value === 'string') {
      const typed = typedText(schema, value);
      if (typed !== value) draft.rewrite(path, typed);
    }
  }
  return faulty;
}

/** A text as the option's type wants it; unchanged when it cannot be that, for the validation to say so. */
export function typedText(schema: OptionSchema, text: string): unknown {
  if (valueKind(describeOption(schema).schema) === 'text') return text;
  const document = parseDocument(text, { prettyErrors: false });
  return document.errors.length > 0 ? text : (document.toJS({ maxAliasCount: 0 }) as unknown);
}

function isBlank(value: unknown): boolean {
  return value === null || (typeof value === 'string' && value.trim() === '');
}

function cause(variables: readonly string[]): string {
  return variables.length === 0 ? '' : `, as is the variable ${variables.join(', ')}`;
}
