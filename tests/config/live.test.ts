import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { crossCheck } from '../../src/config/cross-checks.ts';
import { startProblems } from '../../src/config/start-checks.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
const sound = rsa.publicKey.export({ type: 'spki', format: 'pem' });

/** What is said of a configuration with this section and one sink of type live. */
function problemsOf(live: object, more: object = {}): string[] {
  const config = { sinks: { browsers: { type: 'live' } }, live, ...more };
  return [...crossCheck(config), ...startProblems(config)].map(({ path, message }) => `${path.join('.')} ${message}`);
}

test.each<[string, object, string]>([
  ['no key', {}, 'sinks.browsers.type needs live.secret, live.public_key or live.jwks'],
  ['a public key as secret', { secret: sound }, 'live.secret is a key in PEM'],
  [
    'a private key',
    { public_key: rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }) },
    'live.public_key is a private key',
  ],
  [
    'a key that is too short',
    { public_key: small.publicKey.export({ type: 'spki', format: 'pem' }) },
    'live.public_key is of a kind',
  ],
  ['a file that is not there', { public_key: './not-there.pem' }, 'live.public_key cannot be read (ENOENT)'],
  ['a private address', { jwks: 'https://10.0.0.1/jwks' }, 'live.jwks is a private address'],
  ['a key set with a password', { jwks: 'https://me:s3cret@example.com/jwks' }, 'live.jwks holds a user or a password'],
  ['a key set without TLS', { jwks: 'http://example.com/jwks' }, 'live.jwks must begin with https://'],
])('%s is refused', (_name, live, expected) => {
  const problems = problemsOf(live);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(expected);
});

test('a password in the URL of a key set is not quoted', () => {
  const jwks = 'http://me:s3cret@127.0.0.1/jwks';
  const problems = [...startProblems({ live: { jwks, allow_private: true } })];
  expect(problems).toMatchObject([{ message: expect.stringContaining('a key set is public') }]);
  expect(JSON.stringify(problems)).not.toContain('s3cret');
});

test('a public key, a key set of this machine when that is allowed, and what no sink asks for', () => {
  expect(problemsOf({ public_key: sound, jwks: 'http://127.0.0.1:9/jwks', allow_private: true })).toEqual([]);
  expect(problemsOf({}, { sinks: {} })).toEqual([]);
});

test('a second sink of the type, and the port of the operators, are refused', () => {
  const sinks = { one: { type: 'live' }, two: { type: 'live' } };
  expect(problemsOf({ public_key: sound }, { sinks })).toEqual([
    'sinks.two.type is live as that of one; there can be one',
  ]);
  expect(problemsOf({ public_key: sound, port: 9464 }, { http: { port: 9464 } })).toEqual([
    'live.port is the port of http.port; the two are never one listener',
  ]);
});
