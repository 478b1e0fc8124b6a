/**
 * Customers with endpoints, and a receiver that has all of them: a path names the endpoint and the version of its URL. What
 * arrives is held against what was committed, at once: that a URL was replaced, or a secret, before the event was committed.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { TestDatabase } from '../support/database.ts';
import { requestBody } from '../support/request-body.ts';
import { poll } from '../support/slot-session.ts';

/** What an endpoint answers. */
export type Answer = number | 'hang';

interface Known {
  readonly secrets: string[];
  url: number;
  answer: Answer;
}

/** What held when the event was committed. */
interface Committed {
  readonly url: number;
  readonly secret: number;
}

export interface Arrival {
  readonly endpoint: string;
  readonly n: number;
}

export class EndpointReceiver implements AsyncDisposable {
  readonly arrivals: Arrival[] = [];
  /** What must not have happened. */
  readonly faults: string[] = [];
  /** Signed by a secret that the session has not seen yet: its answer is on its way. */
  private readonly unverified: { endpoint: string; body: string; request: IncomingMessage }[] = [];
  /** By endpoint, in the order of their first arrival. */
  private readonly came = new Map<string, Set<number>>();
  private readonly known = new Map<string, Known>();
  private readonly committed = new Map<string, Committed>();
  private readonly server = createServer((request, response) => void this.handle(request, response));

  static async start(): Promise<EndpointReceiver> {
    const receiver = new EndpointReceiver();
    await once(receiver.server.listen(0, '127.0.0.1'), 'listening');
    return receiver;
  }

  urlOf(endpoint: string, version: number): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/${endpoint}/${version}`;
  }

  added(endpoint: string, secret: string): void {
    this.known.set(endpoint, { secrets: [secret], url: 0, answer: 200 });
  }

  rotated(endpoint: string, secret: string): void {
    this.get(endpoint).secrets.push(secret);
  }

  moved(endpoint: string): string {
    const known = this.get(endpoint);
    known.url += 1;
    return this.urlOf(endpoint, known.url);
  }

  answers(endpoint: string, answer: Answer): void {
    this.get(endpoint).answer = answer;
  }

  /** An event that the endpoint has to get was committed, after all changes until now. */
  expects(endpoint: string, n: number): void {
    const { url, secrets } = this.get(endpoint);
    this.committed.set(`${endpoint} ${n}`, { url, secret: secrets.length - 1 });
  }

  /** The numbers that came to each endpoint, in the order of their first arrival. */
  firsts(): Map<string, number[]> {
    return new Map([...this.came].map(([endpoint, numbers]) => [endpoint, [...numbers]]));
  }

  /** Resolves when the endpoint has had all of these. */
  async has(endpoint: string, numbers: readonly number[]): Promise<void> {
    const isMissing = (n: number): boolean => this.came.get(endpoint)?.has(n) !== true;
    await poll(
      `${endpoint} has had ${numbers.length} events`,
      async () => !numbers.some(isMissing) || undefined,
      60_000,
    );
  }

  /** Requests that no secret of their endpoint has signed, once the session has seen all of them. */
  get unsigned(): string[] {
    return this.unverified.flatMap(({ endpoint, body, request }) => {
      const headers = request.headers as Record<string, string>;
      return this.get(endpoint).secrets.some((secret) => verifies(secret, body, headers))
        ? []
        : [`${endpoint}: ${body}`];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  private cameTo(endpoint: string): Set<number> {
    const numbers = this.came.get(endpoint) ?? new Set();
    this.came.set(endpoint, numbers);
    return numbers;
  }

  private get(endpoint: string): Known {
    const known = this.known.get(endpoint);
    if (!known) throw new Error(`no endpoint ${endpoint}`);
    return known;
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    const body = await requestBody(request);
    if (body === null) return;
    const [, endpoint = '', version = ''] = (request.url ?? '').split('/');
    const known = this.known.get(endpoint);
    if (!known) {
      this.faults.push(`a request for ${endpoint}`);
      return void response.writeHead(404).end();
    }
    if (known.answer === 'hang') return;
    if (known.answer === 200) this.take(endpoint, Number(version), { request, body: body.toString() });
    response.writeHead(known.answer).end();
  }

  private take(endpoint: string, url: number, sent: { request: IncomingMessage; body: string }): void {
    const { secrets } = this.get(endpoint);
    const headers = sent.request.headers as Record<string, string>;
    const signedBy = secrets.findLastIndex((secret) => verifies(secret, sent.body, headers));
    if (signedBy < 0) this.unverified.push({ endpoint, ...sent });
    const { events } = JSON.parse(sent.body) as { events: { event_type: string; payload: { n?: number } }[] };
    for (const { event_type: type, payload } of events) {
      const n = payload.n ?? -1;
      this.arrivals.push({ endpoint, n });
      this.cameTo(endpoint).add(n);
      const must = this.committed.get(`${endpoint} ${n}`);
      if (must && url < must.url) this.faults.push(`${endpoint}: event ${n} came to URL ${url}, not ${must.url}`);
      if (must && signedBy >= 0 && signedBy < must.secret)
        this.faults.push(`${endpoint}: event ${n} is signed by an older secret`);
      if (n < 0 && type === 'job.done') this.faults.push(`${endpoint}: an event without a number`);
    }
  }
}

function verifies(secret: string, body: string, headers: Record<string, string>): boolean {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

/** One session that writes: what it commits is in the order in which it commits it. */
export class Customers {
  readonly receiver: EndpointReceiver;
  private readonly database: TestDatabase;
  private count = 0;

  constructor(database: TestDatabase, receiver: EndpointReceiver) {
    this.database = database;
    this.receiver = receiver;
  }

  async prepare(): Promise<void> {
    await this.database.query(`UPDATE walpost.settings SET value = 'true' WHERE name = 'endpoints_on_loopback'`);
  }

  /** Adds an endpoint; its URL is known only with its id, so it moves there at once, in the same transaction. */
  async add(organization: string, types: readonly string[] = ['*'], more = ''): Promise<string> {
    const [row] = await this.database.query<{ id: string; secret: string }>(
      `SELECT endpoint_id::text AS id, secret FROM walpost.add_endpoint('customers', $1, $2, $3${more})`,
      [organization, this.receiver.urlOf('new', 0), types],
    );
    if (!row) throw new Error('add_endpoint returned nothing');
    this.receiver.added(row.id, row.secret);
    await this.call('update_endpoint($1, $2)', [row.id, this.receiver.urlOf(row.id, 0)]);
    return row.id;
  }

  async call(call: string, values: unknown[]): Promise<unknown> {
    const [row] = await this.database.query<{ result: unknown }>(`SELECT walpost.${call} AS result`, values);
    return row?.result;
  }

  async rotate(endpoint: string, overlap = '0'): Promise<void> {
    this.receiver.rotated(endpoint, String(await this.call('rotate_endpoint_secret($1, $2)', [endpoint, overlap])));
  }

  async move(endpoint: string): Promise<void> {
    await this.call('update_endpoint($1, $2)', [endpoint, this.receiver.moved(endpoint)]);
  }

  /** The number of the next event. */
  get next(): number {
    return this.count;
  }

  async publish(organization: string, type = 'job.done'): Promise<number> {
    const n = this.count++;
    await this.database.query(`SELECT walpost.publish($1, $2, jsonb_build_object('n', $3::integer))`, [
      organization,
      type,
      n,
    ]);
    return n;
  }
}
