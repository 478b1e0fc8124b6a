/** The real process in front of a broker, while both are killed in the middle of a numbered load. */
import { mixedLoad, OrderCheck, prepareLoad, writeLoad } from './numbered-load.ts';
import { RunningWalpost, type RunOptions } from './running-walpost.ts';
import { poll } from '../support/slot-session.ts';

const isLong = process.env['WALPOST_LONG'] === '1';
/** 50,000 events, or 3,500; the rate leaves time for the kills. `step`: events between them. Milliseconds for each wait. */
export const KILL_LOAD = isLong
  ? { scale: 0.5, rate: '6000/s', step: 7_000, kills: 5, patience: 600_000 }
  : { scale: 0.03, rate: '600/s', step: 300, kills: 3, patience: 120_000 };

/** A sink is tried again soon after its broker is back. */
export const KILL_CONFIG = {
  delivery: { backoff: ['200ms'], breaker: { reset_after: '200ms' } },
  batching: { window: '20ms' },
};

export interface BreakableBroker {
  /** Messages that have arrived; while it is up. */
  count(): Promise<number>;
  kill(): Promise<void>;
  /** Resolves when it can be counted again. */
  restart(): Promise<void>;
}

export interface ThroughKills {
  readonly relay: RunningWalpost;
  /** How many events each organization has committed, and all of them. */
  readonly committed: ReadonlyMap<string, number>;
  readonly total: number;
  /** What had arrived before each kill of the broker; walpost is killed at all but the last. */
  readonly killedAt: readonly number[];
}

export interface NumberedEnvelope {
  readonly event_id: string;
  readonly organization_id: string;
  readonly payload: { readonly n: number };
}

/** Kills both so many times, in turn the broker and walpost first; then the broker alone. Resolves after the last write. */
export async function loadThroughKills(
  options: RunOptions,
  broker: BreakableBroker,
  kills: number = KILL_LOAD.kills,
): Promise<ThroughKills> {
  await prepareLoad(options.database);
  let relay = await RunningWalpost.start(options);
  const killedAt: number[] = [];
  const arrived = async (): Promise<number | undefined> => {
    const count = await broker.count();
    return count > (killedAt.at(-1) ?? 0) + KILL_LOAD.step ? count : undefined;
  };
  try {
    const writing = writeLoad(options.database, mixedLoad(KILL_LOAD.scale));
    for (let kill = 0; kill < kills; kill++) {
      killedAt.push(await poll('some more arrived', arrived, KILL_LOAD.patience));
      if (kill % 2 === 1) relay.cli.child.kill('SIGKILL');
      await broker.kill();
      if (kill % 2 === 0) relay.cli.child.kill('SIGKILL');
      await relay[Symbol.asyncDispose]();
      await broker.restart();
      relay = await RunningWalpost.start(options);
    }
    killedAt.push(await poll('some more arrived', arrived, KILL_LOAD.patience));
    await broker.kill();
    await broker.restart();
    const committed = await writing;
    const total = [...committed.values()].reduce((sum, count) => sum + count, 0);
    return { relay, committed, total, killedAt };
  } catch (error) {
    await relay[Symbol.asyncDispose]();
    throw error;
  }
}

export function readEnvelope(text: string | null | undefined): NumberedEnvelope {
  return JSON.parse(text ?? 'null') as NumberedEnvelope;
}

/** Each id where it appears first. What was under way when a connection was cut may come once more, late. */
export function firstOfEach(envelopes: readonly NumberedEnvelope[]): NumberedEnvelope[] {
  const seen = new Set<string>();
  return envelopes.filter(({ event_id: id }) => !seen.has(id) && seen.add(id));
}

/** One line for each organization that lost an event, has one twice, or has them in another order. */
export function orderFaults(
  envelopes: readonly NumberedEnvelope[],
  { committed }: Pick<ThroughKills, 'committed'>,
): string[] {
  const check = new OrderCheck();
  check.take({ events: envelopes } as unknown as Parameters<OrderCheck['take']>[0]);
  return check.faults(committed);
}
