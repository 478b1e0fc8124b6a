#!/usr/bin/env node
import { exitCodeOf } from './cli/exit-code.ts';
import { printError } from './cli/print-error.ts';
import { runProgram } from './cli/program.ts';

// `walpost status | head` closes the pipe early; that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.on('uncaughtException', (error) => {
  printError(error);
  process.exit(1);
});

try {
  await runProgram(process.argv.slice(2));
} catch (error) {
  printError(error);
  process.exitCode = exitCodeOf(error);
}
