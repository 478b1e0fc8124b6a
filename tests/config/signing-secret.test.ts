import { describe, expect, test } from 'vitest';
import { signingKeys, signingSecretProblem } from '../../src/signing-secret.ts';
import { configOf, problemsOf } from '../support/config-file.ts';

const KEY = Buffer.from('0123456789abcdef01234567');
const WHSEC = `whsec_${KEY.toString('base64')}`;

describe('what can be meant is read', () => {
  test.each<[string, string, readonly Buffer[]]>([
    ['a line break at its end', `${WHSEC}\n`, [KEY]],
    ['a blank before it', `  ${WHSEC}`, [KEY]],
    ['several lines', `${WHSEC}\r\n${WHSEC}\n`, [KEY, KEY]],
    ['a text with white space around it', '\tcorrect horse\n', [Buffer.from('correct horse')]],
    ['a text of hex', '00112233445566778899aabbccddeeff', [Buffer.from('00112233445566778899aabbccddeeff')]],
    ['a text of small letters', 'correcthorsebatterystaple123', [Buffer.from('correcthorsebatterystaple123')]],
    ['a text of capitals', 'CORRECTHORSEBATTERYSTAPL', [Buffer.from('CORRECTHORSEBATTERYSTAPL')]],
  ])('%s', (_name, secret, keys) => {
    expect(signingSecretProblem(secret)).toBeUndefined();
    expect(signingKeys(secret)).toEqual(keys);
  });
});

test.each([
  [`v1,${WHSEC}`, 'version'],
  [`${WHSEC} v1,${WHSEC}`, 'version'],
  [KEY.toString('base64').slice(0, 28).replace(/.$/, 'Q'), 'write whsec_ before it'],
  [Buffer.alloc(20, 255).toString('base64'), 'write whsec_ before it'],
  [`plain ${WHSEC}`, 'each begins with whsec_'],
  [`${WHSEC} plain text`, 'each begins with whsec_'],
  ['whsec_', 'less than 16 bytes'],
  ['whsec_YQ==', 'less than 16 bytes'],
  [`${WHSEC} whsec_YQ==`, 'less than 16 bytes'],
  ['whsec_not!base64', 'something else than base64'],
])('%j is refused: %s', (secret, problem) => {
  expect(signingSecretProblem(secret)).toContain(problem);
  for (const part of secret.split(/\s+|whsec_/))
    if (part.length > 5) expect(signingSecretProblem(secret)).not.toContain(part);
});

const hook = (options: string): string =>
  `database: { url: postgres://localhost/app }\nroutes: [{ to: [hook] }]\nsinks: { hook: { ${options} } }\n`;

test('white space around a secret, a key, a URL and a header is left out', () => {
  const env = { SECRET: `${WHSEC}\n`, URL: ' https://example.com/hook\n', KEY: 'key\n', HEADER: ' Bearer x\n' };
  const text = hook('type: webhook, url: "${URL}", secret: "${SECRET}", headers: { authorization: "${HEADER}" }');
  expect(configOf(text, { env }).sinks['hook']).toMatchObject({
    url: 'https://example.com/hook',
    secret: WHSEC,
    headers: { authorization: 'Bearer x' },
  });
  expect(configOf(hook('type: realtime, url: "${URL}", key: "${KEY}"'), { env }).sinks['hook']).toMatchObject({
    url: 'https://example.com/hook',
    key: 'key',
  });
});

test('a secret that comes out empty is a problem, with the variable that is empty', () => {
  const text = hook('type: webhook, url: "https://example.com", secret: "${SECRET}"');
  expect(problemsOf(text, { env: { SECRET: '\n' } })).toEqual([
    'walpost.yaml:3:69 sinks.hook.secret: is empty, as is the variable SECRET; give it a value, or leave the option out',
  ]);
  expect(configOf(hook('type: webhook, url: "https://example.com"')).sinks['hook']).not.toHaveProperty('secret');
});
