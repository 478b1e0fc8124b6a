import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Alert } from '../../src/observe/status-report.ts';
import { AlertLooks } from '../../src/relay/alerts/alert-looks.ts';
import { runbookSection } from '../../src/relay/alerts/runbook-section.ts';
import { MOST_ALERTS, type ToldAlert } from '../../src/relay/alerts/told-alerts.ts';

const alertOf = (name: string, severity: Alert['severity'] = 'warning'): Alert => ({
  name,
  severity,
  subject: 's',
  message: 'm',
  remedy: 'r',
});
const rowOf = (alert: Alert, endedAt: string | null = null): ToldAlert => ({
  ...alert,
  id: alert.name,
  since: '1',
  toldAt: null,
  endedAt,
});
const NOTHING = { begun: [], ended: [], dropped: [] };
const a = alertOf('a');

test('what is new begins, what is known says nothing, and a higher severity is new', () => {
  const looks = new AlertLooks();
  expect(looks.look([], [a])).toEqual({ ...NOTHING, begun: [a] });
  expect(looks.look([rowOf(a)], [a])).toEqual(NOTHING);
  const worse = alertOf('a', 'critical');
  expect(looks.look([rowOf(a)], [worse]).begun).toEqual([worse]);
});

test('it has ended when three looks in a row have not found it', () => {
  const looks = new AlertLooks();
  const row = rowOf(a);
  const ended = [[], [], [a], [], [], []].map((found) => looks.look([row], found).ended.length);
  expect(ended).toEqual([0, 0, 0, 0, 0, 1]);
});

test('what has ended begins again only when the receiver knows of its end', () => {
  const looks = new AlertLooks();
  expect(looks.look([rowOf(a, '2')], [a])).toEqual(NOTHING);
  expect(looks.look([], [a]).begun).toEqual([a]);
});

test('the rows are bounded: of what has ended the oldest make room, what holds stays', () => {
  const many = Array.from({ length: MOST_ALERTS }, (_, index) => alertOf(`n${index}`));
  const old = many.map((alert, index) => rowOf(alert, index < 5 ? String(index) : null));
  const changes = new AlertLooks().look(old, [...many.slice(5), a, alertOf('b')]);
  expect(changes).toEqual({ begun: [a, alertOf('b')], ended: [], dropped: old.slice(0, 2) });
  const full = many.map((alert) => rowOf(alert));
  expect(new AlertLooks().look(full, [...many, a])).toEqual(NOTHING);
});

test('every alert that the runbook names has its section there, and no other', () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/runbook.md'), 'utf8');
  const named = [...text.matchAll(/^## (.+)\n\nAlso: (.+)\.$/gm)].flatMap(([, heading = '', names = '']) => {
    const anchor = heading.toLowerCase().replaceAll(' ', '-');
    return [...names.matchAll(/`(\w+)`/g)].map(([, name = '']) => [name, `docs/runbook.md#${anchor}`]);
  });
  expect(named.length).toBeGreaterThan(20);
  expect(named.map(([name = '']) => [name, runbookSection(name)])).toEqual(named);
  expect(runbookSection('of_a_newer_release')).toBe('docs/runbook.md');
});
