/** Help as it looks in a terminal: lines that fit it, and none of them broken within a word. */
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';

function pages(command: Command, width: number): string[] {
  let page = '';
  command.configureOutput({ getOutHelpWidth: () => width, writeOut: (text) => void (page += text) });
  command.outputHelp();
  return [page, ...command.commands.flatMap((child) => pages(child, width))];
}

test.each([60, 80, 160])('each line of each page fits %i columns', (width) => {
  const lines = pages(createProgram(), width).flatMap((page) => page.split('\n'));
  expect(lines.length).toBeGreaterThan(400);
  expect(lines.filter((line) => line.length > width)).toEqual([]);
});

test('a group of commands has one heading', () => {
  const [page = ''] = pages(createProgram(), 80);
  const headings = [...page.matchAll(/^([A-Z][a-z ]+):$/gm)].map(([, heading]) => heading);
  expect(headings).toEqual(['Options', 'Set up', 'Run', 'Try', 'Mend', 'Examples']);
});
