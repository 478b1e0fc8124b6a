/** `walpost init`: the first walpost.yaml, a compose file, and the secrets of both in `.env`. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { ERROR_CODES, WalpostError } from '../errors.ts';
import { printable } from '../observe/printable.ts';
import { askLine } from './ask-line.ts';
import { EXIT } from './exit-code.ts';
import { type AnswerFlags, type Answers, answersOf, type Ask } from './init-answers.ts';
import { usage } from './flag-values.ts';
import { composeText, configurationText, secretLines } from './init-files.ts';
import { say, sayJson } from './output.ts';
import { fitted, terminalWidth } from './text-table.ts';

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
  const answers = await answered(flags);
  if (answers === undefined) return;
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

/** Undefined when a person does not answer: nothing is written then. */
async function answered(flags: InitFlags): Promise<Answers | undefined> {
  if (flags.yes) return answersOf(flags, (_, byDefault, read) => Promise.resolve(read(byDefault)));
  const output = flags.json ? process.stderr : process.stdout;
  try {
    return await answersOf(flags, asking(output));
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    output.write('Nothing was written.\n');
    process.exitCode = EXIT.failed;
    return undefined;
  }
}

class NoAnswer extends Error {}

/** Asks on a terminal, one question after the other, and the same one again after an answer that cannot be meant. */
function asking(output: NodeJS.WriteStream): Ask {
  if (!process.stdin.isTTY || !output.isTTY) {
    throw usage('Nobody can be asked here.', 'Add --yes, and flags for what is not the default.');
  }
  return async (question, byDefault, read) => {
    for (;;) {
      const answer = await askLine(`${question} [${byDefault}]: `, output);
      if (answer === undefined) throw new NoAnswer();
      try {
        return read(answer || byDefault);
      } catch (error) {
        if (!(error instanceof WalpostError) || error.code !== 'USAGE') throw error;
        const why = error.message.slice(ERROR_CODES.USAGE.cause.length).trim();
        output.write(`${fitted(`  ${printable(why)}`, terminalWidth(output))}\n`);
      }
    }
  };
}
