import type { z } from 'zod';
import type { ConfigDraft } from './config-draft.ts';
import type { OptionPath } from './config-problem.ts';
import { crossCheck } from './cross-checks.ts';
import { didYouMean } from './did-you-mean.ts';
import { childOf, describeOption, holdsSecret, keysOf, schemaAt, valueAt } from './option-schema.ts';
import { optionsSchema, type Config } from './schema.ts';
import { startProblems } from './start-checks.ts';

type Issue = z.core.$ZodIssue;

/**
 * Checks every option and what holds between them; reports into the draft, and returns the configuration if all is well.
 *
 * @param faulty what is reported already
 * @param standIns parts of the file that are not complete, so only the form of their options is checked
 */
export function validate(
  draft: ConfigDraft,
  faulty: readonly OptionPath[],
  standIns: readonly OptionPath[] = [],
): Config | undefined {
  const result = optionsSchema.safeParse(draft.root);
  const isKnown = (path: OptionPath): boolean => faulty.some((bad) => isWithin(path, bad));
  for (const issue of result.error?.issues ?? []) {
    const path = issue.path as OptionPath;
    if (issue.code === 'unrecognized_keys') for (const key of issue.keys) reportUnknown(draft, path, key);
    else if (!isKnown(path)) reportIssue(draft, issue, path);
  }
  for (const { path, message } of [...crossCheck(draft.root), ...startProblems(draft.root)]) {
    if (isKnown(path) || standIns.some((part) => isWithin(path, part))) continue;
    draft.report(path, message + got(draft, path));
  }
  return draft.problems.length === 0 ? result.data : undefined;
}

function isWithin(path: OptionPath, part: OptionPath): boolean {
  return part.every((key, index) => path[index] === key);
}

function reportUnknown(draft: ConfigDraft, path: OptionPath, key: string): void {
  const schema = schemaAt(optionsSchema, draft.root, path);
  const hint = schema === undefined ? '' : didYouMean(key, keysOf(schema, valueAt(draft.root, path)) ?? []);
  // A URL or a token where a key should be is more likely a secret than a key.
  if (/^[\w.-]{1,40}$/.test(key)) draft.report([...path, key], `is not an option${hint}`, { at: 'key' });
  else draft.report([...path, key], 'holds a key that is not an option', { at: 'key', shownAs: path });
}

function reportIssue(draft: ConfigDraft, issue: Issue, path: OptionPath): void {
  const value = valueAt(draft.root, path);
  if (value === undefined) {
    const parent = valueAt(draft.root, path.slice(0, -1));
    draft.report(path, `is missing${allowed(issue)}${strangerHint(draft, path, parent)}`);
  } else if (issue.code === 'invalid_key') {
    draft.report(path, `the name ${issue.issues[0]?.message ?? 'is not allowed'}`, { at: 'key' });
  } else {
    draft.report(path, wording(issue, value) + hintFor(draft, issue, path) + got(draft, path));
  }
}

/** A sink that only the environment speaks of is more likely a slip in its name. */
function strangerHint(draft: ConfigDraft, path: OptionPath, parent: unknown): string {
  if (path[0] !== 'sinks' || path.length !== 3 || draft.placeOf(path.slice(0, 2)) !== undefined) return '';
  const others = Object.entries(childOf(draft.root, 'sinks') ?? {}).filter(([, sink]) => sink !== parent);
  return didYouMean(
    String(path[1]),
    others.map(([name]) => name),
  );
}

function wording(issue: Issue, value: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      return typeWording(issue.expected, value);
    case 'too_small':
    case 'too_big':
      return boundWording(issue, value);
    case 'invalid_value':
    case 'invalid_union':
      return issue.message.startsWith('must') ? issue.message : `must be one of ${choices(issue).join(', ')}`;
    case 'invalid_format':
      return issue.format === 'url' ? 'must be a URL that begins with http:// or https://' : issue.message;
    default:
      return issue.message;
  }
}

function typeWording(expected: string, value: unknown): string {
  if (value === null) return 'is empty';
  const whole = expected === 'int' ? 'a whole number' : 'a number';
  const names: Record<string, string> = {
    object: 'a map of keys',
    record: 'a map of keys',
    array: 'a list',
    string: typeof value === 'object' ? 'text' : 'text; put it in quotes',
    boolean: 'true or false',
  };
  return `must be ${names[expected] ?? whole}`;
}

function boundWording(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig, value: unknown): string {
  const small = issue.code === 'too_small';
  const bound = String(small ? issue.minimum : issue.maximum);
  const empty = typeof value === 'string' ? value.trim() === '' : Array.isArray(value) && value.length === 0;
  if (empty) return 'must not be empty';
  const least = issue.inclusive === false ? (small ? 'more than' : 'less than') : small ? 'at least' : 'at most';
  if (issue.origin === 'string') return `must have ${least} ${bound} characters`;
  return issue.origin === 'array' ? `must have ${least} ${bound} entries` : `must be ${least} ${bound}`;
}

function choices(issue: Issue): string[] {
  if (issue.code === 'invalid_value') return issue.values.map(String);
  const options = issue.code === 'invalid_union' ? (issue as { options?: unknown }).options : undefined;
  return Array.isArray(options) ? options.map(String) : [];
}

function allowed(issue: Issue): string {
  const values = choices(issue);
  return values.length === 0 ? '' : `; one of ${values.join(', ')}`;
}

function hintFor(draft: ConfigDraft, issue: Issue, path: OptionPath): string {
  const value = valueAt(draft.root, path);
  return typeof value === 'string' && isShown(draft, path) ? didYouMean(value, choices(issue)) : '';
}

function isShown(draft: ConfigDraft, path: OptionPath): boolean {
  const schema = schemaAt(optionsSchema, draft.root, path);
  const insideSecret = path.some((_, index) => {
    const around = schemaAt(optionsSchema, draft.root, path.slice(0, index));
    return around !== undefined && describeOption(around).secret;
  });
  return schema !== undefined && !insideSecret && !holdsSecret(schema) && fromVariable(draft, path) === undefined;
}

function fromVariable(draft: ConfigDraft, path: OptionPath): string | undefined {
  for (let length = path.length; length > 0; length--) {
    const place = draft.placeOf(path.slice(0, length));
    if (place !== undefined) return place.variables[0];
  }
  return undefined;
}

/** ` (got "0ms")`, unless the value is a secret, came from a variable, or is not one value. */
function got(draft: ConfigDraft, path: OptionPath): string {
  const value = valueAt(draft.root, path);
  if (value === null || value === undefined || value === '') return '';
  if (typeof value === 'object') return Array.isArray(value) ? ' (got a list)' : ' (got a map)';
  const variable = fromVariable(draft, path);
  if (variable !== undefined) return ` (got the value of \${${variable}})`;
  if (!isShown(draft, path)) return ' (a secret)';
  const text = JSON.stringify(value);
  return ` (got ${text.length > 60 ? `${text.slice(0, 57)}…` : text})`;
}
