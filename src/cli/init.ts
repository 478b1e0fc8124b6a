/** `walpost init`: the first walpost.yaml, a compose file, and the secrets of both in `.env`. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { parseEnv } from 'node:util';
import { type AnswerFlags, answersOf, type Ask } from './init-answers.ts';
import { usage } from './flag-values.ts';
import { composeText, configurationText, secretLines } from './init-files.ts';
import { say, sayJson } from './output.ts';

export interface InitFlags extends AnswerFlags {
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

const [CONFIGURATION, COMPOSE, SECRETS] = ['walpost.yaml', 'compose.yaml', '.env'] as const;

/** Writes into the working directory. Throws USAGE when a file is there, or when nobody can be asked. */
export async function init(flags: InitFlags): Promise<void> {
  const there = [CONFIGURATION, COMPOSE].filter((name) => existsSync(name));
  if (there.length > 0 && !flags.force) {
    throw usage(
      `${there.join(' and ')}: already there.`,
      'Add --force to write over it, or work in another directory.',
    );
  }
  const answers = await answersOf(flags, flags.yes ? (_, byDefault) => Promise.resolve(byDefault) : asking(flags.json));
  const known = existsSync(SECRETS) ? readFileSync(SECRETS, 'utf8') : '';
  const lines = secretLines(answers, new Set(Object.keys(parseEnv(known))), () => randomBytes(32).toString('base64'));
  writeFileSync(SECRETS, known === '' || known.endsWith('\n') ? known + lines : `${known}\n${lines}`, { mode: 0o600 });
  writeFileSync(CONFIGURATION, configurationText(answers));
  writeFileSync(COMPOSE, composeText(answers));
  const empty = answers.sink === 'realtime' ? ['SUPABASE_SERVICE_ROLE_KEY'] : [];
  if (flags.json) return sayJson({ written: [CONFIGURATION, COMPOSE, SECRETS], secrets: SECRETS, fill_in: empty });
  say(`Wrote ${CONFIGURATION} and ${COMPOSE}; their secrets are in ${SECRETS}, which belongs into no repository.`);
  for (const name of empty) say(`Fill in ${name} in ${SECRETS}.`);
  say('Next: `walpost config check`, `walpost migrate` as the owner of the schema, `walpost doctor`, `walpost run`.');
}

/** Asks on a terminal, one question after the other. */
function asking(json = false): Ask {
  const output = json ? process.stderr : process.stdout;
  if (!process.stdin.isTTY || !output.isTTY) {
    throw usage('Nobody can be asked here.', 'Add --yes, and flags for what is not the default.');
  }
  return async (question, byDefault) => {
    const prompt = createInterface({ input: process.stdin, output });
    const answer = await prompt.question(`${question} [${byDefault}]: `);
    prompt.close();
    return answer.trim() || byDefault;
  };
}
