/** What cannot be meant is refused before anything is done, with what could be meant. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pastMoment, rateOf } from '../../src/cli/flag-values.ts';
import { refuseBrokenNames, refuseUnknownNames } from '../../src/cli/known-names.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { ConfigFile, configOf, LEAST, problemsOf } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { walpost } from '../support/walpost-cli.ts';

const NOW = Date.UTC(2026, 10, 20, 14);

describe('times and rates', () => {
  test.each(['3d', '2026-11-20T14:00:30Z', '2000-01-01T00:00:00Z', '2026-11-20 15:00:00+01:00'])(
    '%s is taken',
    (text) => {
      expect(pastMoment(text, { flag: '--since', now: NOW }).getTime()).toBeLessThanOrEqual(NOW + 60_000);
    },
  );
  test.each([
    ['99999999999d', 'takes a time from 2000-01-01T00:00:00Z to now, which is 2026-11-20T14:00:00.000Z'],
    ['1999-12-31T00:00:00Z', 'takes a time from 2000-01-01T00:00:00Z'],
    ['2026-11-21T00:00:00Z', 'to now, which is'],
    ['2026-02-30T00:00:00Z', 'takes a time like'],
    ['2026-11-20T25:00:00Z', 'takes a time like'],
  ])('%s is not', (text, why) => {
    expect(() => pastMoment(text, { flag: '--since', now: NOW })).toThrow(why);
  });
  test('rates', () => {
    expect(['0.02', '1', '1000000'].map(rateOf)).toEqual([0.02, 1, 1_000_000]);
    for (const text of ['0', '0.0001', '1e9', 'Infinity', '-1', '0x10', ' 1']) {
      expect(() => rateOf(text)).toThrow('--rate takes events a second, from 0.001 to 1000000');
    }
  });
  test('durations of the configuration', () => {
    const config = `${LEAST}prune: { retention: 99999d }\ndelivery: { timeout: 25h, unavailable_for: 3650d }\n`;
    expect(problemsOf(config)).toEqual([
      'walpost.yaml:4:21 prune.retention: must be at most 3650d (got "99999d")',
      'walpost.yaml:5:22 delivery.timeout: must be at most 1d (got "25h")',
    ]);
  });
});

describe('with a database', () => {
  let database: TestDatabase;
  let file: ConfigFile;
  const organizations = ['6f1c0000-0000-4000-8000-000000000001', '6f1c0000-0000-4000-8000-000000000002'];
  beforeAll(async () => {
    database = await createTestDatabase();
    for (const id of organizations) await database.query("SELECT walpost.publish($1, 'a', '{}')", [id]);
    file = new ConfigFile(LEAST.replace('postgres://localhost/app', database.url));
  });
  afterAll(async () => {
    file[Symbol.dispose]();
    await database[Symbol.asyncDispose]();
  });

  test.each([
    [['replay', '--since', '1h', '--organization', ''], '--organization is empty', 'walpost replay --help'],
    [['dead-letters', 'discard', '--sink', ' ', '--yes'], '--sink is empty', 'walpost dead-letters discard --help'],
    [['parked', 'retry', '--id', '1', '--id', ''], '--id is empty', 'walpost parked retry --help'],
    [['run', '-c', ''], '--config is empty', 'walpost run --help'],
  ])('%j is refused', async (argv, why, help) => {
    const { code, stderr } = await walpost(argv, { cwd: file.directory });
    expect({ code, stderr: stderr.split('\n').slice(1) }).toEqual({
      code: 2,
      stderr: [
        `  The command line is not understood. ${why}: give it a value, or leave it out.`,
        `  See \`${help}\`.`,
        '',
      ],
    });
  });

  test('an organization that is not there is refused by what changes something, with those that are', async () => {
    const pool = createPool(database.url, { applicationName: 'test', max: 1 });
    const config = configOf(LEAST);
    const ask = (organization: string) => refuseUnknownNames(pool, config, { organization });
    try {
      await ask(organizations[0] ?? '');
      await expect(ask('6F1C')).rejects.toThrow(
        `No such organization has events here: "6F1C"; 2 begin with it: ${organizations.join(', ')}.`,
      );
      await expect(ask('%')).rejects.toThrow(`"%"; there are 2: ${organizations.join(', ')}.`);
      await expect(ask('6f1c0000-0000-4000-8000-000000000003')).rejects.toMatchObject({ code: 'USAGE' });
      await refuseBrokenNames(pool, config, { organization: '6f1c0000-0000-4000-8000-000000000003', sink: 'log' });
      await expect(refuseBrokenNames(pool, config, { organization: '6f1c' })).rejects.toThrow('2 begin with it');
      await expect(refuseUnknownNames(pool, config, { sink: 'lgo' })).rejects.toThrow('there is log, not "lgo"');
    } finally {
      await pool.end();
    }
  });

  test('the commands ask', async () => {
    const commands = [
      ['parked', 'list'],
      ['parked', 'retry'],
      ['dead-letters', 'list'],
      ['dead-letters', 'discard', '--yes'],
      ['dead-letters', 'redrive', '--dry-run'],
    ];
    const inPlace = { cwd: file.directory };
    for (const command of commands) {
      const { code, stderr } = await walpost([...command, '--organization', '6f1c'], inPlace);
      expect({ command, code }).toEqual({ command, code: 2 });
      expect(stderr).toContain('2 begin with it');
    }
    const empty = await walpost(['parked', 'list', '--organization', organizations[0] ?? ''], inPlace);
    expect(empty).toMatchObject({ code: 0, stdout: 'Nothing is parked.\n' });
  });
});
