import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { DEPLOY } from '../support/compose-services.ts';
import { unknownNames } from './metric-names.ts';
import { noPromtool, promtool } from './promtool.ts';

const RULES = join(DEPLOY, 'prometheus/rules.yaml');
const TESTS = join(import.meta.dirname, 'rules');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook_url: string };
}

const { groups } = parse(readFileSync(RULES, 'utf8')) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);

test.skipIf(noPromtool)('promtool accepts the rules', () => {
  const { code, output } = promtool(['check', 'rules', '--lint-fatal', RULES]);
  expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining(`${rules.length} rules found`) });
});

test('each alert has a test of its own, and no other test is there', () => {
  const fileOf = (alert: string): string =>
    `${alert.replace(/(?!^)([A-Z])/g, (letter) => `-${letter.toLowerCase()}`).toLowerCase()}.yaml`;
  expect(readdirSync(TESTS).toSorted()).toEqual(rules.map(({ alert }) => fileOf(alert)).toSorted());
});

describe.skipIf(noPromtool)('fires, resolves, and does not fire below its threshold', () => {
  test.each(readdirSync(TESTS))('%s', (file) => {
    const { code, output } = promtool(['test', 'rules', join(TESTS, file)]);
    expect({ code, output }).toMatchObject({ code: 0 });
  });
});

test.each(rules)('$alert has a severity, a sentence and a section of the runbook', ({ alert, labels, annotations }) => {
  expect(['warning', 'critical']).toContain(labels.severity);
  expect(annotations.summary).toMatch(/^[A-Z{].*\.$/);
  expect(annotations.runbook_url).toBe(`docs/runbook.md#${alert.toLowerCase()}`);
});

test('every metric of the rules is served, with the labels that are asked for', async () => {
  expect(await unknownNames(rules.map(({ expr }) => expr))).toEqual([]);
});

test('a metric or a label that is not served is found', async () => {
  expect(await unknownNames(['walpost_gone_total > 0', 'walpost_leader{sink="a"} == 1'])).toEqual([
    'walpost_gone_total',
    'walpost_leader{sink}',
  ]);
});

test('docs/monitoring.md names every alert, and the table of the job outbox no other', () => {
  const page = readFileSync(join(DEPLOY, '../docs/monitoring.md'), 'utf8');
  const named = new Set([...page.matchAll(/`(Walpost[A-Za-z]+)`/g)].map(([, name]) => name ?? ''));
  expect([...named].toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted());
});
