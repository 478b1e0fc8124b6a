/** A list of checks with names: prints a line for each, and sets the exit code for CI. */

/** Resolves with what is worth telling, or rejects with what is wrong. */
export type Check = () => Promise<string>;

const HEAD_LENGTH = 300;

export async function runChecks(title: string, checks: Readonly<Record<string, Check>>): Promise<void> {
  process.stdout.write(`${title}\n`);
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    try {
      process.stdout.write(`  ok      ${name}: ${await check()}\n`);
    } catch (error) {
      failed += 1;
      process.stdout.write(`  FAILED  ${name}: ${reasonOf(error)}\n`);
    }
  }
  const count = Object.keys(checks).length;
  process.stdout.write(failed === 0 ? `All ${count} passed.\n` : `${failed} of ${count} failed.\n`);
  if (failed > 0) process.exitCode = 1;
}

/** Rejects a check. */
export function expectThat(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

function reasonOf(error: unknown): string {
  const { message } = error as Error;
  const cause = (error as { cause?: { code?: string } }).cause?.code;
  return `${message}${cause ? ` (${cause})` : ''}`.slice(0, HEAD_LENGTH).replaceAll('\n', ' ');
}
