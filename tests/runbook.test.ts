import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createProgram } from '../src/cli/program.ts';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const page = read('docs/runbook.md');
const sections = page.split(/^## /m).slice(1);
/** Of the slot and of what holds it, with the ends that the statements of the view put behind them. */
const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  slot_: ['missing', 'lost', 'unreserved', 'other_database'],
  held_by_: ['standby', 'transaction', 'prepared_transaction', 'lane', 'slot'],
};

function alertNames(): string[] {
  const view = [...read('sql/views/04_alerts.sql').matchAll(/^ {2}SELECT '(\w+)',|^\s*SELECT '(\w+_)' \|\|/gm)];
  const own = [...read('src/relay/status/alerts.ts').matchAll(/name: '(\w+)'/g)];
  const names = [...view, ...own].map(([, whole, beginning]) => whole ?? beginning ?? '');
  return names.flatMap((name) => VARIANTS[name]?.map((end) => name + end) ?? [name]);
}

test('each alert has a section of the runbook', () => {
  const names = alertNames();
  expect(names.length).toBeGreaterThan(20);
  const named = sections.flatMap((section) => [...(/^Also: (.+)$/m.exec(section)?.[1] ?? '').matchAll(/`(\w+)`/g)]);
  const told = named.map(([, name]) => name);
  expect(names.filter((name) => !told.includes(name))).toEqual([]);
  expect(told.filter((name) => name !== undefined && !names.includes(name))).toEqual([]);
});

test('each section says what is seen, what it means, what to do and when it is over', () => {
  const parts = ['You see', 'It means', 'Do', 'It is over when'];
  const missing = sections.flatMap((section) =>
    parts
      .filter((part) => !new RegExp(`^- \\*\\*${part}:\\*\\* \\S`, 'm').test(section))
      .map((part) => [section.split('\n')[0], part]),
  );
  expect(missing).toEqual([]);
});

/** Nothing is run: the words are matched with the commands and options of the program. */
function faultOf(line: string): string | undefined {
  let command = createProgram();
  const words = line.split(' ').slice(1);
  for (let next = childOf(command, words[0]); next; next = childOf(command, words[0])) {
    command = next;
    words.shift();
  }
  if (command.commands.length > 0) return `${line}: no such command`;
  const { operands, unknown } = command.parseOptions(words);
  const needed = command.registeredArguments.filter(({ required }) => required).length;
  const isWhole = unknown.length === 0 && operands.length >= needed;
  return isWhole && operands.length <= command.registeredArguments.length ? undefined : `${line}: not understood`;
}

function childOf(command: ReturnType<typeof createProgram>, name = ''): ReturnType<typeof createProgram> | undefined {
  return command.commands.find((child) => child.name() === name);
}

test('each command of the runbook is one of the program', () => {
  const commands = [...page.matchAll(/`(walpost [a-z][^`]*)`/g)].map(([, line]) => line ?? '');
  expect(commands.length).toBeGreaterThan(30);
  expect([...new Set(commands)].map(faultOf).filter((fault) => fault !== undefined)).toEqual([]);
  expect(
    ['walpost parked retry --sinks crm', 'walpost dead-letter list', 'walpost dead-letters show'].map(faultOf),
  ).not.toContain(undefined);
});
