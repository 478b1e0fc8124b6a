/** What a process does first once it holds the lock: refuse the writes of the leader before it, then take the slot. */
import type pg from 'pg';
import type { Clock } from './clock.ts';
import type { Config } from './config/schema.ts';
import { WalpostError } from './errors.ts';
import { claimEpoch } from './leader/claim-epoch.ts';
import type { Logger } from './observe/log.ts';
import type { CursorStore } from './postgres/cursor-store.ts';
import { APPLICATION_NAME } from './slot/replication-client.ts';
import type { SlotHealing } from './relay-healing.ts';
import { prepareSlot } from './relay-slot.ts';
import type { ServerFacts } from './slot/server-checks.ts';
import { endHolder } from './slot/slot-setup.ts';
import { inspectSlot, slotProblem } from './slot/slot-state.ts';

export interface TakeoverOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly pool: pg.Pool;
  readonly server: ServerFacts;
  readonly slot: string;
  /** On a first start: also send the rows that are there already. */
  readonly deliverExisting: boolean;
}

export interface Takeover {
  readonly cursor: CursorStore;
  /** To be run before the stream starts. */
  readonly healing: SlotHealing | undefined;
}

/** Claims the next epoch and leaves the slot free and fit to be streamed from. */
export async function takeOver(options: TakeoverOptions): Promise<Takeover> {
  const { config, log, clock, pool, server, slot } = options;
  const { systemIdentifier, timeline } = server;
  const { url } = config.database;
  const cursor = await claimEpoch({
    pool,
    url,
    claim: { slot, systemIdentifier, timeline },
    clock,
    applicationName: APPLICATION_NAME,
    onError: (message) => log.warn(`a session of an older leader is in the way and cannot be ended: ${message}`),
  });
  await endOlderStream(options);
  return { cursor, healing: await prepareSlot({ ...options, cursor }) };
}

/** A session that ends at all ends within milliseconds; then it is told again. */
const END_TIMEOUT_MS = 500;
const END_TRIES = 8;

/**
 * Ends what an older leader left on the slot: the server would notice only after wal_sender_timeout. A walsender that is
 * writing to a process which does not read stays in its farewell message, and leaves at the second signal.
 *
 * A process of another program is left alone, for the slot may be its own and named here by mistake.
 */
async function endOlderStream({ config, log, pool, slot }: TakeoverOptions): Promise<void> {
  const state = await inspectSlot(pool, slot, config.source.plugin);
  if (state.kind !== 'in_use' || state.facts.holder?.applicationName !== APPLICATION_NAME) return;
  const { pid, clientAddress } = state.facts.holder;
  log.info({ slot, pid, clientAddress }, 'ending the stream of an older leader');
  try {
    for (let tries = 0; tries < END_TRIES; tries++) {
      if (await endHolder(pool, slot, pid, END_TIMEOUT_MS)) return;
    }
  } catch (error) {
    const refused = error instanceof WalpostError && error.code === 'PERMISSION_DENIED';
    throw (refused && slotProblem(state)) || error;
  }
  throw new WalpostError('SLOT_STILL_HELD', { detail: `Slot "${slot}", process ${pid}.` });
}
