/**
 * Where a scene is played: a database, a receiver, a directory with walpost.yaml and .env, and terminals. It keeps what was
 * typed and what was shown.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { poll } from '../support/slot-session.ts';
import { closedPort } from '../support/webhook-receiver.ts';
import { AppDatabase } from './app-database.ts';
import { configuration } from './configuration.ts';
import { Running } from './running.ts';
import type { Scene } from './scene.ts';
import { quoted, tells, Terminal } from './terminal.ts';
import { rowsText, Transcript } from './transcript.ts';

/** What `walpost run` shows when it streams. */
export const STREAMS = /streaming from/;
/** The organizations of every scene. */
export const [ACME, GLOBEX] = ['6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11', 'b0a4d6c1-52e1-4f8a-90d1-3c3e7a107c3e'] as const;

export class Stage implements AsyncDisposable {
  readonly database: AppDatabase;
  readonly receiver: EventReceiver;
  readonly directory = mkdtempSync(join(tmpdir(), 'walpost-scene-'));
  readonly port: number;
  readonly transcript = new Transcript();
  private readonly environment: Record<string, string>;
  private readonly terminals: Terminal[] = [];

  private constructor(database: AppDatabase, receiver: EventReceiver, port: number) {
    this.database = database;
    this.receiver = receiver;
    this.port = port;
    writeFileSync(join(this.directory, 'walpost.yaml'), configuration(receiver.port, port));
    this.environment = {
      DATABASE_URL: database.relayUrl,
      CRM_SECRET: 'whsec_YSBzZWNyZXQgb2YgeW91ciBvd24sIDI0IGJ5dGVz',
    };
    this.env({});
  }

  static async open(server: EmbeddedPostgres, migrated = true): Promise<Stage> {
    const database = await AppDatabase.create(server, migrated);
    return new Stage(database, await EventReceiver.start(), await closedPort());
  }

  /** Changes `.env`; undefined takes a variable away. */
  env(changes: Readonly<Record<string, string | undefined>>): void {
    const lines = Object.entries({ ...this.environment, ...changes }).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}='${value}'\n`],
    );
    writeFileSync(join(this.directory, '.env'), lines.join(''));
  }

  /** Runs a command until it shows all of this, and nothing that is `gone`, and keeps its last output. */
  async walpost(
    argv: readonly string[],
    patterns: readonly RegExp[] = [],
    env: Record<string, string> = {},
    gone?: RegExp,
  ): Promise<string> {
    let last = '';
    const shown = poll(`walpost ${argv.join(' ')} shows ${patterns.join(', ')}`, async () => {
      await using terminal = new Terminal(argv, { cwd: this.directory, env });
      const { text } = await terminal.end();
      last = text;
      const isThere = patterns.every((pattern) => tells(text, pattern)) && !(gone && tells(text, gone));
      return isThere ? text : undefined;
    });
    const text = await shown.catch((error: unknown) => {
      throw new Error(`${String(error)}\n${last}`);
    });
    const names = Object.keys(env).map((name) => `${name}=… `);
    this.transcript.keep('terminal', `$ ${names.join('')}walpost ${argv.map(quoted).join(' ')}`, text);
    return text;
  }

  /** The last command of a scene: it shows all of this, and the cause no longer, which walpost.lanes forgets within a second. */
  over(scene: Scene, argv: readonly string[], patterns: readonly RegExp[]): Promise<string> {
    return this.walpost(argv, patterns, {}, scene.says.cause);
  }

  /** Starts `walpost run`, and keeps what it shows up to this. */
  async run(pattern: RegExp, ...more: string[]): Promise<Running> {
    const argv = ['run', ...more];
    const terminal = new Terminal(argv, { cwd: this.directory });
    this.terminals.push(terminal);
    const running = new Running(terminal, this.transcript, argv);
    await running.shows(pattern);
    return running;
  }

  /** Asks for a page of the process until it shows all of this. */
  async get(path: string, ...patterns: RegExp[]): Promise<void> {
    const text = await poll(`${path} shows ${patterns.join(', ')}`, async () => {
      const answer = await fetch(`http://127.0.0.1:${this.port}${path}`).catch(() => undefined);
      const shown = answer && `${answer.status} ${answer.statusText}\n${await answer.text()}`;
      return shown && patterns.every((pattern) => tells(shown, pattern)) ? shown : undefined;
    });
    this.transcript.keep('terminal', `GET http://127.0.0.1:${this.port}${path}`, text);
  }

  /** Asks the database, as the owner, until the rows show all of this. */
  async sql(text: string, ...patterns: RegExp[]): Promise<void> {
    const output = await poll(`${text} shows ${patterns.join(', ')}`, async () => {
      const rows = await this.database.query(text);
      const shown = text.startsWith('SELECT') ? rowsText(rows) : 'done';
      return patterns.every((pattern) => tells(shown, pattern)) ? shown : undefined;
    });
    this.transcript.keep('sql', text, output);
  }

  /** Events of an application, each in a transaction of its own. */
  async publish(organization: string, count: number, type = 'job.completed'): Promise<void> {
    for (let n = 1; n <= count; n += 1) {
      await this.database.query('SELECT walpost.publish($1, $2, $3)', [
        organization,
        type,
        JSON.stringify({ job_id: n }),
      ]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const terminal of this.terminals) await terminal[Symbol.asyncDispose]();
    await this.receiver[Symbol.asyncDispose]();
    await this.database[Symbol.asyncDispose]();
    rmSync(this.directory, { recursive: true });
  }
}
