/**
 * The model: a server with a log, receivers with bad days, and between them connection after connection of the relay.
 *
 * It is checked while things happen, not only at the end: a confirmation is held against what is durable at that moment,
 * a removal against what was delivered, a first delivery against the one before it in its lane.
 */
import assert from 'node:assert/strict';
import type { Event } from '../../src/event.ts';
import type { Lsn } from '../../src/lsn.ts';
import type { Batch, Verdicts } from '../../src/pipeline.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { type Command, ORGANIZATIONS, SINKS } from './commands.ts';
import { Connection } from './connection.ts';
import { Durable } from './durable.ts';
import { ModelServer } from './server.ts';
import { ModelSinks } from './sinks.ts';

/** Of the model's clock. */
const SETTLES_WITHIN_MS = 600_000;
/** Of a healthy event at a receiver that answers: as part of a batch that holds a bad one, and alone. */
const MOST_TRIES = 25;

export class World {
  readonly clock = new ManualClock();
  readonly server = new ModelServer();
  readonly durable = new Durable();
  readonly sinks = new ModelSinks(this.clock, this.server.log, (key) => this.durable.dead.has(key));
  private connection: Connection;
  private failure: Error | undefined;
  private checkedUntil = 0;

  constructor() {
    this.connection = new Connection(this);
  }

  /** What goes wrong in a callback must reach the test, whoever calls. */
  readonly fail = (error: unknown): void => {
    this.failure ??= error instanceof Error ? error : new Error(String(error));
  };

  async run(commands: readonly Command[]): Promise<void> {
    for (const command of commands) {
      await this.carryOut(command);
      await this.clock.advance(0);
      if (this.connection.failed) await this.reconnect(null);
      this.throwFailure();
    }
    await this.settle();
    await this.connection.end(null);
    this.throwFailure();
  }

  async deliver(sink: string, batch: Batch, signal: AbortSignal): Promise<Verdicts> {
    try {
      return await this.sinks.deliver(sink, batch, signal);
    } catch (error) {
      this.fail(error);
      return { kind: 'unavailable', reason: 'the model has failed' };
    }
  }

  /** The slot is told a position: the cursor row has it, this connection has received it, and all before it is durable. */
  checkConfirmation(lsn: Lsn, streamed: number): void {
    try {
      assert.ok(this.durable.cursor >= lsn, 'the slot is told a position that the cursor row does not have');
      const unread = this.server.log[streamed];
      if (unread) assert.ok(lsn <= unread.commitLsn, 'the slot is told a position that was not received');
      this.server.confirm(lsn);
      for (let next = this.server.log[this.checkedUntil]; next; next = this.server.log[this.checkedUntil]) {
        if (next.commitLsn >= lsn) break;
        for (const { id } of next.events) {
          for (const sink of SINKS) assert.ok(this.isSafe(sink, id), `event ${id} for ${sink} is confirmed away`);
        }
        this.checkedUntil += 1;
      }
    } catch (error) {
      this.fail(error);
    }
  }

  /** It is about to be a dead letter. */
  checkDeath(sink: string, eventId: string): void {
    try {
      this.sinks.checkDeath(sink, eventId);
    } catch (error) {
      this.fail(error);
    }
  }

  checkRemoval(event: Event): void {
    const { rows } = this.durable.parked;
    const row = rows.find(({ id }) => String(id) === event.parkedId);
    if (!row || this.isResolved(row.sink, event.eventId)) return;
    const { sink } = row;
    if (rows.some((other) => other !== row && other.sink === sink && other.event.eventId === event.eventId)) return; // it has moved
    this.fail(new Error(`the row of event ${event.eventId} for ${row.sink} is removed, and it was not delivered`));
  }

  private async carryOut(command: Command): Promise<void> {
    switch (command.kind) {
      case 'commit': {
        const visibleAt = this.clock.now() + command.hiddenFor;
        const { events } = this.server.commit(command.events, { gap: command.gap, visibleAt });
        for (const event of events) if (event.poisoned) this.sinks.poisoned.set(event.id, event.poisoned);
        return;
      }
      case 'stream':
        return this.connection.read(command.steps);
      case 'keepalive':
        return this.connection.keepalive();
      case 'pass':
        return this.clock.advance(command.ms);
      case 'mood':
        return this.sinks.setMood(command.sink, command.organization, command.mood);
      case 'lot':
        this.durable.writeMs = command.writeMs;
        this.durable.readMs = command.readMs;
        return this.connection.lot.wake();
      case 'cursor':
        this.durable.cursorMs = command.writeMs;
        this.durable.cursorFails = command.fails;
        return;
      case 'crash':
        return this.reconnect({ arrived: command.arrived });
      case 'reconnect':
        return this.reconnect(null);
    }
  }

  private async reconnect(crash: { readonly arrived: boolean } | null): Promise<void> {
    await this.connection.end(crash);
    await this.clock.advance(0);
    this.connection = new Connection(this);
  }

  /** The faults stop: everything is delivered or a dead letter, nothing is parked any more, and all of it is confirmed. */
  private async settle(): Promise<void> {
    this.sinks.recover();
    this.durable.cursorFails = false;
    await this.carryOut({ kind: 'lot', writeMs: 0, readMs: 0 });
    await this.carryOut({ kind: 'cursor', writeMs: 0, fails: false });
    this.commitHealthy(ORGANIZATIONS);
    const end = this.clock.now() + SETTLES_WITHIN_MS;
    for (let turn = 1; !this.isSettled && this.clock.now() < end; turn += 1) {
      if (this.connection.failed) await this.reconnect(null);
      if (turn % 20 === 0 && this.sinks.needsOthers) this.commitHealthy(['bystander']);
      this.connection.read(1_000);
      this.connection.keepalive();
      await this.clock.advance(250);
      this.throwFailure();
    }
    for (const { id } of this.server.log.flatMap(({ events }) => events)) {
      for (const sink of SINKS) assert.ok(this.isResolved(sink, id), `event ${id} for ${sink} was lost`);
    }
    for (const [key, tries] of this.sinks.tries) {
      if (!this.sinks.poisoned.has(key.split(' ')[1] ?? '')) assert.ok(tries <= MOST_TRIES, `${key}: ${tries} tries`);
    }
    assert.equal(this.durable.parked.rows.length, 0, 'rows are still parked');
    assert.ok(this.connection.ledger.watermark >= this.lastEnd, 'the watermark stands still');
  }

  /** A bad event at the end of a lane waits for a healthy one behind it, or for others that are accepted. */
  private commitHealthy(organizations: readonly string[]): void {
    const events = organizations.map((organization) => ({
      organization,
      entity: null,
      bytes: 100,
      poisoned: false as const,
    }));
    this.server.commit(events, { gap: 8, visibleAt: this.clock.now() });
  }

  private get isSettled(): boolean {
    return (
      this.connection.ledger.watermark >= this.lastEnd &&
      this.durable.parked.rows.length === 0 &&
      this.server.log.every(({ events }) => events.every(({ id }) => SINKS.every((sink) => this.isResolved(sink, id))))
    );
  }

  private get lastEnd(): Lsn {
    return this.server.log.at(-1)?.endLsn ?? 0n;
  }

  private isResolved(sink: string, id: string): boolean {
    const key = `${sink} ${id}`;
    return this.sinks.delivered.has(key) || this.durable.dead.has(key);
  }

  private isSafe(sink: string, id: string): boolean {
    return (
      this.isResolved(sink, id) || this.durable.parked.rows.some((row) => row.sink === sink && row.event.eventId === id)
    );
  }

  private throwFailure(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}
