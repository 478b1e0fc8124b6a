/** `config check` finds everything in a file that makes `run` stop, and both say the same. */
import { expect, test } from 'vitest';
import { ConfigFile, problemsOf } from '../support/config-file.ts';
import { walpost } from '../support/walpost-cli.ts';

const LINES = {
  database: 'database: { url: "postgres://walpost@127.0.0.1:1/app" }',
  sinks: 'sinks: { log: { type: stdout } }',
  routes: 'routes: [{ to: [log] }]',
};

/** The least file that is valid, with these lines in place of its own or behind them. */
const file = (lines: Readonly<Record<string, string>>): string => Object.values({ ...LINES, ...lines }).join('\n');
const sinks = (text: string): string => file({ sinks: `sinks:\n  log: ${text}` });
const hook = (options: string): string => sinks(`{ type: webhook, url: "https://example.com/hook", ${options} }`);
const live = (options: string): string => sinks(`{ type: realtime, url: "https://example.com", ${options} }`);
const at = (url: string, type = 'webhook', rest = ''): string => sinks(`{ type: ${type}, url: "${url}"${rest} }`);
const source = (text: string): string => file({ source: `source: { ${text} }` });

const BAD: Readonly<Record<string, string>> = {
  'a secret that is empty': hook('secret: ""'),
  'a secret without a value': hook('secret:'),
  'a secret of blanks': hook('secret: "  "'),
  'a secret from an empty variable': hook('secret: "${EMPTY}"'),
  'a secret from an empty default': hook('secret: "${NOBODY:-}"'),
  'a secret with v1': hook('secret: "v1,whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"'),
  'a secret in base64 without its prefix': hook('secret: "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"'),
  'a secret in padded base64 without its prefix': hook('secret: "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ+w=="'),
  'a plain secret before one with a prefix': hook('secret: "plain whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"'),
  'a plain secret behind one with a prefix': hook('secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3 plain"'),
  'a prefix alone': hook('secret: whsec_'),
  'a key of one byte': hook('secret: whsec_YQ=='),
  'a key that is not base64': hook('secret: "whsec_not!base64"'),
  'a header that walpost sets': hook('headers: { Webhook-Id: x }'),
  'a header with a line break': hook('headers: { x-a: "b\\r\\nc: d" }'),
  'a header with a bad name': hook('headers: { "x a": b }'),
  'a header that is empty': hook('headers: { authorization: "${EMPTY}" }'),
  'a header with a character beyond Latin-1': hook('headers: { x-team: "✓" }'),
  'a bare % in the password of a URL': at('https://me:50%@example.com/hook'),
  'a bare % in the user of a URL': at('https://m%e@example.com/hook'),
  'a %-code that is not UTF-8 in a password': at('https://me:%ff@example.com/hook'),
  'a private address': at('http://127.0.0.1/hook'),
  'a private address in another spelling': at('http://0x7f.1/hook'),
  localhost: at('http://localhost:8080/hook'),
  'a private address for Realtime': at('http://127.0.0.1:4000', 'realtime', ', key: k'),
  'a bare % in the password of a project': at('https://me:50%@example.com', 'realtime', ', key: k'),
  'a URL of another kind': at('ftp://example.com/hook'),
  'no URL': at('example.com'),
  'an empty key': live('key: ""'),
  'a key from an empty variable': live('key: "${EMPTY}"'),
  'a key with a line break inside': live('key: "one\\ntwo"'),
  'a key with a blank inside': live('key: "one two"'),
  'a key that is not ASCII': live('key: "schlüssel"'),
  'a field that a channel cannot name': live('key: k, channel: "org_{tenant}"'),
  'a field that an event cannot name': live('key: k, event: "{entity_id}"'),
  'an option of another type': sinks('{ type: stdout, url: "https://example.com" }'),
  'a column for no field': source('columns: { tenant: company_id }'),
  'a field that must have a column': source('columns: { payload: ~ }'),
  'a preset without the organization': source('preset: debezium'),
  'a table without a schema': source('table: outbox'),
  'a table with three parts': source('table: a.b.c'),
  'a table with an open quote': source(`table: 'app."outbox'`),
  'a slot with a capital': source('slot: Walpost'),
  'a slot to take over and none to use': source('takes_over: old'),
  'a row filter that wal2json cannot apply': source('row_filter: expected, plugin: wal2json'),
  'a route to nowhere': file({ routes: 'routes: [{ to: [lgo] }]' }),
  'no route': file({ routes: 'routes: []' }),
  'an unknown option': file({ batching: 'batching: { windwo: 1s }' }),
  'a duration without a unit': file({ batching: 'batching: { window: 250 }' }),
  'an open address without a token': file({ http: 'http: { host: 0.0.0.0 }' }),
  'a token from an empty variable, and an open address': file({ http: 'http: { host: "::", token: "${EMPTY}" }' }),
  'a connection string with a bare %': file({ database: 'database: { url: "postgres://a:50%@127.0.0.1:1/app" }' }),
  'a connection string of another kind': file({ database: 'database: { url: "mysql://127.0.0.1/app" }' }),
  'a name that is still there': file({ sinks: 'sinks: { log: { type: stdout, formerly: log } }' }),
  'what is not YAML': file({ log: 'log: { level: "info }' }),
};

const EMPTY = { EMPTY: '' };
const POSITION = /^[\w.]+:\d+:\d+ ?/;

test('there are more than fifty', () => {
  expect(Object.keys(BAD).length).toBeGreaterThan(50);
});

test.each(Object.entries(BAD))('%s is a problem with line and column', (_name, text) => {
  const problems = problemsOf(text, { env: EMPTY });
  expect(problems).not.toEqual([]);
  for (const problem of problems) expect(problem).toMatch(POSITION);
});

/** Those that are about one sink, as the sinks of one file. */
function allSinksInOne(): string {
  const options = Object.values(BAD).flatMap(
    (text) => /^sinks:\n {2}log: (\{ type: \w+, url.*)$/m.exec(text)?.[1] ?? [],
  );
  expect(options.length).toBeGreaterThan(25);
  const together = options.map((text, index) => `\n  sink_${index}: ${text}`).join('');
  return file({ sinks: `sinks:\n  log: { type: stdout }${together}` });
}

const TOGETHER: Readonly<Record<string, () => string>> = {
  'all bad sinks at once': allSinksInOne,
  'a bad source': () => source('columns: { tenant: company_id, payload: ~ }, table: outbox'),
  'what is not YAML': () => BAD['what is not YAML'] ?? '',
};

test.each(Object.entries(TOGETHER))('config check and run say the same of %s', async (_name, text) => {
  using written = new ConfigFile(text());
  const given = { cwd: written.directory, env: EMPTY };
  const [checked, ran] = await Promise.all([
    walpost(['config', 'check', '-c', 'walpost.yaml'], given),
    walpost(['run', '-c', 'walpost.yaml'], given),
  ]);
  const problems = problemsIn(checked.stderr);
  // A terminal shows no credentials, wherever they stand.
  const told = problemsOf(text(), { env: EMPTY }).map((problem) => problem.replace('me:50%@', '(not shown)@'));
  expect(problems).toEqual(told);
  expect(problemsIn(ran.stderr)).toEqual(problems);
  expect([checked.code, ran.code]).toEqual([2, 2]);
});

/** The lines that name a position in the file. */
function problemsIn(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => POSITION.test(line));
}
