/** The rules about leaders and standbys, over two processes that run and a Prometheus that scrapes both. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { DEPLOY } from '../support/compose-services.ts';
import { createTestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { noPrometheus, Prometheus } from './prometheus.ts';

vi.setConfig({ testTimeout: 120_000 });

const RULES = readFileSync(join(DEPLOY, 'prometheus/rules.yaml'), 'utf8');
const { groups } = parse(RULES) as { groups: { rules: { alert: string; expr: string }[] }[] };
const NAMES = ['WalpostNoLeader', 'WalpostTwoLeaders', 'WalpostNoStandby'];
const rules = groups.flatMap((group) => group.rules).filter(({ alert }) => NAMES.includes(alert));

test.skipIf(noPrometheus)(
  'one leads and one stands by; killed, the other leads alone; stopped, nobody does',
  async () => {
    await using database = await createTestDatabase();
    const sinks = { out: { type: 'discard' } };
    await using first = await RunningWalpost.start({ database, sinks });
    await using second = new RunningWalpost({ database, sinks });
    await second.cli.prints(/standing by/);
    await using prometheus = await Prometheus.start(new URL(first.url).host, new URL(second.url).host);
    const value = async (expression: string): Promise<readonly string[]> =>
      (await prometheus.range(expression, 0)).flatMap(({ values }) => values.map(([, number]) => number));
    /** Rules whose expression holds now, however long it has to hold. */
    const holding = async (): Promise<string[]> => {
      const found = await Promise.all(
        rules.map(async ({ alert, expr }) => ((await value(expr)).length > 0 ? alert : '')),
      );
      return found.filter((alert) => alert !== '');
    };
    const sees = (expression: string, number: string): Promise<unknown> =>
      poll(
        `${expression} is ${number}`,
        async () => ((await value(expression)).includes(number) ? true : undefined),
        30_000,
      );
    expect(rules).toHaveLength(NAMES.length);

    await sees('count(walpost_role{role="leader"} == 1) + count(walpost_role{role="standby"} == 1)', '2');
    await sees('min(walpost_standbys)', '1');
    expect(await holding()).toEqual([]);

    await first.stop('SIGKILL');
    await second.cli.prints(/"msg":"streaming from/);
    await sees('sum(up)', '1');
    await sees('max(walpost_leader)', '1');
    await sees('max(walpost_standbys)', '0');
    expect(await holding()).toEqual(['WalpostNoStandby']);

    await second.stop();
    await sees('sum(up)', '0');
    expect(await holding()).toEqual(['WalpostNoLeader']);
  },
);
