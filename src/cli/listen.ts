/**
 * `walpost listen`: a receiver on this machine for the first steps. It prints what comes, and whether the signature is right.
 *
 * It answers as a receiver should: 204, or 401 for a signature that is wrong. It stores nothing.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Config } from '../config/schema.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { printableJsonText } from '../observe/printable.ts';
import { hookAt, type ListenFlags, type ListenTarget, listenTarget } from './listen-target.ts';
import { note, say } from './output.ts';
import { receivedText } from './received-text.ts';
import { checkSignature, type SignatureFinding } from './signature-check.ts';

export interface ListenConduct {
  readonly status?: string;
  readonly json?: boolean;
}

/** A batch has at most 64 MiB and an event that is alone 1 MiB of payload; both may grow as JSON. */
const MOST_BYTES = 256 * 1024 ** 2;

/** Listens until SIGINT or SIGTERM. */
export async function listen(
  config: Pick<Config, 'sinks'> | undefined,
  flags: ListenFlags & ListenConduct,
): Promise<void> {
  const target = listenTarget(config, flags);
  const status = statusOf(flags.status);
  const server = createServer((request, response) => {
    take(request, response).catch((error: unknown) => {
      say(`A request broke off: ${messageOf(error)}`);
      response.destroy();
    });
  });
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await bodyOf(request);
    if (body === undefined) return void response.writeHead(413, { connection: 'close' }).end();
    const hook = hookAt(target, request.url ?? '/');
    const finding = checkSignature(hook?.keys, { headers: request.headers, body, now: Date.now() });
    const refused = finding === 'wrong' || finding === 'old' || finding === 'missing';
    print(request, { body: body.toString(), finding, json: flags.json === true });
    response.writeHead(status ?? (refused ? 401 : 204)).end();
  };
  const { port } = await listenAt(server, target);
  for (const line of greeting(target, port)) note(line);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  await once(stop.signal, 'abort');
  if (process.stderr.isTTY) process.stderr.write('\n'); // behind the ^C that the terminal shows
  server.close();
  server.closeAllConnections();
}

function print(
  { method, url }: IncomingMessage,
  { body, finding, json }: { body: string; finding: SignatureFinding; json: boolean },
): void {
  if (!json) return void process.stdout.write(receivedText({ body, finding, at: new Date() }));
  const head = { received_at: new Date().toISOString(), method, path: url, signature: finding };
  const text = isJson(body) ? body : JSON.stringify(body);
  process.stdout.write(`${printableJsonText(`${JSON.stringify(head).slice(0, -1)},"body":${text}}`)}\n`);
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function listenAt(server: ReturnType<typeof createServer>, { host, port }: ListenTarget): Promise<AddressInfo> {
  try {
    server.listen(port, host);
    await once(server, 'listening');
    return server.address() as AddressInfo;
  } catch (cause) {
    throw new WalpostError('HTTP_LISTEN', {
      detail: `${host}:${port}: ${messageOf(cause)}.`,
      remedy: "End the process that has it, or choose another with --port and in the sink's url.",
      cause,
    });
  }
}

function greeting({ host, hooks }: ListenTarget, port: number): string[] {
  const address = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const end = 'Ctrl-C ends it.';
  if (hooks.length === 0) {
    return [
      `Listening on ${address}. No secret is known, so signatures are not verified. ${end}`,
      `A sink that comes here:  here: { type: webhook, url: '${address}', secret: '…', allow_private: true }`,
    ];
  }
  const names = hooks.map(({ name, keys }) => (keys ? name : `${name}, without a secret`)).join('; ');
  return [`Listening on ${address} for ${names}. ${end}`];
}

function statusOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[2-5]\d\d$/.test(text)) return Number(text);
  throw new WalpostError('USAGE', { detail: `--status takes a status of HTTP from 200 to 599, not "${text}".` });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
