import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AnswerText } from '../../src/sinks/answer/answer-text.ts';
import { secretsOfHeader, secretsOfSigning, secretsOfUrl } from '../../src/sinks/answer/known-secrets.ts';
import { signingKeys } from '../../src/signing-secret.ts';
import { batchBody } from '../../src/envelope.ts';
import type { Event } from '../../src/event.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { runs } from '../support/fuzz.ts';

const sentOf = (...events: Event[]) => ({ events, body: batchBody({ sink: 'hook', batch: sampleBatch(events) }) });
const NOTHING = sentOf(sampleEvent());
const kept = (secrets: readonly (string | Buffer)[], text: string, { sent = NOTHING, cut = false } = {}): string =>
  new AnswerText(() => secrets).keep({ text, cut }, sent) ?? '';

/** Each writes a text as some receiver would. */
const percent = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
const json = (text: string): string => JSON.stringify(text).slice(1, -1);
const ENCODINGS: Readonly<Record<string, (text: string) => string>> = {
  plain: (text) => text,
  'lower case': (text) => text.toLowerCase(),
  'upper case': (text) => text.replace(/[a-z]+/g, (letters) => letters.toUpperCase()),
  'URL component': (text) => encodeURIComponent(text),
  'URL component, lower hex': (text) => encodeURIComponent(text).replace(/%../g, (hex) => hex.toLowerCase()),
  'every byte in percent': percent,
  'percent twice': (text) => encodeURIComponent(encodeURIComponent(text)),
  form: (text) => new URLSearchParams({ '': text }).toString().slice(1),
  base64: (text) => Buffer.from(text).toString('base64'),
  base64url: (text) => Buffer.from(text).toString('base64url'),
  'base64 in lower case': (text) => Buffer.from(text).toString('base64').toLowerCase(),
  'base64 in lines': (text) => Buffer.from(text).toString('base64').replace(/.{20}/g, '$&\r\n'),
  'base64 in JSON with escaped slashes': (text) => Buffer.from(text).toString('base64').replaceAll('/', '\\/'),
  hex: (text) => Buffer.from(text).toString('hex'),
  'HEX in pairs': (text) => (Buffer.from(text).toString('hex').toUpperCase().match(/../g) ?? []).join(' '),
  JSON: json,
  'JSON in JSON': (text) => json(json(text)),
  'JSON, all in \\u': (text) =>
    [...text]
      .flatMap((c) => c.split(''))
      .map(unit)
      .join(''),
  HTML: (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`),
};
function unit(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

const printable = fc.string({
  unit: fc.constantFrom(...Array.from({ length: 95 }, (_, n) => String.fromCharCode(32 + n))),
});
/** A letter or two among blanks are no secret that could be told from other text. */
const isSaying = (text: string): boolean => [...text.replace(/\s/g, '')].length >= 8;
const secret = fc.oneof(
  fc.string({ minLength: 8, maxLength: 60 }).filter(isSaying),
  fc.string({ minLength: 8, maxLength: 40, unit: 'grapheme' }).filter(isSaying),
  fc.base64String({ minLength: 8, maxLength: 60 }),
  fc.stringMatching(/^[A-Za-z0-9_-]{8,40}$/),
);
const ascii = secret.filter((text) => /^[ -~]*$/.test(text));
const encoding = fc.constantFrom(...Object.keys(ENCODINGS));
const encode = (name: string, text: string): string => ENCODINGS[name]?.(text) ?? '';

/** Some eight characters in a row of one text in the other. */
function sharedRun(hidden: string, shown: string): string | undefined {
  for (let at = 0; at + 8 <= hidden.length; at++) {
    const run = hidden.slice(at, at + 8);
    if (/\S{4}/.test(run) && shown.includes(run)) return run;
  }
  return hidden.trim().length >= 4 && shown.includes(hidden.trim()) ? hidden : undefined;
}

describe('no secret survives', () => {
  test('in any encoding, wherever it stands', () => {
    fc.assert(
      fc.property(secret, encoding, printable, printable, (value, name, before, after) => {
        const hidden = encode(name, value);
        expect(sharedRun(hidden, kept([value], `${before} ${hidden} ${after}`))).toBeUndefined();
      }),
      runs(1000),
    );
  });

  test('quoted in HTML, with an end that looks like an escape of JSON or of a URL', () => {
    for (const value of ['!!"!!!!\\', '!!"!!!!%', '!!"!!!%4']) {
      const hidden = encode('HTML', value);
      expect(sharedRun(hidden, kept([value], `said ${hidden}41 to us`))).toBeUndefined();
      expect(sharedRun(hidden, kept([value], `said ${hidden} to us`))).toBeUndefined();
    }
  });

  test('in base64 together with what stands around it', () => {
    fc.assert(
      fc.property(secret, printable, printable, fc.boolean(), (value, before, after, url) => {
        const whole = Buffer.from(before + value + after).toString(url ? 'base64url' : 'base64');
        const [from, bytes] = [Buffer.byteLength(before), Buffer.byteLength(value)];
        const hidden = whole.slice(Math.ceil((from * 4) / 3), Math.floor(((from + bytes) * 4) / 3));
        expect(sharedRun(hidden, kept([value], `got ${whole}`))).toBeUndefined();
      }),
      runs(500),
    );
  });

  test('when the answer is cut in the middle of it, by the receiver, by us or at the end of what is read', () => {
    fc.assert(
      // Of letters that take several bytes eight characters of an encoding may be two, which may be left of a cut.
      fc.property(ascii, encoding, fc.nat(400), fc.nat(100), (value, name, before, length) => {
        const hidden = encode(name, value);
        const text = `${'a b '.repeat(before)}${hidden}`;
        for (const cut of [text.slice(0, before * 4 + length), text.slice(0, 2048)]) {
          expect(sharedRun(hidden.slice(0, length), kept([value], cut, { cut: true }))).toBeUndefined();
        }
        expect(sharedRun(hidden, kept([value], `${' '.repeat(2040)}${hidden}`))).toBeUndefined();
        expect(kept([value], `${'a'.repeat(290)} ${hidden}`).length).toBeLessThanOrEqual(300);
        expect(sharedRun(hidden, kept([value], `${'a'.repeat(290)} ${hidden}`))).toBeUndefined();
      }),
      runs(200),
    );
  });

  test('in UTF-16 that is read as UTF-8, or with invisible characters in between', () => {
    expect(kept(['hunter2-hunter2'], Buffer.from('is hunter2-hunter2', 'utf16le').toString('utf8'))).toBe('i s ***');
    expect(kept(['hunter2-hunter2'], 'is hun\u200bter2-\u00adhunter2')).toBe('is ***');
  });

  test('with a replacement character of its own, in percent', () => {
    expect(kept(['hunter2\ufffdhunter2'], `is ${percent('hunter2\ufffdhunter2')}`)).toBe('is ***');
  });

  test('with letters whose lower case depends on what follows, or is longer', () => {
    for (const text of ['is ΟΔΟΣΟΔΟΣ!', 'is ΟΔΟΣΟΔΟΣa, İ', 'İİ: οδοσοδοσ']) {
      expect(kept(['ΟΔΟΣΟΔΟΣ'], text)).toContain('***');
    }
  });

  test('of four to seven characters', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[A-Za-z0-9]{4,7}$/),
        fc.constantFrom('plain', 'lower case', 'base64', 'hex', 'URL component'),
        (value, name) => {
          const hidden = encode(name, value).replace(/=+$/, '');
          const answer = kept([value], `key ${hidden} is wrong`); // more goes where a neighbour happens to be a form of it
          expect(answer).toContain('***');
          expect(answer).not.toContain(hidden);
        },
      ),
      runs(100),
    );
  });
});

test('what is known of a webhook: user, password, query, tokens in the path, headers, signing keys', () => {
  const url = new URL(
    'https://us%40er:p%2Fass@example.com/services/T00AB/B00CD/long-token-in-path?apikey=in-the-query&flagvalue',
  );
  const raw = Buffer.from([0, 255, 254, 1, 2, 3, 250, 128, 9, 10, 11, 12]);
  const signing = `whsec_${raw.toString('base64')} whsec_${Buffer.from('the key before it').toString('base64')}`;
  const basic = Buffer.from('other:pa55word').toString('base64');
  const secrets = [
    ...secretsOfUrl(url, { path: true }),
    ...secretsOfHeader('Bearer t0k3n-0f-mine'),
    ...secretsOfHeader(`Basic ${basic}`),
    ...secretsOfHeader('session=abc123; theme=dark'),
    ...secretsOfSigning(signing, signingKeys(signing) ?? []),
  ];
  const pair = Buffer.from('us@er:p/ass').toString('base64');
  for (const hidden of [
    'us@er',
    'us%40er',
    'p/ass',
    'p%2Fass',
    'p%2fass',
    pair,
    'T00AB',
    'B00CD',
    'long-token-in-path',
    'in-the-query',
    'flagvalue',
    't0k3n-0f-mine',
    'T0K3N-0F-MINE',
    basic,
    'pa55word',
    'abc123',
    'dark',
    raw.toString('base64'),
    raw.toString('base64url'),
    raw.toString('hex'),
    'the key before it',
    Buffer.from('the key before it').toString('base64'),
  ]) {
    expect(kept(secrets, `seen: ${hidden}.`)).not.toContain(hidden);
  }
  expect(kept(secrets, 'no such bearer token for this service')).toBe('no such bearer token for this service');
});

describe('what was sent', () => {
  const payload = {
    name: 'Ada',
    email: 'ada@example.org',
    note: 'A long text about the patient, "quoted", with ünicode and\na second line.',
    pin: 4711,
    account: 1234567890123456,
    tags: ['short', { deep: 'a-deep-value' }],
  };
  const event = sampleEvent({
    payload: JSON.stringify(payload),
    headers: '{"authorization": "Bearer of-the-application"}',
    idempotencyKey: 'order 4711/77',
    entityId: 'patient-77',
  });
  const sent = sentOf(event, sampleEvent({ payload: '{"a": 1, "b": "x"}' }));
  const asText = Buffer.from(JSON.stringify(payload));

  test.each<[string, string]>([
    ['the body', Buffer.from(sent.body as unknown as string, 'latin1').toString()],
    [
      'the body, printed again',
      JSON.stringify(JSON.parse(Buffer.from(sent.body as unknown as string, 'latin1').toString()), null, 2),
    ],
    [
      'the body in a JSON string',
      JSON.stringify({ error: 'bad', data: Buffer.from(sent.body as unknown as string, 'latin1').toString() }),
    ],
    [
      'the body in base64',
      JSON.stringify({ body: Buffer.from(sent.body as unknown as string, 'latin1').toString('base64') }),
    ],
    ['a payload', `cannot store ${asText.toString()}`],
    ['a small payload, printed again', 'cannot store {"a":1,"b":"x"}'],
    ['an event as PHP prints it', 'Array ( [event_id] => 1 [event_type] => a [payload] => Array ( [name] => Ada ) )'],
  ])('%s in an answer: nothing is kept', (_, answer) => {
    expect(kept([], answer, { sent })).toBe('(not kept: it repeats the request)');
  });

  test.each([
    ['ada@example.org is taken', '*** is taken'],
    ['ADA@EXAMPLE.ORG or ada%40example.org is taken', '*** or *** is taken'],
    ['pin 4711 is not 47110', 'pin *** is not 47110'],
    ['shortage of short tags', 'shortage of *** tags'],
    ['no account 1234567890123456', 'no account ***'],
    ['a-deep-value &lt;a-deep-value&gt;', '*** &lt;***&gt;'],
    ['refused: order+4711%2F77, patient-77', 'refused: ***, ***'],
    ['header Bearer of-the-application', 'header ***'],
    ['email must be a string', 'email must be a string'],
    [
      `event ${event.eventId} of ${event.organizationId} is unknown`,
      `event ${event.eventId} of ${event.organizationId} is unknown`,
    ],
  ])('%s', (answer, expected) => {
    expect(kept([], answer, { sent })).toEqual(expected);
  });

  test('a value is found in part, and escaped', () => {
    const answer = kept([], '\\"quoted\\", with \\u00fcnicode and\\na second line.', { sent });
    expect(answer).not.toMatch(/nicode|second/);
  });

  test('no value of eight characters or more comes back, however it is quoted', () => {
    const names = fc.constantFrom(
      'plain',
      'upper case',
      'URL component',
      'JSON',
      'JSON in JSON',
      'HTML',
      'every byte in percent',
    );
    fc.assert(
      fc.property(
        fc.string({ minLength: 8, maxLength: 80, unit: 'grapheme' }).filter(isSaying),
        names,
        fc.jsonValue(),
        (value, name, rest) => {
          const text = JSON.stringify({ rest, deep: [{ value }] });
          const hidden = encode(name, value);
          const answer = kept([], `wrong: ${hidden} (422)`, { sent: sentOf(sampleEvent({ payload: text })) });
          expect(sharedRun(hidden, answer)).toBeUndefined();
        },
      ),
      runs(1000),
    );
  });

  test('of two megabytes and more is not compared, and the answer not kept', () => {
    const large = sentOf(sampleEvent({ payload: JSON.stringify('x'.repeat(2 * 1024 ** 2)) }));
    expect(kept([], 'too much', { sent: large })).toBe('(not kept: the request was too large to be compared with it)');
  });
});

test('an answer is one line of at most 300 characters, and a URL in it keeps its host only', () => {
  expect(kept([], ' \n ')).toBe('');
  expect(kept([], '<b>down</b>\n\u0007 now \u202e')).toBe('<b>down</b> now');
  expect(kept([], 'see https://user:pw@example.com/a/b?c=d#e now')).toBe('see https://example.com now');
  expect(kept([], 'token=hunter2')).toBe('token=(not shown)');
  const long = kept([], `${'x'.repeat(298)}🧾🧾🧾`);
  expect([long.length, long.at(-1), long.isWellFormed()]).toEqual([299, '…', true]);
});

test('an answer of any size, against a body of any size, is looked through in bounded time', () => {
  const value = 'ab'.repeat(900_000);
  const sent = sentOf(sampleEvent({ payload: JSON.stringify([value]) }));
  const begun = performance.now();
  expect(kept(['k3y-'.repeat(300)], '%61%62ab\\u0061b&#97;b'.repeat(400), { sent })).not.toContain('abababab');
  expect(performance.now() - begun).toBeLessThan(2000);
});
