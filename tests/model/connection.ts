/** One connection of the relay as src/relay/wiring.ts wires it, with the ledger, the confirmer, the gate and the router themselves. */
import { Confirmer } from '../../src/ack/confirmer.ts';
import { Ledger } from '../../src/ack/ledger.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Event, Origin } from '../../src/event.ts';
import type { Batch } from '../../src/pipeline.ts';
import { Router } from '../../src/router/router.ts';
import { VisibilityGate } from '../../src/router/timing/visibility-gate.ts';
import { asWire } from '../../src/wire-text.ts';
import { ORDERS, SINKS } from './commands.ts';
import { ModelLot } from './durable.ts';
import type { ModelEvent } from './server.ts';
import type { World } from './world.ts';

const CONFIG = configSchema.parse({
  database: { url: 'postgres://127.0.0.1/model' },
  batching: { window: '100ms', max_events: 3 },
  delivery: {
    park_after: '1s',
    backoff: ['1s', '2s'],
    unavailable_for: '0s',
    breaker: { reset_after: '2s' },
  },
  memory: { budget: '1MiB' },
  sinks: {
    a: { type: 'discard', order: ORDERS.a },
    b: { type: 'discard', order: ORDERS.b, mode: 'adaptive', max_events: 5 },
    c: { type: 'discard', order: ORDERS.c, max_events: 4 },
  },
  routes: [{ to: [...SINKS] }],
});

export class Connection {
  readonly ledger: Ledger;
  readonly lot: ModelLot;
  readonly router: Router;
  /** It cannot go on: the cursor could not be written. */
  failed = false;
  private readonly world: World;
  private readonly confirmer: Confirmer;
  private readonly gate: VisibilityGate;
  private readonly script: Iterator<void>;
  private isPaused = false;
  private isOver = false;
  private next: number;

  constructor(world: World) {
    const { clock, durable, server } = world;
    this.world = world;
    this.next = server.resumeIndex;
    this.script = this.stream();
    this.lot = new ModelLot(durable, clock, (event) => world.checkRemoval(event));
    this.gate = new VisibilityGate({
      enabled: true,
      asksEarly: server.resumeIndex % 2 === 0, // some connections do, some do not
      takeSnapshot: async () => {
        const now = clock.now();
        return (xid) => server.sees(xid, now);
      },
      clock,
      onVisible: () => this.router.seen(),
      onError: world.fail,
    });
    this.ledger = new Ledger(() => this.confirmer.advanced());
    this.router = new Router({
      config: CONFIG,
      destinations: SINKS.map((name) => ({
        name,
        concurrency: 2,
        closedFor: 0,
        deliver: (batch: Batch, signal: AbortSignal) => world.deliver(name, batch, signal),
      })),
      deadLetters: {
        store: ({ item, sink }, stored) => {
          world.checkDeath(sink ?? '', item.eventId ?? '');
          this.lot.bury(`${sink} ${item.eventId}`, stored);
        },
      },
      lot: this.lot,
      clock,
      watcher: {
        delivered: () => undefined,
        parked: () => undefined,
        deadLettered: () => undefined,
        dropped: () => undefined,
        refusing: () => undefined,
        refusingOver: () => undefined,
        windowWait: () => undefined,
      },
      askVisible: () => this.gate.ask(),
      onPressure: (full) => (this.isPaused = full),
      random: () => 0.5,
      failure: { abort: world.fail },
    });
    this.confirmer = new Confirmer({
      ledger: this.ledger,
      clock,
      writeCursor: (lsn) => this.writeCursor(lsn),
      confirmSlot: (lsn) => !this.isOver && world.checkConfirmation(lsn, this.next),
      onError: () => (this.failed = true),
    });
    this.router.restore(durable.parked.lanes(durable.cursor));
  }

  /** The server sends so many messages, as far as the relay reads. */
  read(steps: number): void {
    for (let i = 0; i < steps && !this.isPaused; i += 1) if (this.script.next().done === true) return;
  }

  /** The server names what it has sent everything before; also in the middle of a transaction. */
  keepalive(): void {
    if (this.isPaused) return;
    const { log, end } = this.world.server;
    const serverEnd = log[this.next]?.commitLsn ?? end;
    this.ledger.keepalive(serverEnd);
    this.router.passed(serverEnd);
  }

  /** `crash`: the process is gone; otherwise the socket is, and the relay winds up. */
  async end(crash: { readonly arrived: boolean } | null): Promise<void> {
    this.isOver = crash !== null;
    this.lot.lose(crash?.arrived ?? true);
    this.isOver = true;
    this.confirmer.close();
    this.gate.close();
    await this.router.close();
  }

  private async writeCursor(lsn: bigint): Promise<void> {
    const { durable, clock } = this.world;
    if (durable.cursorMs > 0) await new Promise<void>((resolve) => clock.schedule(durable.cursorMs, resolve));
    if (this.isOver) return new Promise(() => undefined);
    if (durable.cursorFails) throw new Error('the cursor cannot be written');
    if (lsn > durable.cursor) durable.cursor = lsn;
  }

  /** Endless: whatever is committed later is streamed later. */
  private *stream(): Generator<void> {
    for (;;) {
      const transaction = this.world.server.log[this.next];
      if (!transaction) {
        yield;
        continue;
      }
      const origin = this.ledger.begin(transaction.commitLsn, transaction.xid, 0n);
      origin.receivedAt = this.world.clock.now();
      this.gate.begin(origin);
      yield;
      for (const [ordinal, event] of transaction.events.entries()) {
        this.router.accept(eventOf(event, origin, ordinal));
        yield;
      }
      this.next += 1;
      this.ledger.commit(transaction.endLsn);
      this.router.passed(transaction.endLsn);
      yield;
    }
  }
}

function eventOf({ id, organization, entity, bytes }: ModelEvent, origin: Origin, ordinal: number): Event {
  return {
    kind: 'event',
    eventId: id,
    organizationId: organization,
    eventType: 'model.event',
    eventVersion: 1,
    topic: 'default',
    entityType: 'model',
    entityId: entity,
    target: null,
    idempotencyKey: null,
    payload: asWire('{}'),
    headers: asWire('{}'),
    createdAt: null,
    expiresAt: null,
    origin,
    ordinal,
    size: bytes,
    parkedId: null,
  };
}
