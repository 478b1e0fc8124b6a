/** What a receiver may send before and around its answer, byte for byte. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { gzipSync, deflateSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import type { Verdicts } from '../../src/pipeline.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

/** What is sent for the requests of a connection, one after the other; each in pieces. */
let answers: (readonly (string | Buffer)[])[];
let server: Server;
let sockets: Socket[];

beforeEach(async () => {
  answers = [];
  sockets = [];
  server = createServer((socket) => {
    sockets.push(socket);
    socket.setNoDelay(true).on('error', () => undefined);
    let body = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      body += text;
      const length = Number(/content-length: (\d+)/i.exec(body)?.[1]);
      const head = body.indexOf('\r\n\r\n');
      if (head < 0 || body.length < head + 4 + length) return;
      body = '';
      void send(socket, answers.shift() ?? []);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

async function send(socket: Socket, pieces: readonly (string | Buffer)[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function deliver(batches = 1, options: object = {}): Promise<Verdicts[]> {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  const config = sinkSchema.parse({ type: 'webhook', url, allow_private: true, concurrency: 1, ...options });
  const sink = await createSink(config, contractContext);
  const verdicts: Verdicts[] = [];
  for (let n = 0; n < batches; n++) {
    verdicts.push(await sink.deliver(sampleBatch([sampleEvent()]), new AbortController().signal));
  }
  await sink.close();
  return verdicts;
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';
const DELIVERED = { kind: 'delivered' };

test.each<[string, readonly string[]]>([
  ['before the answer', [CONTINUE + OK]],
  ['in a packet of its own', [CONTINUE, OK]],
  ['twice, with headers', ['HTTP/1.1 100 Continue\r\nServer: x\r\n\r\n', CONTINUE + OK]],
  ['byte by byte', [...(CONTINUE + OK)]],
  ['without a phrase', ['HTTP/1.1 100 \r\n\r\n', OK]],
  ['and 103 behind it', [`${CONTINUE}HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n`, OK]],
])('100 Continue that nobody asked for is skipped: %s', async (_name, pieces) => {
  answers = [pieces, pieces, [OK]];
  expect(await deliver(3)).toEqual([DELIVERED, DELIVERED, DELIVERED]);
  expect(sockets).toHaveLength(1);
});

test('what looks like it in a body is left alone', async () => {
  answers = [[`HTTP/1.1 422 X\r\nContent-Length: ${CONTINUE.length}\r\n\r\n`, CONTINUE], [OK]];
  expect(await deliver(2)).toMatchObject([
    { kind: 'failed', answer: expect.stringContaining('100 Continue') },
    DELIVERED,
  ]);
});

const LENGTH = 'Content-Length: 2\r\n';
test.each<[string, string, string]>([
  [
    'length and chunks',
    `HTTP/1.1 200 OK\r\n${LENGTH}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'Content-Length that is',
  ],
  ['two lengths', `HTTP/1.1 200 OK\r\n${LENGTH}${LENGTH}\r\nok`, 'Content-Length that is given twice'],
  [
    'a length that is no number',
    'HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok',
    'Content-Length that is no number',
  ],
  ['17 KB of headers', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(17_000)}\r\n${LENGTH}\r\nok`, 'more than 16 KiB of headers'],
  ['LF alone', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok', 'lines that end in LF alone'],
  ['LF alone in a header', `HTTP/1.1 200 OK\r\nX: b\n${LENGTH}\r\nok`, 'lines that end in LF alone'],
  ['CR alone', `HTTP/1.1 200 OK\r\nX: b\rc\r\n${LENGTH}\r\nok`, 'a CR inside a header'],
  ['a folded header', `HTTP/1.1 200 OK\r\nX: b\r\n c\r\n${LENGTH}\r\nok`, 'a header that goes on in the next line'],
  ['a blank in a name', `HTTP/1.1 200 OK\r\nX Y: b\r\n${LENGTH}\r\nok`, 'a character that a header cannot hold'],
  ['a blank before the colon', `HTTP/1.1 200 OK\r\nX : b\r\n${LENGTH}\r\nok`, 'a character that a header cannot hold'],
  ['a null character', `HTTP/1.1 200 OK\r\nX: b\0\r\n${LENGTH}\r\nok`, 'a character that a header cannot hold'],
  ['another version', `HTTP/3.7 200 OK\r\n${LENGTH}\r\nok`, 'a version of HTTP'],
  ['no status', `HTTP/1.1 2x0 OK\r\n${LENGTH}\r\nok`, 'a status that is no number'],
  ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n', 'something that is not HTTP'],
  [
    '101',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
    'not asked for, such as 101',
  ],
])('a head that cannot be read is told by what is wrong: %s', async (_name, head, reason) => {
  answers = [[head]];
  const [verdict] = await deliver();
  expect(verdict).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining(reason) });
  expect(verdict).toMatchObject({ reason: expect.stringMatching(/\([A-Z_]+\)$/) });
});

const said = Buffer.from(JSON.stringify({ message: 'amount is missing' }));
test.each<[string, Buffer, string | undefined]>([
  ['gzip', gzipSync(said), 'amount is missing'],
  ['GZIP', gzipSync(said), 'amount is missing'],
  ['deflate', deflateSync(said), 'amount is missing'],
  ['gzip', gzipSync(said).subarray(0, -8), 'amount is missing'],
  ['gzip', said, undefined],
  ['br', said, undefined],
])('an answer in %s is read', async (encoding, body, words) => {
  answers = [
    [
      `HTTP/1.1 422 Unprocessable Entity\r\nContent-Encoding: ${encoding}\r\nContent-Length: ${body.length}\r\n\r\n`,
      body,
    ],
  ];
  const [verdict] = await deliver();
  expect(verdict).toMatchObject({ kind: 'failed', reason: 'the destination answered 422 Unprocessable Entity' });
  if (words === undefined) expect(verdict).not.toHaveProperty('answer');
  else expect(verdict).toMatchObject({ answer: expect.stringContaining(words) });
});

test('an answer that gzip makes a thousand times longer is cut', async () => {
  const body = gzipSync(Buffer.alloc(7 * 1024 ** 2, 'x'));
  answers = [[`HTTP/1.1 422 X\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`, body]];
  const [verdict] = await deliver();
  expect((verdict as { answer: string }).answer.length).toBeLessThanOrEqual(300);
});

test.each([
  ['https://www.example.com/new?token=hunter2', ', and this one points to www.example.com'],
  ['/login', ', and this one points to another path of the same host'],
  ['https://127.0.0.1/hook', ', and this one points to https:// at the same host'],
  ['https://user:hunter2@example.com:8443/', ', and this one points to example.com'],
  ['https://hunter2-hunter2.example.com/', ''],
  ['http://[', ''],
])('a redirect says where it points, and no more: %s', async (location, told) => {
  answers = [[`HTTP/1.1 301 Moved Permanently\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`]];
  const [verdict] = await deliver(1, { headers: { authorization: 'Bearer hunter2-hunter2' } });
  expect(verdict).toEqual({
    kind: 'unavailable',
    reason: `the destination answered 301 Moved Permanently: redirects are not followed${told}`,
    code: 'HTTP_301',
  });
});
