import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Clock } from '../clock.ts';
import { WalpostError } from '../errors.ts';
import { migrate } from '../postgres/schema/migrate.ts';
import { demoConfig, SLOT } from './demo-config.ts';
import type { DemoRecord } from './demo-record.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './postgres/embedded-postgres.ts';
import { Receiver, type ReceiverOptions } from './receiver.ts';
import { RelayProcess } from './relay-process.ts';
import type { DemoSink, Tamper } from './sinks/demo-sink.ts';
import type { EverySink } from './sinks/every-sink.ts';
import { SlotProbe } from './slot-probe.ts';
import { DEMO_SCHEMA } from './writer.ts';

export interface StageOptions {
  readonly record: DemoRecord;
  readonly clock: Clock;
  /** Called with a line for each part that is being started. */
  readonly say: (line: string) => void;
  readonly tamper?: ReceiverOptions['tamper'];
  /** Opens a destination for every type of sink. */
  readonly allSinks: boolean;
  /** Called for what a stand-in has taken. */
  readonly tamperSinks?: Tamper;
}

/** Everything that the demo starts beside its writers: Postgres, the receiver, and walpost between them. */
export class DemoStage implements AsyncDisposable {
  readonly postgres: EmbeddedPostgres;
  readonly relay: RelayProcess;
  readonly probe: SlotProbe;
  /** Undefined when there is only the receiver. */
  readonly everySink: EverySink | undefined;
  private readonly releases: readonly (() => Promise<void>)[];
  private readonly directory: string;

  private constructor(parts: Pick<DemoStage, 'postgres' | 'relay' | 'probe' | 'everySink'>, building: Building) {
    this.postgres = parts.postgres;
    this.relay = parts.relay;
    this.probe = parts.probe;
    this.everySink = parts.everySink;
    this.releases = building.releases;
    this.directory = building.directory;
  }

  static async set(options: StageOptions): Promise<DemoStage> {
    const building: Building = { releases: [], directory: await mkdtemp(join(tmpdir(), 'walpost-demo-')) };
    try {
      return new DemoStage(await build(options, building), building);
    } catch (error) {
      await release(building.releases);
      throw error;
    }
  }

  /** Resolves when the slot streams to walpost, and readers listen; rejects when walpost ends or hangs instead. */
  async ready(clock: Clock, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const ended = this.relay.ended.then((how) => {
      over.abort();
      return how;
    });
    const either = AbortSignal.any([signal, over.signal]);
    const streams = await this.probe.waitForStream(clock, either);
    if (streams) await this.everySink?.sinks.get('live')?.connect?.(either);
    if (streams || signal.aborted) return;
    const how = over.signal.aborted ? `It ended with ${await ended}.` : 'It did not start to stream.';
    throw new WalpostError('DEMO_FAILED', { detail: `${how} Its log: ${this.relay.logFile}` });
  }

  /** Also removes the files. Without this call the log of walpost is kept. */
  async removeFiles(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await release(this.releases);
  }
}

interface Building {
  readonly directory: string;
  /** In the order in which they were started. */
  readonly releases: (() => Promise<void>)[];
}

async function build(options: StageOptions, building: Building) {
  const { directory, releases } = building;
  const { record, clock, say, tamper } = options;
  say('starting Postgres');
  const postgres = await startEmbeddedPostgres();
  releases.push(() => postgres[Symbol.asyncDispose]());
  const url = postgres.url();

  say('making the walpost schema (walpost migrate)');
  await migrate(url);
  await createOrders(url);

  const secret = `whsec_${randomBytes(24).toString('base64')}`;
  const receiver = new Receiver({ record, clock, secret, ...(tamper && { tamper }) });
  const receiverUrl = await receiver.listen();
  releases.push(() => receiver.close());

  const outputFile = join(directory, 'walpost.out');
  const everySink = options.allSinks ? await openSinks(options, building, { postgres, outputFile }) : undefined;

  say('starting walpost (walpost run)');
  const config = demoConfig({ url, receiverUrl, secret, sinks: everySink?.sinks ?? new Map<string, DemoSink>() });
  const relay = await RelayProcess.start({ config, directory, clock, ...(everySink && { outputFile }) });
  releases.push(() => relay.stop());

  const probe = new SlotProbe(url, SLOT);
  await probe.connect();
  releases.push(() => probe.end());
  return { postgres, relay, probe, everySink };
}

async function openSinks(
  { record, clock, say, tamperSinks }: StageOptions,
  { directory, releases }: Building,
  { postgres, outputFile }: { postgres: EmbeddedPostgres; outputFile: string },
): Promise<EverySink> {
  say('starting the destinations of the other sinks');
  const { openEverySink } = await import('./sinks/every-sink.ts');
  const place = {
    directory,
    outputFile,
    clock,
    organizationIds: record.organizations.map(({ organizationId }) => organizationId),
    databaseUrl: (database?: string) => postgres.url(database),
    tamper: tamperSinks ?? ((_sink, arrivals) => arrivals),
  };
  const everySink = await openEverySink(place, (sink) => releases.push(() => sink.close()));
  for (const [name, why] of everySink.leftOut) say(`leaving out ${name}: ${why}`);
  return everySink;
}

async function createOrders(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'walpost demo' });
  await client.connect();
  try {
    await client.query(DEMO_SCHEMA);
  } finally {
    await client.end();
  }
}

/** Releases in reverse order. A failure does not stop the other releases. */
async function release(releases: readonly (() => Promise<void>)[]): Promise<void> {
  for (const each of releases.toReversed()) await each().catch(() => undefined);
}
