/** What of `.env` and of the environment would be passed over without a word, or taken for something else than it says. */
import { connectionParts, connectionStringProblem } from '../connection-string.ts';
import { environmentProblems, isOfLibpq } from '../connection-environment.ts';
import type { ConfigDraft } from './config-draft.ts';
import type { Environment } from './interpolation.ts';
import { valueAt } from './option-schema.ts';

const NOT_FILLED_IN =
  'holds ${, which is filled in only in the file of the configuration; write the expression there ($${ for the characters themselves)';

/** What is wrong with a value that comes from outside the file; null when nothing is. */
export function outsideFault(text: string): string | null {
  return text.includes('${') ? NOT_FILLED_IN : null;
}

/** Finds a value of `.env` that an expression of the file takes, and that holds an expression itself. */
export function refuseNested(draft: ConfigDraft, env: Environment, added: ReadonlySet<string>): void {
  for (const { path, place } of draft.places()) {
    const nested = place.variables.find((name) => added.has(name) && env[name]?.includes('${'));
    if (nested === undefined || place.fault !== null) continue;
    draft.mark(path, { ...place, fault: `takes ${nested} from .env, which ${NOT_FILLED_IN}` });
  }
}

/**
 * Connections follow the environment of the process, to which `.env` adds nothing: a variable of libpq there would have no
 * effect, unless the file takes it with `${NAME}`.
 */
export function reportConnectionVariables(draft: ConfigDraft, env: Environment, added: ReadonlySet<string>): void {
  const taken = new Set(draft.places().flatMap(({ place }) => place.variables));
  const report = (source: string, path: string, message: string): void =>
    void draft.problems.push({ source, line: null, column: null, path, message });
  for (const name of [...added].filter((name) => isOfLibpq(name) && !taken.has(name) && env[name])) {
    const instead = 'write it into database.url (`${NAME}` there takes it), or set it in the environment';
    report('.env', name, `has no effect here; ${instead}`);
  }
  const url = valueAt(draft.root, ['database', 'url']);
  if (typeof url !== 'string' || connectionStringProblem(url) !== undefined) return;
  const ofProcess = Object.fromEntries(Object.entries(env).filter(([name]) => !added.has(name)));
  for (const { variable, message } of environmentProblems(connectionParts(url), ofProcess))
    report(variable, '', message);
}
