/**
 * A webhook receiver that notes when each numbered event came: `latency-receiver.ts <file>`. Prints its URL; on SIGUSR2 it
 * writes what it has noted since the last time, as pairs of number and microseconds on the machine's steady clock.
 */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const [file = ''] = process.argv.slice(2);
let seen: [number, number][] = [];

const server = createServer((request, response) => {
  const at = Number(process.hrtime.bigint() / 1000n);
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    for (const [, n] of Buffer.concat(chunks)
      .toString('latin1')
      .matchAll(/"n": ?(\d+)/g))
      seen.push([Number(n), at]);
    response.writeHead(204).end();
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
});
process.on('SIGUSR2', () => {
  writeFileSync(file, JSON.stringify(seen));
  console.log(`noted ${seen.length}`);
  seen = [];
});
process.on('SIGTERM', () => process.exit(0));
