/**
 * The limit: a client that speaks the replication protocol, walks from message to message and throws the bytes away.
 * `raw-drain.ts <url> <slot> <lsn> [patient]`: confirms once a message lies behind the LSN. A patient one reads every
 * millisecond: one that reads at once wakes up for each small write of the walsender, and holds it up on two busy cores.
 */
import type { Socket } from 'node:net';
import { parseLsn } from '../../../src/lsn.ts';
import { replicationConfig } from '../../../src/slot/replication-client.ts';
import { postgresMicros } from '../../../src/pg-time.ts';
import { encodeStandbyStatus } from '../../../src/slot/standby-status.ts';
import { startReplication } from '../../../src/slot/streaming-plugin.ts';
import { newClient } from '../../support/client.ts';

const COPY_DATA = 0x64;
const WAL_DATA = 0x77;
const COMMIT = 0x43;

const [url = '', slot = '', lsn = '', manner = ''] = process.argv.slice(2);
const target = parseLsn(lsn) ?? 0n;
const { config, socket } = replicationConfig({ url });
const client = newClient(config);
await client.connect();
const connection = (client as unknown as { connection: { once(name: string, then: () => void): void } }).connection;
connection.once('replicationStart', () => takeOver(socket));
const options = { proto_version: '1', publication_names: '"walpost"', messages: 'false' };
void client.query(startReplication(slot, '0/0', options)).catch(() => undefined);

function takeOver(stream: Socket): void {
  let kept: Buffer = Buffer.alloc(0);
  stream.removeAllListeners('data');
  stream.on('data', (chunk: Buffer) => {
    const bytes = kept.length > 0 ? Buffer.concat([kept, chunk]) : chunk;
    let at = 0;
    while (at + 5 <= bytes.length) {
      const next = at + 1 + bytes.readUInt32BE(at + 1);
      if (next > bytes.length) break;
      if (bytes[at] === COPY_DATA && bytes[at + 5] === WAL_DATA && bytes[at + 30] === COMMIT) {
        const end = bytes.readBigUInt64BE(at + 40);
        if (end > target) return finish(stream, end);
      }
      at = next;
    }
    kept = bytes.subarray(at);
    if (manner === 'patient') restBetweenReads(stream);
  });
}

function finish(stream: Socket, end: bigint): void {
  const status = encodeStandbyStatus({
    written: end,
    flushed: end,
    applied: end,
    clockMicros: postgresMicros(Date.now()),
    replyRequested: false,
  });
  const head = Buffer.from([COPY_DATA, 0, 0, 0, 0]);
  head.writeUInt32BE(4 + status.length, 1);
  stream.write(Buffer.concat([head, status]));
  process.on('SIGTERM', () => process.exit(0));
}

function restBetweenReads(stream: Socket): void {
  stream.pause();
  setTimeout(() => stream.resume(), 1);
}
