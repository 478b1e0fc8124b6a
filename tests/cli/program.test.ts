import { chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigFile, LEAST } from '../support/config-file.ts';
import { Cli, walpost } from '../support/walpost-cli.ts';

const NO_ESCAPES = /^[^\x1b]*$/;

describe('help', () => {
  test('names every command in its group, fits 80 columns and ends with examples', async () => {
    const { code, stdout, stderr } = await walpost(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /Set up:\n {2}demo .*\n(?:.*\n)* {2}config .*\n(?:.*\n)* {2}migrate .*\n(?:.*\n)*Run:\n {2}run .*\n(?:.*\n)* {2}status /,
    );
    expect(stdout).toMatch(/Examples:\n(?: {2}walpost .*\n)+\nExit codes: 0 done, 1 failed, 2 /);
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(stdout).toMatch(NO_ESCAPES);
  });

  test('the version is the package’s', async () => {
    expect(await walpost(['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });
});

describe('a command line that is not understood exits 2 and says why in three lines', () => {
  test.each([
    [['statsu'], "Unknown command 'statsu' (Did you mean status?)", 'walpost --help'],
    [['run', '--confg', 'x'], "Unknown option '--confg' (Did you mean --config?)", 'walpost run --help'],
    [['run', 'now'], "Too many arguments for 'run'. Expected 0 arguments but got 1.", 'walpost run --help'],
    [['run', '--config'], "Option '-c, --config <file>' argument missing.", 'walpost run --help'],
    [
      ['run', '--set', 'x'],
      '--set must be followed by option=value, such as batching.window=100ms.',
      'walpost run --help',
    ],
    [['parked', 'lst'], "Unknown command 'lst' (Did you mean list?)", 'walpost parked --help'],
  ])('%j', async (argv, what, help) => {
    expect(await walpost(argv)).toEqual({
      code: 2,
      stdout: '',
      stderr: `USAGE\n  The command line is not understood. ${what}\n  See \`${help}\`.\n`,
    });
  });

  test('a command is missing', async () => {
    const { code, stderr } = await walpost([]);
    expect(code).toBe(2);
    expect(stderr).toContain('Usage: walpost');
    expect(stderr).toMatch(/A command is missing\.\n {2}See `walpost --help`\.\n$/);
  });
});

describe('config check', () => {
  const EIGHT = `database: { url: \${NOT_SET}, pool_sise: 2 }
batching:
  window: 0ms
  max_events: 20
  max_events: 20
sinks:
  n8n: { type: webhok }
routes:
  - { to: [n8m] }
http: { port: http }
log:
  level: loud
`;
  const LINES = [
    'walpost.yaml:1:18 database.url: needs the environment variable NOT_SET, which is not set',
    'walpost.yaml:1:30 database.pool_sise: is not an option; did you mean pool_size?',
    'walpost.yaml:3:11 batching.window: must be at least 1ms (got "0ms")',
    'walpost.yaml:5:3 batching.max_events: is given twice, first in line 4',
    expect.stringMatching(
      /^walpost\.yaml:7:16 sinks\.n8n\.type: must be one of .*; did you mean webhook\? \(got "webhok"\)$/,
    ),
    'walpost.yaml:9:12 routes[0].to[0]: names no sink; did you mean n8n? (got "n8m")',
    'walpost.yaml:10:15 http.port: must be a number (got "http")',
    'walpost.yaml:12:10 log.level: must be one of debug, info, warn, error, silent (got "loud")',
  ];

  test('prints each of eight problems on a line of its own, and nothing else, and exits 2', async () => {
    using file = new ConfigFile(EIGHT);
    const { code, stdout, stderr } = await walpost(['config', 'check'], { cwd: file.directory });
    expect({ code, stdout, lines: stderr.split('\n') }).toEqual({ code: 2, stdout: '', lines: [...LINES, ''] });
  });

  test('run refuses the same configuration with the same lines', async () => {
    using file = new ConfigFile(EIGHT);
    const { code, stdout, stderr } = await walpost(['run'], { cwd: file.directory });
    const [first, ...rest] = stderr.split('\n');
    expect({ code, stdout, first }).toEqual({ code: 2, stdout: '', first: 'CONFIG_INVALID' });
    expect(rest.slice(0, 8).map((line) => line.slice(2))).toEqual(LINES);
    expect(rest.slice(8)).toEqual([
      '  Correct each line named above; `walpost config schema` prints what is allowed.',
      '',
    ]);
  });

  test('says that a good one is good', async () => {
    using file = new ConfigFile(LEAST);
    expect(await walpost(['config', 'check'], { cwd: file.directory })).toEqual({
      code: 0,
      stdout: 'walpost.yaml is valid: 1 sink, 1 route.\n',
      stderr: '',
    });
  });

  test('finds the file by flag, then by WALPOST_CONFIG, then here', async () => {
    using file = new ConfigFile(LEAST);
    const other = join(file.directory, 'other.yaml');
    writeFileSync(other, `${LEAST}x: 1\n`);
    const env = { WALPOST_CONFIG: other };
    const [byVariable, byFlag, missing] = await Promise.all([
      walpost(['config', 'check'], { cwd: file.directory, env }),
      walpost(['config', 'check', '-c', file.path], { env }),
      walpost(['config', 'check', '-c', 'none.yaml'], { cwd: file.directory }),
    ]);
    expect(byVariable.stderr).toContain('x: is not an option');
    expect(byFlag.code).toBe(0);
    expect(missing).toMatchObject({ code: 2, stdout: '' });
    expect(missing.stderr).toMatch(
      /^none\.yaml: there is no such file\nName another file with -c or WALPOST_CONFIG, or /,
    );
  });

  test('a missing file is answered with one that is valid', async () => {
    using place = new ConfigFile(LEAST);
    const named = await walpost(['run', '-c', 'none.yaml'], { cwd: place.directory });
    expect(named).toMatchObject({ code: 2, stdout: '' });
    const [, text = ''] = /write this into none\.yaml, .*?: (\{.*\})$/m.exec(named.stderr) ?? [];
    writeFileSync(join(place.directory, 'none.yaml'), text);
    const env = { DATABASE_URL: 'postgres://localhost/app' };
    const check = await walpost(['config', 'check', '-c', 'none.yaml'], { cwd: place.directory, env });
    expect(check).toEqual({ code: 0, stdout: 'none.yaml is valid: 1 sink, 1 route.\n', stderr: '' });
  });

  test('.env of the working directory fills in what the environment does not have', async () => {
    using file = new ConfigFile(LEAST.replace('postgres://localhost/app', '${URL_OF_TEST}'));
    const print = async (env: Record<string, string> = {}): Promise<Record<string, unknown>> => {
      const { stdout, stderr } = await walpost(['config', 'print', '--json'], { cwd: file.directory, env });
      return stdout === '' ? { stderr } : (JSON.parse(stdout) as Record<string, unknown>);
    };
    expect((await print())['stderr']).toContain('needs the environment variable URL_OF_TEST, which is not set');
    const lines = ['# for first steps', 'URL_OF_TEST="postgres://localhost/app"', 'WALPOST__BATCHING__WINDOW=2s'];
    writeFileSync(join(file.directory, '.env'), lines.join('\n'));
    const source = 'WALPOST__BATCHING__WINDOW';
    expect((await print())['batching.window']).toEqual({ value: '2s', source });
    expect((await print({ [source]: '3s' }))['batching.window']).toEqual({ value: '3s', source });
  });

  test.skipIf(process.getuid?.() !== 0)(
    '.env that this user may not read is warned of, and stops nothing',
    async () => {
      using file = new ConfigFile(
        LEAST.replace('postgres://localhost/app', '${URL_OF_TEST:-postgres://localhost:1/app}'),
      );
      writeFileSync(join(file.directory, '.env'), 'URL_OF_TEST=postgres://localhost/app\n', { mode: 0o600 });
      chownSync(join(file.directory, '.env'), 65_534, 65_534); // another user's, which root reads by a capability
      const as = { cwd: file.directory, withoutCapabilities: true };
      const warning = /\.env: cannot be read \(EACCES\), so only the environment counts; /;
      const check = await walpost(['config', 'check'], as);
      expect(check).toMatchObject({ code: 0, stdout: 'walpost.yaml is valid: 1 sink, 1 route.\n' });
      expect(check.stderr).toMatch(new RegExp(`^warning: ${warning.source}`));
      const print = await walpost(['config', 'print', '--json'], as);
      expect(print).toMatchObject({ code: 0, stderr: '' });
      await using cli = new Cli(['run'], { ...as, env: { WALPOST__HTTP__ENABLED: 'false' } });
      await cli.prints(/SERVER_UNREACHABLE/);
      const lines = cli.stderr.split('\n').filter((line) => line.startsWith('{'));
      expect(JSON.parse(lines[0] ?? '')).toMatchObject({
        level: 'warn',
        msg: expect.stringMatching(warning) as string,
      });
    },
  );

  test('a sink that no route names is valid, and is warned of with its place', async () => {
    using file = new ConfigFile(
      LEAST.replace('log: { type: stdout }', 'log: { type: stdout }, live: { type: stdout }'),
    );
    const { code, stdout, stderr } = await walpost(['config', 'check'], { cwd: file.directory });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'walpost.yaml is valid: 2 sinks, 1 route.\n' });
    expect(stderr).toMatch(
      /^warning: walpost\.yaml:2:33 sinks\.live: no route names it, so no event goes there: add live /,
    );
  });
});

test('config print masks secrets and names sources; config schema is JSON', async () => {
  using file = new ConfigFile(LEAST);
  const env = { WALPOST__HTTP__TOKEN: 'hunter2hunter2hunter2' };
  const flags = ['--set', 'batching.window=1s', '--set', 'batching.max_events=7'];
  const [yaml, json, schema] = await Promise.all([
    walpost(['config', 'print', ...flags], { cwd: file.directory, env }),
    walpost(['config', 'print', '--json', ...flags], { cwd: file.directory, env }),
    walpost(['config', 'schema']),
  ]);
  expect(yaml.code).toBe(0);
  expect(yaml.stdout + json.stdout).not.toContain('hunter2');
  expect(yaml.stdout).toMatch(/^ {2}max_events: 7 +# --set$/m);
  expect(JSON.parse(json.stdout)).toMatchObject({
    'database.url': { value: '(a secret)', source: 'walpost.yaml:1:18' },
    'batching.window': { value: '1s', source: '--set' },
    'http.token': { value: '(a secret)', source: 'WALPOST__HTTP__TOKEN' },
    'http.port': { value: 9464, source: 'default' },
  });
  expect(JSON.parse(schema.stdout)).toMatchObject({ title: 'walpost.yaml', type: 'object' });
});

test('a stack is shown only at debug, and colors only when they are wanted', async () => {
  const argv = ['status', '-c', 'none.yaml'];
  const [plain, debug, colored, refused] = await Promise.all([
    walpost(argv),
    walpost(argv, { env: { WALPOST__LOG__LEVEL: 'debug' } }),
    walpost(argv, { env: { FORCE_COLOR: '1' } }),
    walpost(argv, { env: { FORCE_COLOR: '1', NO_COLOR: '1' } }),
  ]);
  expect(plain.stderr.split('\n')).toHaveLength(4);
  expect(plain.stderr).toMatch(NO_ESCAPES);
  expect(debug.stderr).toMatch(/\n {4}at /);
  expect(colored.stderr).toContain('\x1b[31mCONFIG_INVALID');
  expect(refused.stderr).toMatch(NO_ESCAPES);
});

test('a reader that goes away early is no failure', async () => {
  await using cli = new Cli(['config', 'schema']);
  cli.child.stdout?.destroy();
  expect(await cli.result()).toMatchObject({ code: 0, stderr: '' });
});
