import { describe, expect, test } from 'vitest';
import { WalpostError } from '../../src/errors.ts';
import { createLog, type LogOptions } from '../../src/observe/log.ts';
import { scrub } from '../../src/observe/redact.ts';
import { decodeRow, outboxCells } from '../support/outbox-stream.ts';

function logTo(options: Partial<LogOptions> & { isTTY?: boolean; columns?: number } = {}) {
  const lines: string[] = [];
  const { isTTY = false, columns = 0 } = options;
  const destination = { isTTY, columns, write: (line: string) => lines.push(line) };
  const log = createLog({ level: options.level ?? 'info', format: options.format, destination });
  return { log, lines, first: () => JSON.parse(lines[0] ?? 'null') as Record<string, unknown> };
}

test('a line is one JSON object with time, level, fields and message', () => {
  const { log, lines, first } = logTo();
  log.info({ slot: 'walpost_app', count: 3 }, 'streaming');
  log.debug('not wanted');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/\}\n$/);
  expect(first()).toEqual({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    slot: 'walpost_app',
    count: 3,
    msg: 'streaming',
  });
});

describe('secrets and payloads', () => {
  const HIDDEN = 'hunter2';

  test.each([
    { url: HIDDEN },
    { sink: { url: HIDDEN } },
    { config: { database: { url: HIDDEN } } },
    { config: { http: { token: HIDDEN } } },
    { sink: { key: HIDDEN, secret: HIDDEN } },
    { event: { payload: HIDDEN, headers: HIDDEN } },
    { payload: HIDDEN },
    { events: [{ payload: HIDDEN }] },
    { request: { headers: { authorization: HIDDEN }, body: HIDDEN } },
    { err: new Error(`connect postgres://app:${HIDDEN}@db:5432/app`) },
    { err: new Error('outer', { cause: new Error(`redis://:${HIDDEN}@cache`) }) },
    { err: new Error(`GET https://x/y?token=${HIDDEN}&a=b`) },
    { err: Object.assign(new Error('duplicate key'), { detail: `Key (payload)=(${HIDDEN})`, where: HIDDEN }) },
  ])('never reach a line: %j', (fields) => {
    for (const format of ['json', 'pretty'] as const) {
      const { log, lines } = logTo({ level: 'debug', format });
      log.error(fields, 'something');
      expect(lines).toHaveLength(1);
      expect(lines.join('')).not.toContain(HIDDEN);
    }
  });

  test('nor does what is in the message itself', () => {
    const { log, first } = logTo();
    log.warn({ n: 1 }, `cannot reach postgres://app:${HIDDEN}@db/app`);
    expect(first()).toMatchObject({ n: 1, msg: 'cannot reach postgres://(not shown)@db/app' });
    const { log: plain, lines } = logTo();
    plain.warn(`https://x/y?token=${HIDDEN}`);
    expect(lines.join('')).not.toContain(HIDDEN);
  });

  test('nor does an event of the stream, which keeps its row', () => {
    const { log, lines } = logTo();
    log.error({ event: decodeRow(outboxCells({ payload: `"${HIDDEN}"`, headers: `{"a":"${HIDDEN}"}` })) }, 'something');
    expect(lines.join('')).toContain('something');
    expect(lines.join('')).not.toContain(HIDDEN);
  });
});

test('an error is its code, message and causes, and its stack only at debug', () => {
  const error = new WalpostError('DATABASE', { detail: 'it said no', cause: new Error('ECONNRESET') });
  const info = logTo();
  info.log.error({ err: error }, 'failed');
  expect(info.first()['err']).toEqual({
    code: 'DATABASE',
    message: 'The server answered with an error. it said no',
    cause: { message: 'ECONNRESET' },
  });
  const debug = logTo({ level: 'debug' });
  debug.log.error({ err: error }, 'failed');
  expect(debug.first()['err']).toMatchObject({ stack: expect.stringContaining('log.test.ts') });
});

test('on a terminal a line is short and readable', () => {
  const { log, lines } = logTo({ format: 'pretty' });
  log.info({ slot: 'walpost_app', detail: 'two words', n: 1 }, 'streaming');
  log.error({ err: new WalpostError('DATABASE', { cause: new Error('no route') }) }, 'failed');
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}streaming {2}slot=walpost_app detail="two words" n=1\n$/);
  expect(lines[1]).toMatch(/error failed\n {4}DATABASE: The server answered with an error\.\n {4}no route\n$/);
});

test('a terminal breaks no word of a line: it is broken at blanks, and the rest stands further in', () => {
  const { log, lines } = logTo({ format: 'pretty', columns: 60 });
  const remedy = 'Look at the receiver and its log. Delivery then goes on by itself, in order.';
  log.warn({ sink: 'crm', code: 'HTTP_503', remedy }, 'deliveries to an organization fail');
  const [first = '', ...rest] = (lines[0] ?? '').trimEnd().split('\n');
  expect([first, ...rest].filter((line) => line.length > 60)).toEqual([]);
  expect(rest.length).toBeGreaterThan(1);
  expect(rest.filter((line) => !/^ {4}\S/.test(line))).toEqual([]);
  const whole = [first, ...rest.map((line) => line.trim())].join(' ');
  expect(whole).toMatch(/fail {1,2}sink=crm code=HTTP_503 remedy="Look at the receiver and its log\. .*in order\."$/);
});

test('text from elsewhere cannot move the cursor of a terminal', () => {
  const { log, lines } = logTo({ format: 'pretty' });
  log.warn({ err: new Error('a\x1b[2Jb'), sink: 'x\x1b[1m' }, 'c\x1b]0;title\x07d');
  expect(lines.join('')).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
});

test('the format follows the terminal unless it is set', () => {
  const pipe = logTo();
  pipe.log.info('x');
  expect(pipe.lines[0]).toMatch(/^\{/);
  const terminal = logTo({ isTTY: true });
  terminal.log.info('x');
  expect(terminal.lines[0]).not.toMatch(/^\{/);
  const set = logTo({ isTTY: true, format: 'json' });
  set.log.info('x');
  expect(set.lines[0]).toMatch(/^\{/);
});

test('scrubbing keeps what helps', () => {
  expect(scrub('connect ECONNREFUSED postgres://app:pw@db.internal:5432/app')).toBe(
    'connect ECONNREFUSED postgres://(not shown)@db.internal:5432/app',
  );
  expect(scrub('https://hooks.example/x?key=abc&n=1')).toBe('https://hooks.example/x?key=(not shown)&n=1');
});
