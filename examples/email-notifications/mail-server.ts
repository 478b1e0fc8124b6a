/**
 * A mail server that delivers to nobody: each mail becomes a file in caught/. Some addresses show what mail servers do, and while
 * there is a file `outage` in this folder, the server takes nothing.
 */
import { existsSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import PostalMime from 'postal-mime';
import { SMTPServer } from 'smtp-server';

const CAUGHT = join(import.meta.dirname, 'caught');
const OUTAGE = join(import.meta.dirname, 'outage');
const greeted = new Set<string>();
let count = 0;

function refusalOf(address: string): string | undefined {
  if (address.startsWith('unknown')) return '550 5.1.1 there is no such mailbox';
  if (!address.startsWith('greylisted') || greeted.has(address)) return undefined;
  greeted.add(address);
  return '451 4.7.1 come back later';
}

/** A mail that comes twice is two files. Their names sort as the mails came. */
async function keep(raw: Buffer): Promise<void> {
  const mail = await PostalMime.parse(raw);
  const id = (mail.messageId ?? '').replace(/[^\w.@-]/g, '');
  const name = `${Date.now()}-${String((count += 1)).padStart(6, '0')}-${id}.eml`;
  // Written aside first, so that a kill leaves no half of a mail.
  await writeFile(join(CAUGHT, `.${name}`), raw);
  await rename(join(CAUGHT, `.${name}`), join(CAUGHT, name));
  console.log(`to ${mail.to?.map(({ address }) => address).join(', ')}: ${mail.subject}`);
}

async function receive(stream: Readable, done: (error?: Error) => void): Promise<void> {
  try {
    await keep(await buffer(stream));
    done();
  } catch (error) {
    done(error as Error);
  }
}

function failure(answer: string): Error {
  return Object.assign(new Error(answer.slice(4)), { responseCode: Number(answer.slice(0, 3)) });
}

await mkdir(CAUGHT, { recursive: true });
const server = new SMTPServer({
  authOptional: true,
  disabledCommands: ['STARTTLS', 'AUTH'],
  onMailFrom: (_address, _session, done) => done(existsSync(OUTAGE) ? failure('421 4.3.2 out of order') : null),
  onRcptTo: ({ address }, _session, done) => {
    const refusal = refusalOf(address);
    done(refusal === undefined ? null : failure(refusal));
  },
  onData: (stream, _session, done) => void receive(stream, done),
});
server.on('error', () => undefined); // of a connection that breaks
server.listen(Number(process.env['SMTP_PORT']), '127.0.0.1');
