/**
 * Processes of walpost around one slot, as in production: each with its own role on the server, so that whatever is
 * written or streamed can be told apart, a receiver that knows who sent what, and a writer that keeps them busy.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { inject } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { Cli } from '../support/walpost-cli.ts';
import { newClient } from '../support/client.ts';

export interface Arrival {
  readonly by: string;
  readonly batch: string;
  readonly organization: string;
  readonly number: number;
  readonly at: number;
}

export interface CursorWrite {
  readonly by: string;
  readonly epoch: number;
}

/** Every write of the cursor row with its author; the row lock makes the numbers follow the order of the writes. */
const HISTORY = `
  CREATE TABLE public.cursor_history (
    n bigint GENERATED ALWAYS AS IDENTITY, by text NOT NULL, epoch bigint NOT NULL, lsn pg_lsn);
  CREATE FUNCTION public.note_cursor() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO public.cursor_history (by, epoch, lsn) VALUES (session_user, NEW.epoch, NEW.lsn);
      RETURN NULL;
    END $$;
  CREATE TRIGGER note AFTER UPDATE ON walpost.cursor FOR EACH ROW EXECUTE FUNCTION public.note_cursor()`;

const ORGANIZATIONS = Array.from({ length: 4 }, () => randomUUID());

export interface SceneOptions {
  readonly takeoverAfter?: string;
  /** A server of the test's own. */
  readonly server?: string;
}

export interface ProcessChange {
  /** The section of the configuration. */
  readonly source?: object;
  /** Between this process and the server. */
  readonly through?: TcpProxy;
}

export class Scene implements AsyncDisposable {
  readonly database: TestDatabase;
  readonly arrivals: Arrival[] = [];
  /** What the writer has committed, by organization and in order. */
  readonly committed = new Map<string, number[]>(ORGANIZATIONS.map((id) => [id, []]));
  private readonly options: SceneOptions;
  private readonly directory: string;
  private readonly receiver: Server;
  private readonly processes: WalpostProcess[] = [];
  private readonly roles: string[] = [];
  private writing: Promise<void> | undefined;
  private isWriting = false;
  private next = 0;

  private constructor(database: TestDatabase, directory: string, options: SceneOptions) {
    this.database = database;
    this.directory = directory;
    this.options = options;
    this.receiver = createServer((request, response) => {
      this.receive(request).then(
        () => response.writeHead(204).end(),
        () => response.destroy(),
      );
    });
  }

  static async set(options: SceneOptions = {}): Promise<Scene> {
    const database = await createTestDatabase(options.server === undefined ? {} : { server: options.server });
    const scene = new Scene(database, await mkdtemp(join(tmpdir(), 'walpost-leader-')), options);
    await database.query(HISTORY);
    scene.receiver.listen(0, '127.0.0.1');
    await once(scene.receiver, 'listening');
    return scene;
  }

  /** Starts a process; resolves when it listens. */
  async start(name: string, change: ProcessChange = {}): Promise<WalpostProcess> {
    const file = join(this.directory, `${name}.yaml`);
    const { through, ...section } = change;
    const config = await this.config(name);
    const database = { url: through?.url(config.database.url) ?? config.database.url };
    await writeFile(file, JSON.stringify({ ...config, database, ...section }));
    const process = new WalpostProcess(name, file);
    this.processes.push(process);
    await process.cli.prints(/"port":\d+/);
    await process.readiness().catch(() => undefined); // now it also hears signals
    return process;
  }

  /** Starts one and lets it lead, then another, which stands by. */
  async startPair(change: ProcessChange = {}): Promise<readonly [WalpostProcess, WalpostProcess]> {
    const leader = await this.start('a', change);
    await leader.becomes('leader');
    const standby = await this.start('b');
    await standby.becomes('standby');
    return [leader, standby];
  }

  /** Publishes until `rest`, some hundred events a second. */
  work(): void {
    this.isWriting = true;
    this.writing = this.write();
  }

  /** Resolves when the writer has stopped; with the number of events that it has committed. */
  async rest(): Promise<number> {
    this.isWriting = false;
    await this.writing;
    return [...this.committed.values()].flat().length;
  }

  /** Resolves when everything that was committed has arrived. */
  async delivered(timeout = 10_000): Promise<void> {
    await poll('all has arrived', async () => (this.missing().length === 0 ? true : undefined), timeout);
  }

  missing(): string[] {
    const seen = new Set(this.arrivals.map(({ organization, number }) => `${organization} ${number}`));
    return [...this.committed]
      .flatMap(([id, numbers]) => numbers.map((n) => `${id} ${n}`))
      .filter((it) => !seen.has(it));
  }

  /** The order of first arrivals, by organization. */
  firstArrivals(): Map<string, number[]> {
    const first = new Map<string, Set<number>>(ORGANIZATIONS.map((id) => [id, new Set()]));
    for (const { organization, number } of this.arrivals) first.get(organization)?.add(number);
    return new Map([...first].map(([id, numbers]) => [id, [...numbers]]));
  }

  /** The first event that this process delivered after the moment. */
  async arrivesBy(name: string, since: number, timeout = 10_000): Promise<Arrival> {
    return poll(`${name} delivers`, async () => this.arrivals.find(({ by, at }) => by === name && at > since), timeout);
  }

  async history(): Promise<CursorWrite[]> {
    const rows = await this.database.query<{ by: string; epoch: string }>(
      'SELECT by, epoch FROM public.cursor_history ORDER BY n',
    );
    return rows.map(({ by, epoch }) => ({ by: this.nameOf(by), epoch: Number(epoch) }));
  }

  /** Who streams from the slot, with which server process, and what is confirmed. */
  async slot(): Promise<{ by: string | undefined; pid: number | null; confirmed: bigint }> {
    const [row] = await this.database.query<{ pid: number | null; role: string | null; confirmed: string }>(
      `SELECT s.active_pid AS pid, a.usename AS role, (s.confirmed_flush_lsn - '0/0'::pg_lsn)::text AS confirmed
         FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid WHERE s.slot_name = $1`,
      [this.database.slotName],
    );
    const by = row?.role == null ? undefined : this.nameOf(row.role);
    return { by, pid: row?.pid ?? null, confirmed: BigInt(row?.confirmed ?? 0) };
  }

  /** Server processes of a walpost process, by their application name. */
  async sessions(name: string, applicationName: string): Promise<number[]> {
    const rows = await this.database.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity
        WHERE usename = $1 AND application_name = $2 AND backend_type = 'client backend' AND datname = current_database()`,
      [this.roleOf(name), applicationName],
    );
    return rows.map(({ pid }) => pid);
  }

  async terminate(pids: readonly number[]): Promise<void> {
    await this.database.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid', [pids]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rest();
    await Promise.all(this.processes.map((process) => process.cli[Symbol.asyncDispose]()));
    this.receiver.closeAllConnections();
    this.receiver.close();
    await rm(this.directory, { recursive: true });
    try {
      await this.database[Symbol.asyncDispose]();
    } finally {
      await this.dropRoles();
    }
  }

  private roleOf(name: string): string {
    return `${this.database.name}_${name}`;
  }

  private nameOf(role: string): string {
    return role.replace(`${this.database.name}_`, '');
  }

  private async config(name: string) {
    const role = this.roleOf(name);
    if (!this.roles.includes(role)) {
      this.roles.push(role);
      await this.database.query(`CREATE ROLE ${role} SUPERUSER LOGIN PASSWORD 'scene'`);
    }
    const url = new URL(this.database.url);
    [url.username, url.password] = [role, 'scene'];
    const { port } = this.receiver.address() as AddressInfo;
    const hook = { type: 'webhook', url: `http://127.0.0.1:${port}/`, allow_private: true, headers: { 'x-by': name } };
    return {
      database: { url: url.href },
      source: { slot: this.database.slotName },
      leader: { takeover_after: this.options.takeoverAfter ?? '2s' },
      batching: { window: '20ms' },
      sinks: { hook },
      routes: [{ to: ['hook'] }],
      http: { port: 0 },
      log: { format: 'json' },
    };
  }

  private async receive(request: IncomingMessage): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as {
      organization_id: string;
      events: { payload: { number?: number } }[];
    };
    const [by, batch] = [String(request.headers['x-by']), String(request.headers['webhook-id'])];
    const at = performance.now();
    for (const { payload } of body.events) {
      this.arrivals.push({ by, batch, at, organization: body.organization_id, number: payload.number ?? -1 });
    }
  }

  private async write(): Promise<void> {
    const client = newClient({ connectionString: this.database.url, application_name: 'walpost test writer' });
    await client.connect();
    try {
      while (this.isWriting) {
        const organization = ORGANIZATIONS[this.next % ORGANIZATIONS.length] as string;
        const number = this.next++;
        await client.query(
          "SELECT walpost.publish(organization_id => $1, event_type => 'order.placed', payload => $2)",
          [organization, { number }],
        );
        this.committed.get(organization)?.push(number);
        await delay(2);
      }
    } finally {
      await client.end();
    }
  }

  private async dropRoles(): Promise<void> {
    const admin = newClient({ connectionString: this.options.server ?? inject('postgresUrl') });
    await admin.connect();
    for (const role of this.roles) await admin.query(`DROP ROLE ${role}`);
    await admin.end();
  }
}

interface Readiness {
  readonly ready: boolean;
  readonly role: string;
  readonly detail: string;
}

export class WalpostProcess {
  readonly name: string;
  readonly configFile: string;
  readonly cli: Cli;

  constructor(name: string, configFile: string) {
    this.name = name;
    this.configFile = configFile;
    this.cli = new Cli(['run', '--config', configFile]);
  }

  get url(): string {
    return `http://127.0.0.1:${/"port":(\d+)/.exec(this.cli.stderr)?.[1]}`;
  }

  signal(signal: NodeJS.Signals): void {
    this.cli.child.kill(signal);
  }

  async readiness(): Promise<Readiness> {
    try {
      return (await (await fetch(`${this.url}/readyz`)).json()) as Readiness;
    } catch (cause) {
      throw new Error(`${this.name} does not answer; it has printed:\n${this.cli.stderr}`, { cause });
    }
  }

  /** Resolves when /readyz says so; it must also say that it is ready. */
  async becomes(role: 'leader' | 'standby', timeout = 20_000): Promise<Readiness> {
    let last: Readiness | undefined;
    const look = async (): Promise<Readiness | undefined> => {
      last = await this.readiness();
      return last.role === role && last.ready ? last : undefined;
    };
    try {
      return await poll(`${this.name} becomes ${role}`, look, timeout);
    } catch (cause) {
      throw new Error(`${this.name} says ${JSON.stringify(last)}; it has printed:\n${this.cli.stderr}`, { cause });
    }
  }
}
