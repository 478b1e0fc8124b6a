/** Programs read every command: each takes --json, and docs/cli.md says what it prints. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';

/** Their output is JSON or TypeScript without being asked, or no output but a log. */
const WITHOUT = ['run', 'config schema', 'types'];

function commandsOf(command: Command, path: readonly string[] = []): { name: string; command: Command }[] {
  if (command.commands.length === 0) return [{ name: path.join(' '), command }];
  return command.commands.flatMap((child) => commandsOf(child, [...path, child.name()]));
}

const commands = commandsOf(createProgram());

test('every command takes --json', () => {
  expect(commands.length).toBeGreaterThan(25);
  const lacking = commands.filter(({ command }) => !command.options.some(({ long }) => long === '--json'));
  expect(lacking.map(({ name }) => name).toSorted()).toEqual(WITHOUT.toSorted());
});

test('docs/cli.md says of each what it prints, and of no other', () => {
  const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const [, section = ''] = page.split('\n## JSON output\n');
  const rows = [...(section.split('\n## ')[0] ?? '').matchAll(/^\| `([a-z -]+)` +\| (\S.*\S) +\|$/gm)];
  const names = commands.map(({ name }) => name).filter((name) => !WITHOUT.includes(name));
  expect(rows.map(([, name = '']) => name).toSorted()).toEqual(names.toSorted());
});
