import pc from 'picocolors';
import { ConfigError, formatProblem } from '../config/config-problem.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { wantsColor } from '../observe/color.ts';
import { scrub } from '../observe/redact.ts';

export interface ErrorOutput {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Code, what happened, what to do: three short lines, and the stack only for who debugs. */
export function printError(error: unknown, output: ErrorOutput = process.stderr, withStack = wantsStack()): void {
  const paint = pc.createColors(wantsColor(output));
  const known = error instanceof WalpostError ? error : undefined;
  const lines = [paint.red(known?.code ?? 'UNEXPECTED')];
  if (error instanceof ConfigError) lines.push(...error.problems.map((problem) => `  ${formatProblem(problem)}`));
  else lines.push(`  ${scrub(messageOf(error))}`);
  lines.push(`  ${known?.remedy ?? 'Set WALPOST__LOG__LEVEL=debug to see where it comes from.'}`);
  const stack = error instanceof Error ? error.stack : undefined;
  if (withStack && stack !== undefined) lines.push(scrub(stack));
  output.write(`${lines.join('\n')}\n`);
}

function wantsStack(): boolean {
  return process.env['WALPOST__LOG__LEVEL'] === 'debug' || process.argv.includes('log.level=debug');
}
