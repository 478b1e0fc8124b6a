/**
 * A webhook receiver in a process of its own: reads each body, counts its events, answers 204. Prints its URL, and on
 * SIGUSR2 what it has counted since the last time.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

let requests = 0;
let bytes = 0;
let events = 0;
const MARK = Buffer.from('"ordinal":');

function countEvents(body: Buffer): number {
  let count = 0;
  for (let at = body.indexOf(MARK); at >= 0; at = body.indexOf(MARK, at + MARK.length)) count++;
  return count;
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
    requests++;
    bytes += body.length;
    events += countEvents(body);
    response.writeHead(204).end();
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
});
process.on('SIGUSR2', () => {
  console.log(`counted ${JSON.stringify({ requests, bytes, events })}`);
  [requests, bytes, events] = [0, 0, 0];
});
process.on('SIGTERM', () => process.exit(0));
