import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/config/config-problem.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { ConfigFile, configOf, LEAST, problemsOf } from '../support/config-file.ts';
import { runs } from '../support/fuzz.ts';

test('the least configuration is filled with defaults', () => {
  const config = configOf(LEAST);
  expect(config.batching).toEqual({ window: 250, leading_edge: false, max_events: 100, max_bytes: 256 * 1024 });
  expect(config.delivery.backoff).toEqual([60_000, 120_000, 240_000]);
  expect(config.delivery.unavailable_for).toBe(86_400_000);
  expect(config.memory.budget).toBe(64 * 1024 ** 2);
  expect(config.http).toEqual({ enabled: true, host: '127.0.0.1', port: 9464 });
  expect(config.routes).toEqual([{ match: {}, to: ['log'] }]);
});

test('durations and sizes are read with their units', () => {
  const config = configOf(`${LEAST}batching: { window: 1.5s, max_bytes: 1MiB }\ndelivery: { unavailable_for: 0 }\n`);
  expect(config.batching.window).toBe(1500);
  expect(config.batching.max_bytes).toBe(1024 ** 2);
  expect(config.delivery.unavailable_for).toBe(0);
});

test('all problems come at once, in the order of the file', () => {
  const text = `database: { url: postgres://localhost/app, pool_sise: 2 }
batching:
  max_events: 20
  window: 0ms
  max_events: 20
sinks:
  n8n: { type: webhok }
  B: { type: stdout }
routes:
  - { to: [n8m] }
http: { host: 0.0.0.0, port: 1.5 }
log:
  level: loud
`;
  expect(problemsOf(text)).toEqual([
    'walpost.yaml:1:44 database.pool_sise: is not an option; did you mean pool_size?',
    'walpost.yaml:4:11 batching.window: must be at least 1ms (got "0ms")',
    'walpost.yaml:5:3 batching.max_events: is given twice, first in line 3',
    expect.stringMatching(
      /^walpost\.yaml:7:16 sinks\.n8n\.type: must be one of .*; did you mean webhook\? \(got "webhok"\)$/,
    ),
    'walpost.yaml:8:3 sinks.B: the name must be a-z first, then a-z, 0-9, single _ and -',
    'walpost.yaml:10:12 routes[0].to[0]: names no sink; did you mean n8n? (got "n8m")',
    'walpost.yaml:11:15 http.host: is reachable from other machines, so http.token must be set (or use 127.0.0.1) (got "0.0.0.0")',
    'walpost.yaml:11:30 http.port: must be a whole number (got 1.5)',
    'walpost.yaml:13:10 log.level: must be one of debug, info, warn, error, silent (got "loud")',
  ]);
});

test('what is missing is reported at the nearest map around it', () => {
  expect(problemsOf('')).toEqual([
    'walpost.yaml:1:1 database.url: is missing',
    'walpost.yaml:1:1 routes: is missing',
    'walpost.yaml:1:1 sinks: is missing',
  ]);
  const text = `sinks:\n  a:\n    type: webhook\nroutes: [{ to: [a] }]\ndatabase: { url: postgres://x }\n`;
  expect(problemsOf(text)).toEqual([
    'walpost.yaml:2:3 sinks.a.url: is missing; or endpoints: true, for the URLs of customers',
  ]);
});

test('a section whose keys are all commented out means its defaults', () => {
  expect(configOf(`${LEAST}batching:\n  # window: 1s\nmemory:\n`).batching.window).toBe(250);
});

test('a file that is not there is one problem, and the environment alone can do without', () => {
  const path = join(import.meta.dirname, 'none.yaml');
  expect(() => loadConfig({ path, env: {} })).toThrow(/none\.yaml: there is no such file/);
  const env = {
    WALPOST__DATABASE__URL: 'postgres://123',
    WALPOST__SINKS__LOG__TYPE: 'stdout',
    WALPOST__ROUTES: '[{ to: [log] }]',
  };
  expect(loadConfig({ env }).database.url).toBe('postgres://123');
  expect(() => loadConfig({ env: { ...env, WALPOST_CONFIG: path } })).toThrow(/no such file/);
});

describe('what YAML itself refuses', () => {
  test.each([
    [
      'duplicate keys',
      `${LEAST}memory: { budget: 1MiB, budget: 2MiB }`,
      ['4:25 memory.budget: is given twice, first in line 4'],
    ],
    ['two documents', `${LEAST}---\na: 1`, ['4:1: a second document begins here; there can be only one']],
    ['an unknown alias', `${LEAST}log: *nothing`, ['4:6 log: the alias names no anchor that comes before it']],
    ['an open quote', `${LEAST}log: "x`, ['4:8: a closing character, or the `:` after a key, is missing']],
    ['no map', '- a', ['1:1: must be a map of keys (got a list)']],
  ])('%s', (_name, text, expected) => {
    expect(problemsOf(text)).toEqual(expected.map((line) => `walpost.yaml:${line}`));
  });

  test('tabs, without holding back the other problems', () => {
    expect(problemsOf(`${LEAST}batching:\n\twindow: 0ms\n\tmax_events: 5\n`)).toEqual([
      'walpost.yaml:5:1: indented with a tab; use spaces',
      'walpost.yaml:5:10 batching.window: must be at least 1ms (got "0ms")',
      'walpost.yaml:6:1: indented with a tab; use spaces',
    ]);
  });

  test.each([
    ['an alias inside its own anchor', 'a: &a [*a]'],
    ['nesting', `a: ${'['.repeat(100)}${']'.repeat(100)}`],
  ])('what goes down without end: %s', (_name, text) => {
    expect(problemsOf(text)).toEqual(['walpost.yaml:1:1: holds too many values, or too deep ones']);
  });

  test('aliases of aliases without end', () => {
    const level = (name: string, of: string): string => `${name}: &${name} [${Array(12).fill(of).join(', ')}]\n`;
    const bomb =
      level('a', 'x') + level('b', '*a') + level('c', '*b') + level('d', '*c') + level('e', '*d') + level('f', '*e');
    expect(problemsOf(bomb)).toEqual(['walpost.yaml:1:1: holds too many values, or too deep ones']);
  });
});

describe('variables', () => {
  const text = `database: { url: \${DB}, pool_size: \${POOL:-4} }
sinks: { hook: { type: webhook, url: "\${BASE}/x", secret: \${KEY} } }
routes: [{ to: [hook] }]
`;
  const env = { DB: 'postgres://u:p@h/db', BASE: 'https://x.example', KEY: '0123' };

  test('are filled in, in flow maps too, and typed by their option', () => {
    const config = configOf(text, { env });
    expect(config.database).toEqual({ url: 'postgres://u:p@h/db', pool_size: 4 });
    expect(config.sinks['hook']).toMatchObject({ url: 'https://x.example/x', secret: '0123' });
    expect(configOf(text, { env: { ...env, POOL: '7' } }).database.pool_size).toBe(7);
  });

  test('that are missing are problems, at their place', () => {
    expect(problemsOf(text, { env: { KEY: 'x' } })).toEqual([
      'walpost.yaml:1:18 database.url: needs the environment variable DB, which is not set',
      'walpost.yaml:2:38 sinks.hook.url: needs the environment variable BASE, which is not set',
    ]);
  });

  test('cannot change the structure of the file', () => {
    const secret = 'x }\nhttp: { token: "stolen"';
    expect(configOf(text, { env: { ...env, KEY: secret } }).sinks['hook']).toMatchObject({ secret });
  });

  test('do not move the positions behind them', () => {
    const line = 'http: { host: ${HOST:-127.0.0.1}, port: ${A_RATHER_LONG_NAME:-1}, tokn: x }';
    expect(problemsOf(`${LEAST}${line}\n`)).toEqual([
      `walpost.yaml:4:${line.indexOf('tokn') + 1} http.tokn: is not an option; did you mean token?`,
    ]);
  });

  test('leave an option out when they are empty, or take the default', () => {
    expect(configOf(text, { env: { ...env, POOL: '' } }).database.pool_size).toBe(4);
    expect(configOf(`${LEAST}http: { token: \${T:-} }\n`).http.token).toBeUndefined();
  });

  test('are escaped by a second dollar, and refused when malformed', () => {
    const hook = (url: string): string => text.replace('"${BASE}/x"', () => url);
    expect(configOf(hook('"https://x/$${a}"'), { env }).sinks['hook']).toMatchObject({ url: 'https://x/${a}' });
    expect(problemsOf(hook('"https://x/${a-b}"'), { env })).toEqual([
      'walpost.yaml:2:38 sinks.hook.url: has a ${ that is not ${NAME}, ${NAME:-default} or ${file:/path} (write $${ for the characters themselves)',
    ]);
  });
});

describe('the environment and flags', () => {
  test('flags win over the environment, which wins over the file', () => {
    const text = `${LEAST}batching: { window: 1s, max_events: 1, max_bytes: 1MiB }\n`;
    const env = { WALPOST__BATCHING__WINDOW: '2s', WALPOST__BATCHING__MAX_EVENTS: '2' };
    const config = configOf(text, { env, overrides: { 'batching.window': '3s' } });
    expect(config.batching).toMatchObject({ window: 3000, max_events: 2, max_bytes: 1024 ** 2 });
  });

  test('a value in the environment stands for a variable that is missing', () => {
    const text = LEAST.replace('postgres://localhost/app', '${MISSING}');
    expect(configOf(text, { env: { WALPOST__DATABASE__URL: 'postgres://here' } }).database.url).toBe('postgres://here');
  });

  test('a map in the environment replaces the one in the file, with all that is wrong in it', () => {
    const text = `${LEAST}delivery: { breaker: { failure_rate: \${MISSING}, minimum_organizations: x } }\n`;
    const env = { WALPOST__DELIVERY__BREAKER: '{ failure_rate: 0.2 }', WALPOST__DELIVERY__BREAKER__RESET_AFTER: '1s' };
    expect(configOf(text, { env }).delivery.breaker).toEqual({
      failure_rate: 0.2,
      minimum_organizations: 5,
      reset_after: 1000,
    });
  });

  test('reach sinks with dashes, places in lists, and whole lists', () => {
    const text = `database: { url: postgres://x }\nsinks: { my-hook: { type: webhook, url: 'http://a' } }\nroutes: [{ to: [my-hook] }]\n`;
    const env = {
      WALPOST__SINKS__MY_HOOK__URL: 'http://b',
      WALPOST__ROUTES__0__MATCH__TOPIC: 'orders',
      WALPOST__DELIVERY__BACKOFF: '[1s, 2s]',
      WALPOST__HTTP__TOKEN: '1234567890123456',
    };
    const config = configOf(text, { env });
    expect(config.sinks['my-hook']).toMatchObject({ url: 'http://b' });
    expect(config.routes[0]?.match).toEqual({ topic: 'orders' });
    expect(config.delivery.backoff).toEqual([1000, 2000]);
    expect(config.http.token).toBe('1234567890123456');
  });

  test('problems name the variable or the flag', () => {
    const env = {
      WALPOST__BATCHNG__WINDOW: '1s',
      WALPOST__DELIVERY__TIMEOUT: 'soon',
      WALPOST__SINKS__LOGG__URL: 'http://x',
    };
    expect(problemsOf(LEAST, { env, overrides: { 'http.prot': '1', 'http.port': 'x' } })).toEqual([
      '--set http.port: must be a number (got "x")',
      '--set http.prot: is not an option; did you mean http.port?',
      'WALPOST__BATCHNG__WINDOW: is not an option; did you mean WALPOST__BATCHING__WINDOW?',
      'WALPOST__DELIVERY__TIMEOUT delivery.timeout: must be a duration like 250ms, 2s or 1m (got "soon")',
      expect.stringMatching(/^WALPOST__SINKS__LOGG__URL sinks\.logg\.type: is missing; one of .*; did you mean log\?$/),
    ]);
  });
});

describe('what holds between options', () => {
  test('a name that a sink had before must be free', () => {
    const text = `database: { url: postgres://x }\nroutes: [{ to: [a] }]\nsinks:
  a: { type: stdout, formerly: b }
  b: { type: stdout, formerly: c }
  d: { type: stdout, formerly: c }\n`;
    expect(problemsOf(text)).toEqual([
      'walpost.yaml:4:32 sinks.a.formerly: names a sink that is still there (got "b")',
      'walpost.yaml:6:32 sinks.d.formerly: is claimed by two sinks (got "c")',
    ]);
  });

  test.each([
    ['0.0.0.0', false],
    ['::', false],
    ['192.168.0.1', false],
    ['example.com', false],
    ['127.1.2.3', true],
    ['"::1"', true],
    ['localhost', true],
  ])('an address that others reach needs a token: %s', (host, fine) => {
    const http = (more: string): string => `${LEAST}http: { host: ${host === '::' ? '"::"' : host}${more} }\n`;
    expect(problemsOf(http(''))).toHaveLength(fine ? 0 : 1);
    expect(problemsOf(http(', token: a-token-of-16-chars'))).toEqual([]);
  });
});

describe('secrets', () => {
  const SECRET = 'hunter2hunter2';

  test.each([
    ['a URL of the wrong kind', `sinks: { a: { type: webhook, url: 'ftp://u:${SECRET}@x' } }`],
    ['a header that is no text', `sinks: { a: { type: webhook, url: 'http://x', headers: { x: [${SECRET}] } } }`],
    ['a header that is a number', `sinks: { a: { type: webhook, url: 'http://x', headers: { x: 777777 } } }`],
    ['a variable that is nearly a choice', `log: { level: \${NEAR} }`],
    ['a token that is short', `http: { token: ${SECRET} }`],
    ['text where a sink should be', `sinks: { a: ${SECRET} }`],
    ['text where a section should be', `database: postgres://u:${SECRET}@h/db`],
    ['text where the file should be', SECRET],
    ['a key that is a URL', `http: { 'https://${SECRET}/x': 1 }`],
    ['a wrong key after a secret', `database: { url: ${SECRET}, x: y }`],
    ['broken quotes', `database: { url: "${SECRET}" ${SECRET} }`],
    ['a second colon', `database: url: ${SECRET}`],
    ['a variable where it does not belong', `batching: { window: \${S} }`],
    ['a variable in a list', `delivery: { backoff: [\${S}] }`],
    ['a variable as a type', `sinks: { a: { type: \${S} } }`],
    ['a variable as a route', `sinks: { a: { type: stdout } }\nroutes: [{ to: [\${S}] }]`],
  ])('never show up: %s', (_name, text) => {
    using file = new ConfigFile(text);
    let thrown: unknown;
    try {
      loadConfig({ path: file.path, env: { S: SECRET, NEAR: 'debuk', WALPOST__DATABASE__POOL_SIZE: 'x' } });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ConfigError);
    expect(`${(thrown as ConfigError).message} ${JSON.stringify(thrown)}`).not.toMatch(
      /hunter2|777777|did you mean debug/,
    );
  });
});

test('any text at all gives a configuration or a ConfigError', () => {
  const words = `database:|sinks:|routes:| a:| url: x| type: stdout|\n|  |- |{|}|[|]|\${A}|\${|$\${|&a |*a|!x |"|'|\t|#|? |null|1`;
  const piece = fc.constantFrom(...words.split('|'), '|', '__proto__:', 'constructor:', '\u{e024}');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      try {
        configOf(pieces.join(''), { env: { A: 'a: {' } });
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigError);
      }
    }),
    runs(500),
  );
  expect(({} as Record<string, unknown>)['url']).toBeUndefined();
});

describe('an expression outside the file', () => {
  const HOOK = LEAST.replace('{ type: stdout }', '{ type: webhook, url: https://example.com/, secret: KEY }');
  const message = /: holds \$\{, which is filled in only in the file of the configuration; write the expression there/;

  test.each(['${file:/run/secrets/key}', '${OTHER}', 'whsec_${OTHER:-x}'])('%s is refused', (text) => {
    const variable = problemsOf(HOOK, { env: { WALPOST__SINKS__LOG__SECRET: text } });
    expect(variable).toEqual([expect.stringMatching(message)]);
    expect(variable[0]).toMatch(/^WALPOST__SINKS__LOG__SECRET sinks\.log\.secret: /);
    const flag = problemsOf(HOOK, { overrides: { 'sinks.log.secret': text } });
    expect(flag).toEqual([expect.stringMatching(message)]);
    expect(flag[0]).toMatch(/^--set sinks\.log\.secret: /);
    const map = problemsOf(HOOK, {
      env: { WALPOST__SINKS: `{ log: { type: webhook, url: 'https://example.com/', secret: '${text}' } }` },
    });
    expect(map).toEqual([expect.stringMatching(message)]);
  });

  test('also in .env, where the file takes it; a variable of the process may hold what it wants', () => {
    const text = HOOK.replace('KEY', '${KEY}');
    const env = { KEY: '${file:/run/secrets/key}', UNUSED: '${OTHER}' };
    expect(problemsOf(text, { env, added: new Set(['KEY', 'UNUSED']) })).toEqual([
      expect.stringMatching(/^walpost\.yaml:2:.* sinks\.log\.secret: takes KEY from \.env, which holds \$\{/),
    ]);
    const password = LEAST.replace('localhost', 'app:${KEY}@localhost');
    expect(problemsOf(password, { env: { KEY: '${x' } })).toEqual([]);
  });
});

describe('variables of libpq', () => {
  const VALUE = 'hunter2';

  test.each([
    ['PGSSLMODE', 'is a mode that does not exist; write disable, allow, prefer, require, verify-ca, verify-full'],
    ['PGSSLROOTCERT', 'write sslrootcert=… into database.url'],
    ['PGSSLCERT', 'write sslcert=… into database.url'],
    ['PGSSLNEGOTIATION', 'write sslnegotiation=… into database.url'],
    ['PGSSLMINPROTOCOLVERSION', 'write ssl_min_protocol_version=… into database.url'],
    ['PGCHANNELBINDING', 'write channel_binding=… into database.url'],
    ['PGREQUIREAUTH', 'let pg_hba.conf say how to authenticate'],
    ['PGGSSENCMODE', 'write sslmode=verify-full into database.url'],
  ])('%s that would be passed over is refused', (variable, instead) => {
    const problems = problemsOf(LEAST, { env: { [variable]: VALUE } });
    expect(problems).toEqual([expect.stringContaining(instead)]);
    expect(problems[0]).toMatch(new RegExp(`^${variable}: `));
    expect(problems.join()).not.toContain(VALUE);
  });

  test('not where they are answered, empty, or ask for nothing', () => {
    const url = 'localhost/app?sslmode=verify-full&sslrootcert=/ca.crt&channel_binding=require';
    const env = { PGSSLMODE: VALUE, PGSSLROOTCERT: VALUE, PGCHANNELBINDING: VALUE, PGREQUIREAUTH: '' };
    expect(problemsOf(LEAST.replace('localhost/app', url), { env })).toEqual([]);
    const mild = { PGSSLMODE: 'verify-full', PGGSSENCMODE: 'disable', PGCHANNELBINDING: 'prefer', PGSSLSNI: '1' };
    expect(problemsOf(LEAST, { env: mild })).toEqual([]);
    const socket = LEAST.replace('localhost/app', '/app?host=/tmp');
    expect(problemsOf(socket, { env: { PGSSLMODE: VALUE, PGSSLROOTCERT: VALUE } })).toEqual([]);
  });

  test('in .env they have no effect, so they are refused, unless the file takes them', () => {
    const env = { PGSSLMODE: 'verify-full', PGPASSWORD: VALUE, PGADMIN_PORT: '5050' };
    const added = new Set(Object.keys(env));
    const problems = problemsOf(LEAST, { env, added });
    expect(problems).toEqual([
      expect.stringMatching(/^\.env PGPASSWORD: has no effect here; write it into database\.url/),
      expect.stringMatching(/^\.env PGSSLMODE: has no effect here/),
    ]);
    expect(problems.join()).not.toContain(VALUE);
    const taken = LEAST.replace('localhost/app', 'app:${PGPASSWORD}@localhost/app?sslmode=${PGSSLMODE}');
    expect(problemsOf(taken, { env, added })).toEqual([]);
    expect(problemsOf(LEAST, { env })).toEqual([]);
  });
});
