/** What a scene is, and what is checked when it has been played. */
import { hostname, tmpdir } from 'node:os';
import { COLUMNS, tells } from './terminal.ts';
import type { Stage } from './stage.ts';
import type { Step } from './transcript.ts';

export interface Scene {
  /** The first cell of its row in "When something is wrong" of docs/operations.md. */
  readonly symptom: string;
  /** The sentences that an operator has to read. */
  readonly says: {
    readonly cause: RegExp;
    /** Which slot, sink, organization, session or file; null where the output does not name it. */
    readonly subject: RegExp | null;
    /** What to do; null where the output does not say it, and the row in docs/operations.md does. */
    readonly remedy: RegExp | null;
  };
  /** In the last output. */
  readonly over: RegExp;
  /** Whether `app` has the schema when the scene begins; true by default. */
  readonly migrated?: boolean;
  readonly play: (stage: Stage) => Promise<void>;
}

/** What is wrong with a scene that was played, or with its section of the page; empty when all is there. */
export function faultsOf({ says, over }: Scene, before: string, after: string): string[] {
  const { cause, subject, remedy } = says;
  const missing = Object.entries({ cause, subject, remedy }).filter(
    ([, text]) => text !== null && !tells(before, text),
  );
  return [
    ...missing.map(([name, text]) => `its ${name} is not told: ${text}`),
    ...(tells(after, over) ? [] : [`it does not show that it is over: ${over}`]),
    ...(tells(after, cause) ? [`it still says ${cause} when it is over`] : []),
  ];
}

/** All that was shown before the remedy. */
export function outputBefore(steps: readonly Step[]): string {
  return steps
    .filter(({ after }) => !after)
    .map(({ output }) => output)
    .join('\n');
}

/** What the last command showed. */
export function lastOutput(steps: readonly Step[]): string {
  return steps.at(-1)?.output ?? '';
}

/** Lines that are too wide, and what belongs to this machine alone. */
export function blemishesOf(steps: readonly Step[]): string[] {
  const lines = steps.flatMap(({ output }) => output.split('\n'));
  const own = [tmpdir(), hostname()].filter((text) => text.length > 3);
  return lines.filter((line) => line.length > COLUMNS || own.some((text) => line.includes(text)));
}
